"""The paths for programs, over a real server and a real store: who may, once only, in which version, with which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import web_world
from web_world import Answer, World

from monitor.core.errors import StoreError
from monitor.core.model import SYSTEM
from monitor.usecases import accounts, trends

pytestmark = pytest.mark.asyncio

SPAM = "加微信代写论文，价格从优"
ABUSE = "你就是个傻子"
GRIEVANCE = "食堂太贵，请给个说法"
RUMOUR = "听说下月要扣工资"


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with web_world.serving(tmp_path) as served:
        yield served


async def heard(world: World, *texts: str, login: str = "mo", **query: str) -> list[dict[str, Any]]:
    """Take posts in and return the queue as ``login`` sees it."""
    await asyncio.to_thread(world.hear, *texts)
    return list((await queue(world, login, **query)).json["items"])


async def queue(world: World, login: str, **query: str) -> Answer:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return await world.get(f"/v1/queue?{asked}", login)


def quoting(row: dict[str, Any], words: str, post_id: int) -> dict[str, int]:
    start = row["first_text"].index(words)
    return {"post_id": post_id, "start": start, "end": start + len(words)}


async def removal(world: World, row: dict[str, Any], words: str) -> dict[str, Any]:
    """Return the body of a removal of the case in ``row``."""
    case = (await world.get(f"/v1/cases/{row['case']['id']}", "mo")).json
    post = case["posts"][0]["post"]
    return {
        "version": case["case"]["version"],
        "action": "remove",
        "rule": "SPAM_AD",
        "quote": quoting(row, words, post["id"]),
        "explanation": "与本群无关的推广",
    }


# --- who ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic bW86bW8=",
        "Bearer hy_not-a-token-that-we-issued",
        "Bearer " + "x" * 4000,
    ],
)
async def test_without_a_valid_token_nobody_gets_in(world: World, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (("GET", "/v1/queue"), ("POST", "/v1/cases/1/claim"), ("GET", "/v1/ledger/head")):
        answer = await world.ask(method, path, headers=headers)
        assert (answer.status, answer.problem) == (401, "auth.required")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_closed_account_closes_its_tokens(world: World) -> None:
    assert (await queue(world, "mona")).status == 200
    accounts.disable(world.deps, SYSTEM, "mona")
    assert (await queue(world, "mona")).problem == "auth.required"


async def test_roles_decide(world: World) -> None:
    (row,) = await heard(world, SPAM)
    path = f"/v1/cases/{row['case']['id']}"
    for login in ("ada", "lea", "hana"):
        assert (await world.get(path, login)).problem == "policy.not_allowed"
        answer = await world.change(login, f"{path}/claim", {"version": 999})
        assert answer.problem == "policy.not_allowed", "not even the version is told"
    assert (await queue(world, "ada")).problem == "policy.not_allowed"
    assert (await world.get("/v1/trends", "hana")).problem == "policy.not_allowed"
    for path in ("/v1/ledger/head", "/v1/ledger/verify", "/v1/reports"):
        assert (await world.get(path, "ada")).status == 200


# --- reading ---------------------------------------------------------------------------------------


async def test_the_queue_is_paged_by_key(world: World) -> None:
    rows = await heard(world, *(f"{n} 号：{SPAM}" for n in range(7)), limit="100")
    assert len(rows) == 7
    seen: list[int] = []
    after = ""
    for _page in range(4):
        answer = (await queue(world, "mo", limit="2", **({"after": after} if after else {}))).json
        seen += [row["case"]["id"] for row in answer["items"]]
        after = answer["next"]
    assert after is None
    assert seen == [row["case"]["id"] for row in rows]


async def test_the_queue_is_narrowed(world: World) -> None:
    await heard(world, SPAM, GRIEVANCE, RUMOUR)
    kinds = {row["case"]["kind"] for row in (await queue(world, "otto")).json["items"]}
    assert kinds == {"moderation", "grievance", "clarification"}
    answer = await world.get("/v1/queue?kind=grievance&kind=clarification&state=registered", "otto")
    assert {row["case"]["kind"] for row in answer.json["items"]} == {"grievance"}
    assert (await queue(world, "otto", channel="nowhere")).json == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("/v1/queue?limit=0", "query.limit"),
        ("/v1/queue?limit=101", "query.limit"),
        ("/v1/queue?limit=1&limit=2", "query.limit"),
        ("/v1/queue?limit=abc", "query.limit"),
        ("/v1/queue?limit=" + "9" * 900, "query.limit"),
        ("/v1/queue?kind=praise", "query.kind[0]"),
        ("/v1/queue?after=1", "query.after"),
        ("/v1/queue?after=1.2.3", "query.after"),
        ("/v1/queue?author=abc", "query"),
        ("/v1/claims?after=-1", "query.after"),
        ("/v1/claims?after=9007199254740992", "query.after"),
        ("/v1/trends?by=year", "query.by"),
        ("/v1/trends?group=author", "query.group"),
        ("/v1/trends?since=2026-01-01", "query.since"),
        ("/v1/trends?since=2026-01-01T00:00:00", "query.since"),
        ("/v1/trends?until=never", "query.until"),
        ("/v1/trends?until=null", "query.until"),
        ("/v1/trends?until=0.5", "query.until"),
    ],
)
async def test_a_wrong_parameter_is_named(world: World, path: str, wrong: str) -> None:
    answer = await world.get(path, "otto")
    assert answer.problem == "request.invalid"
    assert [error["path"] for error in answer.json["errors"]] == [wrong]


async def test_a_case_shows_what_may_be_done_and_no_author(world: World) -> None:
    (row,) = await heard(world, SPAM)
    case = (await world.get(f"/v1/cases/{row['case']['id']}", "mo")).json
    assert {"keep", "remove"} <= set(case["allowed"])
    assert case["posts"][0]["reading"]["tier"] == "fast"
    assert case["events"][0]["kind"] == "opened"
    assert case["holder"] is None
    for post in [case["posts"][0]["post"], *case["thread"]]:
        assert not {"author", "handle", "identity", "contact", "receipt"} & set(post)


@pytest.mark.parametrize(
    "number", ["0", "-1", "abc", "1.5", "9007199254740992", "9" * 400, "%00", "1%2F2", "１"]
)
async def test_what_is_no_id_leads_nowhere(world: World, number: str) -> None:
    for login in ("mo", "otto"):
        assert (await world.get(f"/v1/cases/{number}", login)).status == 404
    assert (await world.get("/v1/cases/999", "mo")).problem == "store.not_found"


async def test_trends_are_counted_and_small_groups_hidden(world: World) -> None:
    await heard(world, *(f"{n} 号楼停车难" for n in range(8)), login="otto")
    answer = (await world.get("/v1/trends?by=day&group=channel", "otto")).json
    assert [(cell["key"], cell["n"]) for cell in answer["cells"]] == [("qq", 8)]
    assert answer["totals"]["posts"] == 8
    few = (await world.get("/v1/trends?channel=nowhere", "otto")).json
    assert few["totals"] == {"hidden": 1}
    assert trends.STEPS == ("hour", "day", "week")


async def test_claims_are_listed(world: World) -> None:
    assert (await world.get("/v1/claims?limit=1", "lea")).json == {"items": [], "next": None}


async def test_the_ledger_can_be_checked(world: World) -> None:
    (row,) = await heard(world, SPAM)
    head = (await world.get("/v1/ledger/head", "mo")).json["head"]
    verified = (await world.get("/v1/ledger/verify", "mo")).json
    assert verified == {"ok": True, "count": head["seq"], "first_bad": None}
    proof = (await world.get(f"/v1/ledger/prove/{row['case']['reference']}", "mo")).json
    assert [entry["kind"] for entry in proof["entries"]] == ["case.opened"]
    assert proof["head"] == head
    unknown = (await world.get("/v1/ledger/prove/%E2%80%AE%00'--", "mo")).json
    assert unknown["entries"] == []
    assert (await world.get(f"/v1/ledger/prove/{'x' * 101}", "mo")).problem == "request.not_found"


# --- changing --------------------------------------------------------------------------------------


async def test_claim_decide_and_undo(world: World) -> None:
    (row,) = await heard(world, SPAM)
    path = f"/v1/cases/{row['case']['id']}"
    claimed = await world.change("mo", f"{path}/claim", {"version": row["case"]["version"]})
    assert (claimed.status, claimed.json["holder"]) == (200, "mo")
    taken = await world.change("mona", f"{path}/claim", {"version": claimed.json["case"]["version"]})
    assert taken.problem == "store.conflict"
    made = await world.change("mo", f"{path}/decisions", await removal(world, row, "加微信"))
    assert made.status == 200
    assert (made.json["action"], made.json["rule"], made.json["proposed"]) == ("remove", "SPAM_AD", False)
    case = (await world.get(path, "mo")).json
    assert case["case"]["state"] == "decided"
    assert case["decisions"][0]["quote"]["text"] == "加微信"
    assert "remove" in {effect["kind"] for effect in case["effects"]}
    body = {"version": case["case"]["version"], "decision_id": made.json["id"]}
    undone = await world.change("mo", f"{path}/undo", body)
    assert (undone.status, undone.json["state"]) == (200, "pending")
    verified = (await world.get("/v1/ledger/verify", "mo")).json
    assert verified["ok"]


async def test_a_grievance_is_removed_by_two_or_not_at_all(world: World) -> None:
    (row,) = await heard(world, f"{GRIEVANCE}，{SPAM}")
    path = f"/v1/cases/{row['case']['id']}/decisions"
    first = await world.change("mo", path, await removal(world, row, "加微信"))
    assert (first.json["proposed"], first.json["id"]) == (True, None)
    again = await world.change("mo", path, await removal(world, row, "加微信"))
    assert again.problem == "policy.bad_move"
    second = await world.change("mona", path, await removal(world, row, "加微信"))
    assert second.json["proposed"] is False


async def test_the_version_seen_counts(world: World) -> None:
    first, second = await heard(world, SPAM, ABUSE)
    number = first["case"]["id"]
    for name, more in (
        ("claim", {}),
        ("release", {}),
        ("decisions", {"action": "keep"}),
        ("undo", {"decision_id": 1}),
        ("moves", {"action": "accept"}),
        ("replies", {"text": "您好"}),
    ):
        body = {"version": first["case"]["version"] + 7, **more}
        login = "otto" if name in ("moves", "replies") else "mo"
        assert (await world.change(login, f"/v1/cases/{number}/{name}", body)).problem == "store.conflict", (
            name
        )
    keep = {"version": second["case"]["version"], "action": "keep"}
    made = await world.change("mo", f"/v1/cases/{second['case']['id']}/decisions", keep)
    case = (await world.get(f"/v1/cases/{number}", "mo")).json["case"]
    foreign = {"version": case["version"], "decision_id": made.json["id"]}
    assert (await world.change("mo", f"/v1/cases/{number}/undo", foreign)).problem == "store.not_found"


async def test_a_grievance_is_accepted_answered_and_approved_by_another(world: World) -> None:
    (row,) = await heard(world, GRIEVANCE, login="otto")
    path = f"/v1/cases/{row['case']['id']}"
    moved = await world.change(
        "otto", f"{path}/moves", {"version": row["case"]["version"], "action": "accept"}
    )
    assert moved.json["state"] == "accepted"
    started = await world.change(
        "otto",
        f"{path}/moves",
        {"version": moved.json["version"], "action": "start", "unit": "后勤处", "assignee": "hana"},
    )
    assert (started.json["state"], started.json["assignee"]) == ("in_work", "hana")
    draft = await world.change(
        "hana", f"{path}/replies", {"version": started.json["version"], "text": "已与食堂议定，下周起降价。"}
    )
    assert (draft.status, draft.json["state"]) == (200, "draft")
    now = (await world.get(path, "hana")).json
    better = await world.change(
        "hana",
        f"{path}/replies",
        {
            "version": now["case"]["version"],
            "text": "已与食堂议定，下周一起降价一成。",
            "reply_id": draft.json["id"],
            "reply_version": draft.json["version"],
        },
    )
    assert (better.json["id"], better.json["version"]) == (draft.json["id"], draft.json["version"] + 1)
    approve = f"/v1/replies/{draft.json['id']}/approve"
    assert (await world.change("hana", approve, {"version": 2})).problem == "policy.not_allowed"
    assert (await world.change("otto", approve, {"version": 1})).problem == "store.conflict"
    approved = await world.change("otto", approve, {"version": 2})
    assert (approved.json["state"], approved.json["approved_by"]) == ("approved", "otto")
    assert (await world.get(path, "otto")).json["case"]["state"] == "answered"


async def test_a_move_that_is_none_is_refused(world: World) -> None:
    (row,) = await heard(world, GRIEVANCE, login="otto")
    path = f"/v1/cases/{row['case']['id']}/moves"
    for action, code in (
        ("fly", "policy.bad_move"),
        ("rate", "policy.bad_move"),
        ("decline", "policy.bad_input"),
    ):
        answer = await world.change("otto", path, {"version": row["case"]["version"], "action": action})
        assert answer.problem == code, action


# --- once ------------------------------------------------------------------------------------------


async def test_the_same_key_twice_is_one_change_and_one_answer(world: World) -> None:
    (row,) = await heard(world, SPAM)
    path = f"/v1/cases/{row['case']['id']}/decisions"
    body = {"version": row["case"]["version"], "action": "keep"}
    answers = await asyncio.gather(*(world.change("mo", path, body, key="same") for _n in range(8)))
    good = [a for a in answers if a.status == 200]
    assert good
    assert {a.problem for a in answers if a.status != 200} <= {"idempotency.answer_lost"}
    later = await world.change("mo", path, body, key="same")
    assert {a.body for a in [*good, later]} == {good[0].body}
    case = (await world.get(f"/v1/cases/{row['case']['id']}", "mo")).json
    assert len(case["decisions"]) == 1
    other = await world.change("mo", path, body | {"note": "x"}, key="same")
    assert (other.status, other.problem) == (422, "idempotency.reused")
    stranger = await world.change("mona", path, body, key="same")
    assert stranger.problem == "store.conflict", "a key belongs to one account"


@pytest.mark.parametrize("key", [None, "", " ", "k" * 201, "钥匙", "a b"])
async def test_every_change_needs_a_key(world: World, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {world.tokens['mo']}"}
    headers |= {} if key is None else {"Idempotency-Key": key}
    answer = await world.ask("POST", "/v1/cases/1/claim", data=b'{"version": 1}', headers=headers)
    assert answer.problem == "request.invalid"
    assert answer.json["errors"][0]["path"] == "header.Idempotency-Key"


async def test_what_was_refused_can_be_asked_again_under_its_key(world: World) -> None:
    (row,) = await heard(world, SPAM)
    path = f"/v1/cases/{row['case']['id']}/claim"
    assert (await world.change("mo", path, {"version": 99}, key="k")).problem == "store.conflict"
    assert (await world.change("mo", path, {"version": row["case"]["version"]}, key="k")).status == 200


# --- bad input (X-05, X-06) ------------------------------------------------------------------------

BODIES = {
    "empty": b"",
    "half": b'{"version": 1, "act',
    "surrogate": b'{"version": 1, "action": "keep", "note": "\\ud83d"}',
    "raw nul": b'{"version": 1, "action": "keep", "note": "a\x00b"}',
    "bytes": b'{"version": 1, "action": "keep", "note": "\xff\xfe"}',
    "gb18030": '{"version": 1, "action": "keep", "note": "食堂"}'.encode("gb18030"),
    "bom": b'\xef\xbb\xbf{"version": 1, "action": "keep"}',
    "nan": b'{"version": NaN, "action": "keep"}',
    "infinity": b'{"version": 1e999, "action": "keep"}',
    "digits": b'{"version": ' + b"9" * 5000 + b', "action": "keep"}',
    "2**70": b'{"version": 1180591620717411303424, "action": "keep"}',
    "deep": b'{"version": 1, "action": "keep", "note": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep open": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "many keys": json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    "list": b"[]",
    "long note": json.dumps({"version": 1, "action": "keep", "note": "长" * 2001}).encode(),
}


@pytest.mark.parametrize("name", BODIES)
async def test_bad_bodies_are_refused_and_never_break_anything(world: World, name: str) -> None:
    (row,) = await heard(world, SPAM)
    number = row["case"]["id"]
    for path in (f"/v1/cases/{number}/decisions", f"/v1/cases/{number}/claim", "/v1/replies/1/approve"):
        answer = await world.change("mo", path, BODIES[name])
        assert 400 <= answer.status < 500, name
        assert answer.problem.startswith(("request.", "store.", "policy."))


async def test_a_mebibyte_is_the_most(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.tokens['mo']}", "Idempotency-Key": "k"}
    exact = b'{"version": 1' + b" " * (1024 * 1024 - 14) + b"}"
    assert len(exact) == 1024 * 1024
    answer = await world.ask("POST", "/v1/cases/1/claim", data=exact, headers=headers)
    assert answer.problem == "store.not_found"
    answer = await world.ask("POST", "/v1/cases/1/claim", data=exact + b" ", headers=headers)
    assert (answer.status, answer.problem) == (413, "request.too_large")


async def test_a_packed_bomb_is_refused(world: World) -> None:
    import gzip

    headers = {
        "Authorization": f"Bearer {world.tokens['mo']}",
        "Idempotency-Key": "k",
        "Content-Encoding": "gzip",
    }
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    answer = await world.ask("POST", "/v1/cases/1/claim", data=bomb, headers=headers)
    assert answer.status in (400, 413)
    broken = await world.ask("POST", "/v1/cases/1/claim", data=b"not gzip at all", headers=headers)
    assert broken.status == 400


@pytest.mark.parametrize(
    "words", ["a\x00b\x07", "零\u200b宽", "\u202e反", "🙂" * 50, "'; DROP TABLE post; --"]
)
async def test_odd_words_are_stored(world: World, words: str) -> None:
    (row,) = await heard(world, SPAM)
    body = {"version": row["case"]["version"], "action": "keep", "note": words}
    answer = await world.change("mo", f"/v1/cases/{row['case']['id']}/decisions", body)
    assert answer.status == 200
    channel = words.encode().hex("%")
    assert (await world.get(f"/v1/queue?channel=%{channel}", "mo")).status == 200


# --- refusals of the server itself -----------------------------------------------------------------


async def test_no_such_path_and_no_such_method_are_problems_too(world: World) -> None:
    assert (await world.get("/v1/nothing")).problem == "request.not_found"
    assert (await world.get("/")).problem == "request.not_found"
    answer = await world.ask("DELETE", "/v1/queue")
    assert (answer.status, answer.problem) == (405, "request.method")
    assert "GET" in answer.headers["Allow"]


class _Broken(Exception):
    pass


async def test_the_unexpected_is_a_problem_without_detail(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_given: object) -> None:
        raise _Broken("a secret of a member: 13800001111")

    monkeypatch.setattr(accounts, "actor_of_token", breaks)
    answer = await world.get("/v1/queue", "mo")
    assert (answer.status, answer.problem) == (500, "plugin")
    assert set(answer.json) == {"type", "title", "status"}
    printed = capsys.readouterr()
    assert "13800001111" not in printed.out + printed.err
    assert "test_service_api.py" in printed.out + printed.err, "where it broke is in the log"


async def test_a_store_that_does_not_answer_is_a_503_with_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_given: object) -> None:
        raise StoreError("another process keeps the database busy; try again")

    monkeypatch.setattr(accounts, "actor_of_token", busy)
    answer = await world.get("/v1/queue", "mo")
    assert (answer.status, answer.problem) == (503, "store")
    assert int(answer.headers["Retry-After"]) > 0


# --- operators -------------------------------------------------------------------------------------


async def test_alive_is_not_ready(world: World) -> None:
    assert (await world.get("/healthz")).json == {"status": "ok"}
    answer = await world.get("/readyz")
    assert answer.status == 503
    assert answer.json["checks"] == {"store": "ok", "migrations": "ok", "intake": "the intake is not running"}


async def test_ready_once_the_loops_of_this_process_give_signs_of_life(world: World) -> None:
    from monitor.runtime.parts import Pulse

    Pulse(world.app, "service").beat(now=True)
    answer = await world.get("/readyz")
    assert (answer.status, answer.json["ready"]) == (200, True)
    world.clock.advance(seconds=40)
    assert (await world.get("/readyz")).status == 503, "a sign of life grows old"


async def test_the_whole_process_gets_ready_and_stops(tmp_path: Path) -> None:
    import socket

    import aiohttp

    from monitor.runtime.serving import serve

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    app = web_world.new_app(tmp_path, web_world.BOX + web_world.HOOK, port)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(app, stop))
    async with aiohttp.ClientSession() as client:
        for _n in range(100):
            await asyncio.sleep(0.05)
            try:
                async with client.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    ready = await answer.json()
            except aiohttp.ClientError:
                continue
            if ready["ready"]:
                break
    stop.set()
    await asyncio.wait_for(serving, 10)
    app.close()
    assert ready == {"ready": True, "checks": {"store": "ok", "migrations": "ok", "intake": "ok"}}


async def test_another_schema_is_not_ready(tmp_path: Path) -> None:
    import sqlite3

    async with web_world.serving(tmp_path, people=False) as world:
        with sqlite3.connect(tmp_path / "huiyin.db") as link:
            link.execute("UPDATE alembic_version SET version_num = 'older'")
        link.close()
        checks = (await world.get("/readyz")).json["checks"]
    assert "huiyin db upgrade" in checks["migrations"]


async def test_figures_for_monitoring_hold_counts_and_no_words(world: World) -> None:
    await heard(world, SPAM, GRIEVANCE)
    await world.get("/rate/a-secret-token-of-a-link")
    await world.get("/nobody/knows/this/path")
    answer = await world.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert "huiyin_posts 2.0" in lines
    assert 'huiyin_cases{kind="moderation",state="pending"} 1.0' in lines
    assert 'huiyin_outbox{state="new"} 0.0' in lines
    assert 'huiyin_jobs{state="waiting"} 0.0' in lines
    assert 'huiyin_channel_error_rate{channel="qq"} 0.0' in lines
    assert any(line.startswith('huiyin_channel_last_post_seconds{channel="qq"} ') for line in lines)
    assert any(
        line.startswith('huiyin_http_seconds_count{method="GET",route="/v1/queue",status="2xx"}')
        for line in lines
    )
    assert 'route="/rate/{token}"' in answer.text
    for secret in ("a-secret-token", "nobody", SPAM, "13800", 'mo"'):
        assert secret not in answer.text


async def test_figures_are_for_this_machine_or_with_a_token(world: World) -> None:
    through_proxy = {"X-Forwarded-For": "198.51.100.7"}
    assert (await world.get("/metrics", **through_proxy)).problem == "auth.required"
    assert (await world.get("/metrics", "mo", **through_proxy)).problem == "policy.not_allowed"
    assert (await world.get("/metrics", "ada", **through_proxy)).status == 200
