"""The loops that tell the staff: real robots' protocols, and a failing one in nobody's way."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from runtime_world import House, running, until

from monitor import config
from monitor.bootstrap import App
from monitor.config import Notifier
from monitor.core.errors import ConfigError
from monitor.core.model import CaseKind, CaseState, NewCase
from monitor.runtime import notify
from monitor.runtime._web.metrics import Metrics
from monitor.runtime.notify import Teller, link_of, screens_of
from monitor.testing.builders import raw
from monitor.testing.fake_robots import FakeRobots
from monitor.usecases import alerts
from monitor.usecases.ingest import ingest

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeRobots]:
    """Every robot."""
    made = FakeRobots()
    await made.start()
    yield made
    await made.stop()


def declared(fake: FakeRobots, kind: str, **more: Any) -> Notifier:
    own: dict[str, Any] = {"webhook_secret": fake.url(kind)}
    if kind == "webhook":
        own = {"url": fake.url(kind), "secret": "whsec_" + base64.b64encode(b"k" * 32).decode()}
    elif kind != "wecom":
        own["sign_secret"] = fake.secret
    return Notifier(kind, kind, own, **{"quiet_hours": "", "gather_seconds": 0.0, **more})


def telling(house: House, *notifiers: Notifier) -> App:
    named = {one.name: one for one in notifiers}
    return App(replace(house.config, notifiers=named), replace(house.deps, notifiers=tuple(named)))


def something_urgent(app: App) -> None:
    ingest(app.deps, "qq", [raw("p1", "求助")])
    with app.deps.uow.begin() as store:
        post = store.posts.count()
        store.cases.open(
            NewCase(CaseKind.CARE, CaseState.PENDING, 1, "qq", (post,), "x"), app.deps.clock.now()
        )


async def test_every_robot_is_told_and_one_that_fails_holds_up_no_other(
    house: House, fake: FakeRobots
) -> None:
    fake.codes["dingtalk"] = deque([310000] * 99)
    app = telling(house, *(declared(fake, kind) for kind in ("wecom", "dingtalk", "feishu", "webhook")))
    something_urgent(app)
    async with running(notify.run(app)):
        await until(lambda: len(fake.said) == 2 and fake.pushed, 30)
        await until(
            lambda: [one.sent for one in alerts.status(app.deps, app.deps.notifiers)] == [1, 0, 1, 1], 30
        )
    assert sorted(kind for kind, _text in fake.said) == ["feishu", "wecom"]
    status = {one.name: one for one in alerts.status(app.deps, app.deps.notifiers)}
    assert status["dingtalk"].last_error == "connector.rejected"
    text = Metrics(app).text().decode()
    assert 'huiyin_notifier_up{notifier="dingtalk"} 0.0' in text
    assert 'huiyin_notifier_up{notifier="wecom"} 1.0' in text
    assert 'huiyin_notifier{notifier="wecom",state="sent"} 1.0' in text


async def test_outcomes_are_written_as_they_were(house: House, fake: FakeRobots) -> None:
    """A hurried robot waits, a lost answer stays open, a webhook is pushed again with the same id."""
    app = telling(house, declared(fake, "wecom"), declared(fake, "feishu"), declared(fake, "webhook"))
    something_urgent(app)
    fake.codes["wecom"], fake.lose["feishu"], fake.lose["webhook"] = deque([45009]), 1, 1
    tellers = [Teller(app, one) for one in app.config.notifiers.values()]
    assert [await teller.round() for teller in tellers] == [True, True, True]
    hurried, lost, hook = alerts.status(app.deps, app.deps.notifiers)
    assert (hurried.last_error, lost.last_error, hook.last_error) == (
        "connector.rate_limited",
        "connector.uncertain",
        "connector.uncertain",
    )
    assert (lost.unknown, hook.unknown) == (1, 0)
    assert hurried.next_try_at is not None
    assert hurried.next_try_at > app.deps.clock.now() + timedelta(seconds=30)
    assert not await tellers[0].round()


async def test_a_notifier_that_cannot_be_made_is_seen_and_tried_again(house: House, fake: FakeRobots) -> None:
    app = telling(house, replace(declared(fake, "wecom"), type="wecon"), declared(fake, "feishu"))
    something_urgent(app)
    async with running(notify.run(app)) as task:
        await until(lambda: fake.said, 30)
        await until(lambda: alerts.status(app.deps, ["wecom"])[0].last_error == "config", 30)
        assert not task.done()
    with pytest.raises(ConfigError, match="wecom"):
        await Teller(app, app.config.notifiers["wecom"]).round()


async def test_nothing_declared_and_paused_ones_do_nothing(house: House, fake: FakeRobots) -> None:
    app = telling(house, declared(fake, "wecom", paused=True))
    something_urgent(app)
    async with running(notify.run(app)) as task:
        await asyncio.sleep(0.05)
        assert not task.done()
    assert not fake.tries


async def test_quiet_hours_are_those_of_shanghai(house: House, fake: FakeRobots) -> None:
    """The whole day is quiet but for what may leave at night."""
    silent = declared(fake, "wecom", quiet_hours="00:00-23:59", at_night=())
    loud = declared(fake, "feishu", quiet_hours="00:00-23:59")
    app = telling(house, silent, loud)
    something_urgent(app)
    if app.deps.clock.now().astimezone(notify.SHANGHAI).strftime("%H:%M") != "23:59":
        assert not await Teller(app, silent).round()
    assert await Teller(app, loud).round()
    assert [kind for kind, _text in fake.said] == ["feishu"]


async def test_links_lead_to_the_screens(house: House, fake: FakeRobots) -> None:
    found = house.config
    assert screens_of(found) == "http://127.0.0.1:8501"
    proxied = replace(found, ui=replace(found.ui, allowed_hosts=("hy.example.edu.cn",), base_path="/review"))
    assert screens_of(proxied) == "https://hy.example.edu.cn/review"
    assert link_of(proxied, declared(fake, "wecom", link="https://x.example/a")) == "https://x.example/a"
    assert screens_of(replace(found, ui=replace(found.ui, host="::1"))) == "http://[::1]:8501"


async def test_settings_of_notifiers_are_checked_with_line_and_key(house: House) -> None:
    file = house.config.data / "huiyin.toml"
    file.write_text(
        '[notifiers.a]\nkinds = ["urgent"]\ntype = "wecom"\nquiet_hours = "x"\nlink = "x"\n'
        '[notifiers."b c"]\n[notifiers.c]\nwebhook_secret = "https://x"\n[notifiers]\nd = 1\n',
        encoding="utf-8",
    )
    found, _faults = config.read(file, house.config.data, {})
    assert not found.notifiers
    file.write_text(
        '[notifiers.a]\nkinds = ["urgent"]\ntype = "wecom"\nquiet_hours = "x"\nlink = "x"\ngather_seconds = -1\n'
        '[notifiers."b c"]\n[notifiers.c]\nwebhook_secret = "https://x"\n',
        encoding="utf-8",
    )
    found, faults = config.read(file, house.config.data, {})
    told = "\n".join(map(str, faults))
    for words in (
        ":2: notifiers.a.kinds: `urgent` is nothing that can be told; did you mean `urgent_case`?",
        ":4: notifiers.a.quiet_hours: two times",
        ":5: notifiers.a.link: an address",
        ":6: notifiers.a.gather_seconds: at least 0",
        ":7: notifiers.b c: a notifier's name",
        ":9: notifiers.c.webhook_secret: a secret does not stand in this file",
        "notifiers.c.type: the key is missing",
    ):
        assert words in told, told
    assert not found.notifiers
