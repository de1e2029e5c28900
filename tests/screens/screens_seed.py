"""A small seeded world for the tests of the screens: every post here is our own writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from monitor.adapters.clock import SystemClock
from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.core.model import SYSTEM, RawPost, Role
from monitor.core.ports import Clock, PostFilter
from monitor.testing.builders import (
    FakeKeys,
    FixedClock,
    KeywordClassifier,
    PlainPasswords,
    PrefixGrouping,
    all_capabilities,
    raw,
)
from monitor.usecases import accounts, ingest, understand
from monitor.usecases.deps import Deps, Rules

PASSWORD = "a long pass phrase 2026"
PEOPLE = (
    ("mod.li", "李审", "工会审核员", (Role.MODERATOR,), None),
    ("mod.wang", "王核", "工会审核员", (Role.MODERATOR,), None),
    ("lead.chen", "陈讲", "宣传委员", (Role.LEADER,), None),
    ("off.zhao", "赵干", "工会干事", (Role.OFFICER,), None),
    ("hand.sun", "孙办", "后勤科长", (Role.HANDLER,), "后勤处"),
    ("adm.qian", "钱管", "系统管理员", (Role.ADMIN,), None),
)

SPAM = (
    "期刊代发包过，加微信 paper{n}，先发后付",
    "兼职日结，每天两百，名额还剩 {n} 个",
    "领优惠券第 {n} 弹，点我头像",
)
CAMPAIGN = "教职工专属福利，加微信领取礼包，手慢无"
ABUSE = "你就是个傻子，别在群里说话了 {n}"
HOSTILE = (
    "加微信 <script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "![p](http://evil.example/p.png) <iframe src=http://evil.example/f></iframe>"
    " [链接](javascript:alert(1)) :material/home: $x^2$ <mark>伪造</mark> <a href=http://evil.example/>点</a>"
)
PAY = "工资条第 {n} 项看不懂，请财务解释"
GRIEVANCE = "东区停车难的问题第 {n} 次反映了，请给个说法"
RUMOUR = "听说下个月绩效要砍掉三成，是真的吗"
RISK = "真的撑不住了，不想活了"
CALM = "今天操场的银杏真好看，第 {n} 棵最黄"


def open_deps(folder: Path, *, still: bool = False) -> Deps:
    """Open a real store in ``folder`` with the stand-ins of the builders; ``still`` stops the clock."""
    url = f"sqlite:///{folder / 'huiyin.db'}"
    migrations.upgrade(url)
    clock: Clock = FixedClock() if still else SystemClock()
    uow = open_store(url, clock.now, b"a key for the screens".ljust(32))
    return Deps(
        uow=uow,
        clock=clock,
        keys=FakeKeys(),
        rules=Rules(effect_delay=2.0),
        classifier=KeywordClassifier(),
        grouping=PrefixGrouping(),
        capabilities=all_capabilities,
        passwords=PlainPasswords(),
    )


def people(deps: Deps) -> None:
    """Add one account per role, two moderators."""
    for login, name, title, roles, unit in PEOPLE:
        accounts.add_account(deps, SYSTEM, login, name, title, frozenset(roles), unit, PASSWORD)


def _spread(texts: Sequence[str], start: datetime, step: timedelta) -> Iterator[RawPost]:
    for n, text in enumerate(texts):
        yield raw(f"s{n}", text, posted_at=start + n * step, thread=f"g{n % 5}", author=f"person-{n}")


def week(deps: Deps) -> None:
    """Take in and understand a small week of posts: at least one case of every kind."""
    texts = [
        *(line.format(n=n) for n in range(3) for line in SPAM),
        *[CAMPAIGN] * 12,
        HOSTILE,
        *(ABUSE.format(n=n) for n in range(2)),
        *(GRIEVANCE.format(n=n) for n in range(6)),
        *(PAY.format(n=n) for n in range(2)),
        *[RUMOUR] * 8,
        RISK,
        *(CALM.format(n=n) for n in range(30)),
    ]
    now = deps.clock.now()
    items = list(_spread(texts, now - timedelta(hours=3), timedelta(minutes=2)))
    ingest.ingest(deps, "qq", items)
    while understand.process(deps, "seed"):
        pass


def pending(deps: Deps, count: int) -> None:
    """Make ``count`` pending moderation cases that do not resemble one another."""
    now = deps.clock.now()
    for first in range(0, count, 500):
        items = [
            raw(
                f"p{n}",
                f"{n:06d} 号广告：代写代发加微信 w{n}，长期有效，{'可开发票，' * (n % 7)}欢迎咨询",
                posted_at=now - timedelta(seconds=count - n),
                thread=f"g{n % 20}",
                author=f"seller-{n}",
            )
            for n in range(first, min(first + 500, count))
        ]
        ingest.ingest(deps, "qq", items)
        while understand.process(deps, "seed", 500):
            pass


@dataclass(slots=True)
class World:
    """What the screens need of an application."""

    deps: Deps


__all__ = ["PASSWORD", "PEOPLE", "PostFilter", "World", "open_deps", "pending", "people", "week"]
