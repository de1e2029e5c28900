"""Members' pages: write, follow, rate, appeal, look at the figures; nothing leaks, nothing runs, nothing floods."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import pytest_asyncio
import web_world
from web_world import Answer, World

from monitor.core.model import Action, CaseKind, CaseState, RuleCode
from monitor.core.ports import CaseFilter
from monitor.testing.builders import LEADER, MODERATOR, MODERATOR_2, OFFICER
from monitor.usecases import cases, queue, replies, understand
from monitor.usecases.decide import DecisionRequest, decide


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with web_world.serving(tmp_path) as served:
        yield served


class Tags(HTMLParser):
    """Every start tag with its attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def parsed(answer: Answer) -> Tags:
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    tags = Tags()
    tags.feed(answer.text)
    return tags


def receipt_of(answer: Answer) -> str:
    found = re.search(r'class="receipt">(\d{4}-\d{4}-\d{4}-\d{4})<', answer.text)
    assert found, "no receipt is shown"
    return found[1]


async def written(world: World, text: str = "食堂太贵，请给个说法", **fields: str) -> str:
    answer = await world.form("/box", text=text, **fields)
    assert answer.status == 200
    return receipt_of(answer)


async def registered(world: World) -> None:
    def work() -> None:
        while understand.process(world.deps, "test"):
            pass

    await asyncio.to_thread(work)


# --- how every page is built -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/box", "/box/r", "/open", "/docs", "/rate/not-a-token-1", "/appeal/not-a-token-1"]
)
@pytest.mark.asyncio
async def test_pages_are_bare_html_under_a_strict_policy(world: World, path: str) -> None:
    answer = await world.get(path)
    tags = parsed(answer)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert not {"script", "img", "iframe", "link", "object"} & {name for name, _attrs in tags.found}
    assert not [
        name for _tag, attrs in tags.found for name in attrs if name.startswith("on") or name == "style"
    ]
    assert tags.named("html") == [{"lang": "zh-CN"}]
    assert tags.named("meta")[1]["name"] == "viewport"
    outside = [a["href"] for a in tags.named("a") if not (a["href"] or "").startswith("/")]
    assert not outside, "nothing leads to another host"


@pytest.mark.parametrize(
    "path", ["/box", "/box/r", "/open", "/healthz", "/v1/queue", "/nowhere", "/openapi.json"]
)
@pytest.mark.asyncio
async def test_every_answer_wears_the_armour(world: World, path: str) -> None:
    headers = (await world.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Server"] == "huiyin"
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.asyncio
async def test_https_is_pinned_where_the_proxy_says_so(world: World) -> None:
    plain = await world.get("/box")
    secure = await world.get("/box", **{"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
    assert "Strict-Transport-Security" not in plain.headers
    assert "max-age=" in secure.headers["Strict-Transport-Security"]


@pytest.mark.parametrize("path", ["/box", "/box/r"])
@pytest.mark.asyncio
async def test_every_field_has_a_label(world: World, path: str) -> None:
    tags = parsed(await world.get(path))
    labels = {attrs.get("for") for attrs in tags.named("label")}
    fields = [a for kind in ("input", "textarea") for a in tags.named(kind) if a.get("type") != "hidden"]
    assert fields
    assert all(field["id"] in labels for field in fields)


@pytest.mark.asyncio
async def test_english_is_one_link_away_and_stays(world: World) -> None:
    chinese = parsed(await world.get("/box"))
    switch = [a for a in chinese.named("a") if a.get("hreflang") == "en"]
    assert switch == [{"href": "/box?lang=en", "lang": "en", "hreflang": "en"}]
    english = await world.get("/box?lang=en")
    assert parsed(english).named("html") == [{"lang": "en"}]
    sent = await world.form("/box", text="the canteen is too dear 食堂太贵", lang="en")
    assert parsed(sent).named("html") == [{"lang": "en"}]
    assert {"type": "hidden", "name": "lang", "value": "en"} in parsed(sent).named("input")
    assert parsed(await world.get("/box?lang=xx")).named("html") == [{"lang": "zh-CN"}]


# --- writing and following -------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_from_the_form_to_the_case_and_back_by_receipt(world: World) -> None:
    receipt = await written(world, unit="后勤处", contact="me@example.edu.cn")
    waiting = await world.form("/box/r", receipt=receipt)
    assert "已收到，正在登记" in waiting.text
    await registered(world)
    known = await world.form("/box/r", receipt=receipt.replace("-", " "))
    assert "已登记，等待受理" in known.text
    with world.deps.uow.read() as store:
        (case,) = store.cases.page(CaseFilter(kinds=(CaseKind.GRIEVANCE,)), None, 10)
    assert case.reference in known.text
    assert {b["value"] for b in parsed(known).named("input") if b.get("name") == "do"} == {"add", "withdraw"}
    added = await world.form("/box/r", receipt=receipt, do="add", text="补充：二楼也一样")
    assert "已补充" in added.text
    gone = await world.form("/box/r", receipt=receipt, do="withdraw")
    assert "您已撤回" in gone.text


@pytest.mark.asyncio
async def test_a_receipt_is_never_in_an_address(world: World) -> None:
    receipt = await written(world)
    page = await world.form("/box/r", receipt=receipt)
    digits = receipt.replace("-", "")
    for tag, attrs in parsed(page).found:
        for name in ("href", "action", "src"):
            assert digits not in (attrs.get(name) or "").replace("-", ""), (tag, attrs)
    assert page.headers.get("Location") is None
    by_address = await world.get(f"/box/r?receipt={digits}")
    assert "已收到" not in by_address.text


@pytest.mark.asyncio
async def test_nothing_of_it_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    receipt = await written(world, text="食堂太贵，我叫王小明")
    await world.form("/box/r", receipt=receipt)
    await world.get("/rate/a-secret-token-of-a-link")
    logged = caplog.text
    for secret in (receipt, receipt.replace("-", ""), "王小明", "a-secret-token"):
        assert secret not in logged


@pytest.mark.asyncio
async def test_a_wrong_receipt_is_told_nothing(world: World) -> None:
    for wrong in ("0000-0000-0000-0000", "", "abc", "1" * 4000, "'; drop table receipt; --", "\x00\x07"):
        answer = await world.form("/box/r", {"X-Forwarded-For": f"192.0.2.{len(wrong) % 200}"}, receipt=wrong)
        assert answer.status == 404
        assert "没有这个回执" in answer.text


@pytest.mark.asyncio
async def test_a_button_that_is_not_there_changes_nothing(world: World) -> None:
    receipt = await written(world)
    await registered(world)
    for do in ("rate", "reopen", "approve"):
        answer = await world.form("/box/r", receipt=receipt, do=do, text="为什么", solved="yes", stars="5")
        assert answer.status in (409, 422)
        assert 'role="alert"' in answer.text
        assert "已登记" in answer.text, "how it stands is shown again"


@pytest.mark.asyncio
async def test_what_was_written_stands_in_the_form_again(world: World) -> None:
    blank = await world.form("/box", text="   ", unit="后勤处", contact="x")
    assert blank.status == 422
    assert {"后勤处", "x"} <= {a.get("value") for a in parsed(blank).named("input")}
    long = await world.form("/box", text="长" * 20_001)
    assert long.status == 422
    assert long.text.count("长") > 20_000
    assert "最多 20000 字" in long.text
    with world.deps.uow.read() as store:
        assert store.posts.count() == 0


@pytest.mark.asyncio
async def test_the_longest_text_is_taken(world: World) -> None:
    await written(world, text="食" * 20_000)


@pytest.mark.asyncio
async def test_a_form_sent_twice_is_one_writing(world: World) -> None:
    number = next(
        a["value"] for a in parsed(await world.get("/box")).named("input") if a.get("name") == "once"
    )
    assert number
    answers = await asyncio.gather(*(world.form("/box", text="食堂太贵", once=number) for _n in range(3)))
    assert len({receipt_of(answer) for answer in answers}) == 1
    with world.deps.uow.read() as store:
        assert store.posts.count() == 1
    await written(world, "食堂太贵", once=number + "x")


@pytest.mark.asyncio
async def test_a_closed_box_says_so(tmp_path: Path) -> None:
    async with web_world.serving(tmp_path, channels="") as world:
        for answer in (await world.get("/box"), await world.form("/box", text="食堂太贵")):
            assert answer.status == 503
            assert "没有开放" in answer.text


# --- behind the links ------------------------------------------------------------------------------


async def decided(world: World, text: str = "加微信代写论文 <b>优惠</b>") -> tuple[int, str]:
    """Have a post removed; return its case and the path of the appeal in the notice to its author."""

    def work() -> tuple[int, str]:
        world.hear(text)
        (row,) = queue.page(world.deps, MODERATOR, CaseFilter(kinds=(CaseKind.MODERATION,)), None, 9)
        post = queue.view(world.deps, MODERATOR, row.case.id).posts[0].post
        request = DecisionRequest(
            row.case.id,
            row.case.version,
            Action.REMOVE,
            RuleCode.SPAM_AD,
            (post.id, 0, 3),
            explanation="与本群<无关>",
        )
        decide(world.deps, MODERATOR, request)
        return row.case.id, link(world, row.case.id, "appeal")

    return await asyncio.to_thread(work)


def link(world: World, case_id: int, kind: str) -> str:
    """Return the path of a link in what leaves for a case."""
    with world.deps.uow.read() as store:
        texts = " ".join(effect.text for effect in store.outbox.of_case(case_id))
    found = re.search(rf"{re.escape(world.deps.rules.base_url)}(/{kind}/[A-Za-z0-9_-]+)", texts)
    assert found, texts
    return found[1]


async def answered(world: World) -> tuple[int, str]:
    """Have a grievance answered; return its case and the path of the rating in the answer."""

    def work() -> tuple[int, str]:
        world.hear("食堂太贵，请给个说法")
        (row,) = queue.page(world.deps, OFFICER, CaseFilter(kinds=(CaseKind.GRIEVANCE,)), None, 9)
        case = cases.move(world.deps, OFFICER, row.case.id, row.case.version, "accept")
        cases.move(world.deps, OFFICER, case.id, case.version, "start", unit="后勤处", assignee="hana")
        reply = replies.draft(world.deps, LEADER, case.id, "已议定降价。<i>下周</i>起")
        replies.approve(world.deps, OFFICER, reply.id, reply.version)
        return case.id, link(world, case.id, "rate")

    found = await asyncio.to_thread(work)
    world.clock.advance(minutes=5)
    return found


def state_of(world: World, case_id: int) -> CaseState:
    with world.deps.uow.read() as store:
        return store.cases.get(case_id).state


@pytest.mark.asyncio
async def test_the_statement_of_reasons_and_an_appeal(world: World) -> None:
    case_id, path = await decided(world)
    page = await world.get(path)
    words = parsed(page).words
    for part in ("移除", "垃圾广告", "加微信", "与本群<无关>", "审核员", "由程序提示，由人决定", "申诉截止"):
        assert part in words
    blank = await world.form(path, text="  ")
    assert (blank.status, 'role="alert"' in blank.text) == (422, True)
    sent = await world.form(path, text="这不是广告，是 <b>互助</b>")
    assert sent.status == 200
    assert "正在由另一个人复核" in sent.text
    assert "互助" not in sent.text, "whoever holds the link reads the decision, not what was said against it"
    with world.deps.uow.read() as store:
        (appeal,) = store.cases.page(CaseFilter(kinds=(CaseKind.APPEAL,)), None, 9)

    def review() -> None:
        request = DecisionRequest(appeal.id, appeal.version, Action.RESTORE, explanation="确系互助，改正")
        decide(world.deps, MODERATOR_2, request)

    await asyncio.to_thread(review)
    ended = await world.get(path)
    assert "申诉成立" in ended.text
    assert "确系互助，改正" in ended.text
    assert not parsed(ended).named("textarea")
    late = await world.form(path, text="再说一句")
    assert late.status == 409
    assert state_of(world, case_id) is CaseState.DECIDED


@pytest.mark.asyncio
async def test_an_answer_is_rated_once_by_its_link(world: World) -> None:
    case_id, path = await answered(world)
    page = await world.get(path)
    assert "已议定降价。&lt;i&gt;下周&lt;/i&gt;起" in page.text
    assert "工会网络意见领袖" in page.text
    assert len([a for a in parsed(page).named("input") if a.get("type") == "radio"]) == 8
    for wrong in ({}, {"solved": "yes"}, {"solved": "yes", "stars": "6"}, {"solved": "maybe", "stars": "5"}):
        assert (await world.form(path, {"X-Forwarded-For": "198.51.100.1"}, **wrong)).status == 422
    rated = await world.form(path, solved="yes", stars="5", text="谢谢")
    assert (rated.status, "谢谢您的评价" in rated.text) == (200, True)
    assert state_of(world, case_id) is CaseState.RATED
    again = await world.form(path, solved="no", stars="1")
    assert again.status == 409


@pytest.mark.asyncio
async def test_not_solved_is_done_again(world: World) -> None:
    case_id, path = await answered(world)
    answer = await world.form(path, solved="no", stars="1")
    assert "重新办理" in answer.text
    assert state_of(world, case_id) is CaseState.REDO


@pytest.mark.asyncio
async def test_a_link_of_one_kind_opens_nothing_of_another(world: World) -> None:
    _case, path = await decided(world)
    token = path.rpartition("/")[2]
    for other in (
        f"/rate/{token}",
        f"/appeal/{token}x",
        f"/appeal/{token[:-1]}",
        "/appeal/" + "a" * 300,
        "/appeal/%00",
    ):
        assert (await world.get(other)).status == 404
    by_token = await world.ask("GET", "/v1/queue", headers={"Authorization": f"Bearer {token}"})
    assert by_token.status == 401


@pytest.mark.asyncio
async def test_a_flood_of_appeals_waits_and_loses_no_words(world: World) -> None:
    _case, path = await decided(world)
    for n in range(5):
        assert (await world.form(path, text=f"第 {n} 次说明")).status == 200
    late = await world.form(path, text="第六次说明")
    assert late.status == 429
    assert 0 < int(late.headers["Retry-After"]) <= 60
    assert "第六次说明" in late.text


# --- hostile words ---------------------------------------------------------------------------------

PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "<iframe src=//evil.example></iframe>",
    "<a href=http://evil.example>点我</a>",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "<!--", "]]>", "&lt;script&gt;", "&#60;script&#62;",
    "\u202e反向\u202c\u200b隐形",
)  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.asyncio
async def test_hostile_words_stay_words(world: World, payload: str) -> None:
    answers = [
        await world.form("/box", text="", unit=payload, contact=payload),
        await world.form("/box/r", receipt=payload),
        await world.get("/box?lang=" + payload.replace("&", "%26").replace("#", "%23").replace("%", "%25")),
    ]
    receipt = await written(world, "食堂太贵" + payload, unit=payload)
    answers.append(await world.form("/box/r", receipt=receipt, do="add", text=payload * 500))
    for answer in answers:
        tags = parsed(answer)
        assert answer.status < 500
        assert not {"script", "img", "iframe", "svg"} & {name for name, _attrs in tags.found}
        assert not [n for _tag, attrs in tags.found for n in attrs if n.startswith("on")]
        assert not [
            a for a in tags.named("a") if "evil" in (a["href"] or "") or "javascript" in (a["href"] or "")
        ]
        assert "autofocus" not in {name for _tag, attrs in tags.found for name in attrs}
        assert "\u202e" not in answer.text
        assert "\u200b" not in answer.text


@pytest.mark.asyncio
async def test_hostile_names_of_staff_and_union_stay_words(tmp_path: Path) -> None:
    async with web_world.serving(tmp_path, people=False) as world:
        from monitor.core.model import SYSTEM, Role
        from monitor.usecases import accounts

        roles = frozenset({Role.OFFICER})
        accounts.add_account(
            world.deps,
            SYSTEM,
            "mallory",
            "<b onclick=x>伊夫</b>",
            "<script>x</script>",
            roles,
            None,
            web_world.PASSWORD,
        )
        page = await world.get("/open")
    assert "&lt;b onclick=x&gt;伊夫" in page.text
    assert not {"script", "b"} & {name for name, _attrs in parsed(page).found}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"text=%ff%fe%ed%a0%80", 200),
        (b"text=%00%01%02%7f", 422),
        (b"text=a%00%01%02%7f", 200),
        (b"text=" + b"%E9%A3%9F" * 40_000, 413),
        (b"text=" + b"x" * (1024 * 1024 + 1), 413),
        (b"&".join(b"f%d=1" % n for n in range(100)), 400),
        (b"", 422),
        (b"%", 422),
        (b"\xff\xfe\x00", 422),
    ],
)
@pytest.mark.asyncio
async def test_odd_bytes_never_break_a_form(world: World, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await world.ask("POST", "/box", data=body, headers=headers)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.asyncio
async def test_other_kinds_of_form_are_refused(world: World) -> None:
    for kind in ("multipart/form-data; boundary=x", "application/json", "text/plain"):
        answer = await world.ask("POST", "/box", data=b'{"text": "x"}', headers={"Content-Type": kind})
        assert answer.status == 400


# --- foreign pages and floods ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1"}, False),
    ],
)
@pytest.mark.asyncio
async def test_a_form_must_come_from_our_own_page(world: World, headers: dict[str, str], good: bool) -> None:
    answers = [
        await world.form("/box", headers, text="食堂太贵"),
        await world.form("/box/r", headers, receipt="1"),
    ]
    assert [a.status for a in answers] == ([200, 404] if good else [403, 403])
    if not good:
        assert "食堂太贵" in answers[0].text, "what was written is not lost"
    own = await world.form("/box", {"Origin": world.url}, text="食堂太贵")
    public = await world.form("/box", {"Origin": world.deps.rules.base_url}, text="食堂太贵")
    assert (own.status, public.status) == (200, 200)


@pytest.mark.parametrize(
    ("path", "fields", "first"),
    [
        ("/box", {"text": "食堂太贵"}, 200),
        ("/box/r", {"receipt": "0000"}, 404),
        ("/rate/not-a-token-1", {"solved": "yes"}, 404),
        ("/appeal/not-a-token-1", {"text": "不服"}, 404),
    ],
)
@pytest.mark.asyncio
async def test_the_sixth_within_a_minute_has_to_wait(
    world: World, path: str, fields: dict[str, str], first: int
) -> None:
    seen = [await world.form(path, **fields) for _n in range(6)]
    assert [a.status for a in seen][:5] == [first] * 5
    if path.startswith("/box"):
        assert seen[5].status == 429
        assert 0 < int(seen[5].headers["Retry-After"]) <= 60
        assert "频繁" in seen[5].text
    else:
        assert seen[5].status == 404, "a link that leads nowhere says no more than that"
    elsewhere = await world.form(path, {"X-Forwarded-For": "198.51.100.7"}, **fields)
    assert elsewhere.status == first, "another address is not held up"


@pytest.mark.asyncio
async def test_writing_and_following_are_counted_apart_and_reading_is_free(world: World) -> None:
    for _n in range(5):
        await world.form("/box", text="食堂太贵")
    assert (await world.form("/box/r", receipt="1")).status == 404
    for _n in range(40):
        assert (await world.get("/box")).status == 200


@pytest.mark.asyncio
async def test_only_the_last_hop_of_a_proxy_on_this_machine_is_believed(world: World) -> None:
    for n in range(5):
        chain = f"203.0.113.{n}, 198.51.100.9"
        assert (await world.form("/box", {"X-Forwarded-For": chain}, text="食堂太贵")).status == 200
    forged = await world.form("/box", {"X-Forwarded-For": "203.0.113.99, 198.51.100.9"}, text="食堂太贵")
    assert forged.status == 429
    assert "食堂太贵" in forged.text, "what was written is not lost"


# --- figures ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_small_figures_are_withheld_in_words(world: World) -> None:
    await asyncio.to_thread(world.hear, *(f"食堂太贵，第 {n} 次说" for n in range(3)))
    page = await world.get("/open")
    assert "数据不足" in page.text
    assert page.status == 200
    report = (await world.get("/open.json")).json
    assert report["posts"] is None
    assert report["floor"] == 10
    assert report["responded"] == {"part": None, "whole": None}


@pytest.mark.asyncio
async def test_figures_stand_with_their_denominators(world: World) -> None:
    await asyncio.to_thread(world.hear, *(f"{n} 号宿舍停车难，请给个说法" for n in range(12)))
    world.clock.advance(days=40)
    page = await world.get("/open")
    words = parsed(page).words
    assert "数据不足（共 12 件）" in words, "a rate of a handful is withheld, its denominator is not"
    report = (await world.get("/open.json")).json
    assert report["posts"] == 12
    assert report["cases"]["grievance"] == {"registered": 12}


def test_a_rate_never_stands_without_its_denominator() -> None:
    from monitor.runtime._web import wire
    from monitor.runtime._web.open_page import _rate

    assert _rate(wire.RateOut(12, 16)) == "12 / 16（75.0 %）"
    assert _rate(wire.RateOut(None, 16)) == "数据不足（共 16 件）"
    assert _rate(wire.RateOut(None, None)) == "数据不足"


@pytest.mark.asyncio
async def test_rules_and_answerers_are_public(world: World) -> None:
    words = parsed(await world.get("/open")).words
    assert "批评从来不是违规" in words
    for rule in ("垃圾广告", "诈骗", "泄露他人隐私", "作者本人要求"):
        assert rule in words
    assert "工会网络意见领袖 · 李讲 宣传委员" in words
    assert "莫审" not in words, "who only reviews does not answer"
    assert "第 " in words
