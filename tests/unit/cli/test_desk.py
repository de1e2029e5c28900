"""The queue, cases, trends, ledger and accounts from the command line, over a real store."""

from __future__ import annotations

import io
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_world import Huiyin

from monitor import bootstrap, config
from monitor.testing.builders import KeywordClassifier, PrefixGrouping, raw
from monitor.usecases import ingest, understand

PASSWORD = "a long pass phrase 2026"


@pytest.fixture
def desk(data: Path, huiyin: Huiyin, monkeypatch: pytest.MonkeyPatch) -> Huiyin:
    """A store with two moderators, an officer, and posts that wait."""
    for login, role in (("mod.li", "moderator"), ("mod.wang", "moderator"), ("off.zhao", "officer")):
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        made = huiyin("user", "add", login, "--role", role, "--name", "某人")
        assert made.code == 0, made.err
    app = bootstrap.build(config.load(None, data), models=False)

    deps = replace(
        app.deps,
        classifier=KeywordClassifier(),
        grouping=PrefixGrouping(),
        capabilities=lambda _channel: frozenset(),
    )
    texts = ["期刊代发，加微信咨询", "东区停车难，请给个说法", "听说绩效要砍", "今天天气不错"]
    ingest.ingest(deps, "qq", [raw(str(n), text) for n, text in enumerate(texts)])
    while understand.process(deps, "test"):
        pass
    app.close()
    return huiyin


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_the_queue_is_listed_shown_claimed_decided_and_undone(desk: Huiyin) -> None:
    listed = rows(desk("queue", "list", "--as", "mod.li", "--kind", "moderation", "--json").out)
    assert [row["text"] for row in listed] == ["期刊代发，加微信咨询"]
    case = str(listed[0]["id"])
    shown = json.loads(desk("queue", "show", case, "--as", "mod.li").out)
    assert "keep" in shown["allowed"]
    assert "author" not in json.dumps(shown["posts"][0]["post"]) or shown["posts"][0]["post"]["author"]
    assert json.loads(desk("queue", "claim", case, "--as", "mod.li").out)["holder"] == "mod.li"
    held = desk("queue", "claim", case, "--as", "mod.wang")
    assert held.code == 1
    assert "mod.li" in held.err
    made = json.loads(desk("queue", "decide", case, "--action", "keep", "--as", "mod.li").out)
    assert made["action"] == "keep"
    again = desk("queue", "decide", case, "--action", "keep", "--as", "mod.wang")
    assert again.code == 1
    assert json.loads(desk("queue", "undo", str(made["id"]), "--as", "mod.li").out)["state"] == "pending"


def test_a_restriction_needs_words_of_the_text(desk: Huiyin) -> None:
    case = rows(desk("queue", "list", "--as", "mod.li", "--kind", "moderation", "--json").out)[0]["id"]
    answer = desk(
        "queue", "decide", case, "--action", "remove", "--rule", "SPAM_AD", "--quote", "不在文中", "--as", "mod.li"
    )  # fmt: skip
    assert answer.code == 2
    assert "引文不在原文中" in answer.err


def test_an_officer_moves_a_case_by_its_reference(desk: Huiyin) -> None:
    (row,) = rows(desk("case", "list", "--as", "off.zhao", "--json").out)
    moved = json.loads(desk("case", "move", row["reference"], "accept", "--as", "off.zhao").out)
    assert moved["state"] == "accepted"
    assert (
        json.loads(desk("case", "show", row["reference"], "--as", "off.zhao").out)["case"]["state"]
        == "accepted"
    )
    wrong = desk("case", "move", row["reference"], "fly", "--as", "off.zhao")
    assert wrong.code == 1
    assert desk("claim", "list", "--as", "off.zhao", "--json").code == 0


def test_lists_read_as_tables_too(desk: Huiyin) -> None:
    out = desk("queue", "list", "--as", "mod.li").out
    assert "加微信" in out
    assert "mod.li" in desk("user", "list").out


def test_nobody_acts_without_an_account(desk: Huiyin) -> None:
    assert desk("queue", "list").code in (1, 2)
    unknown = desk("queue", "list", "--as", "nobody")
    assert unknown.code == 1
    assert "没有这个账号" in unknown.err
    assert desk("user", "disable", "mod.wang").code == 0
    assert "已停用" in desk("queue", "list", "--as", "mod.wang").err


def test_trends_hide_small_groups(desk: Huiyin) -> None:
    answer = desk("trends", "--as", "off.zhao", "--from", "2026-03-01", "--to", "2026-03-04", "--json")
    (cell,) = rows(answer.out)
    assert cell["hidden"] is True
    assert cell["n"] == 0
    assert desk("trends", "--as", "off.zhao", "--from", "yesterday").code == 2


def test_the_ledger_verifies_until_somebody_changes_it(desk: Huiyin, data: Path) -> None:
    head = json.loads(desk("ledger", "head").out)
    assert head["seq"] > 0
    assert json.loads(desk("ledger", "verify").out)["ok"] is True
    (row,) = rows(desk("case", "list", "--as", "off.zhao", "--json").out)
    proof = rows(desk("ledger", "prove", row["reference"]).out)
    assert proof
    assert not any("停车" in json.dumps(entry, ensure_ascii=False) for entry in proof)
    with sqlite3.connect(data / "huiyin.db") as link:
        link.execute("DROP TRIGGER ledger_no_update")
        link.execute("UPDATE ledger SET ref = 'HY-999999' WHERE seq = 2")
    broken = desk("ledger", "verify")
    assert broken.code == 1
    assert json.loads(broken.out)["first_bad"] == 2


def test_accounts_are_kept_by_command(desk: Huiyin, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk("user", "role", "mod.li", "--role", "moderator", "--role", "officer").code == 0
    found = {row["login"]: row for row in rows(desk("user", "list", "--json").out)}
    assert set(found["mod.li"]["roles"]) == {"moderator", "officer"}
    assert "password" not in json.dumps(found)
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert desk("user", "passwd", "mod.li").code == 2
    token = desk("user", "token", "mod.li", "--name", "reports").out.strip()
    assert len(token) > 20


# --- learning --------------------------------------------------------------------------------------


def test_a_label_is_handed_out_filled_in_and_accepted_by_another_person(
    desk: Huiyin, data: Path, tmp_path: Path
) -> None:
    case = rows(desk("queue", "list", "--as", "mod.li", "--kind", "moderation", "--json").out)[0]["id"]
    desk("queue", "decide", case, "--action", "keep", "--as", "mod.li")
    (ask,) = rows(desk("learn", "decided", "--as", "mod.wang").out)
    assert (ask["proposed"], ask["decided_by"], ask["spam"]) == ({"spam": 0, "abuse": 0}, "mod.li", None)
    assert len(rows(desk("learn", "sample", "--n", "3", "--days", "366", "--as", "off.zhao").out)) == 3
    filled = tmp_path / "ask.jsonl"
    filled.write_text(json.dumps({**ask, "spam": 1}), encoding="utf-8")
    own = desk("learn", "accept", filled, "--as", "mod.li")
    assert (own.code, own.rows()[0]["accepted"]) == (3, 0)
    taken = desk("learn", "accept", filled, "--as", "mod.wang")
    assert taken.code == 0, taken.err
    (labels,) = (data / "labels").glob("*.jsonl")
    assert labels.stat().st_mode & 0o777 == 0o600
    (row,) = rows(labels.read_text(encoding="utf-8"))
    assert (row["text"], row["spam"], row["reviewed_by"]) == (ask["text"], 1, "mod.wang")
    assert desk("ledger", "verify").code == 0


def test_the_report_on_the_models_and_reading_the_archive_again(desk: Huiyin) -> None:
    told = desk("learn", "report", "--as", "off.zhao", "--json")
    assert told.code == 0, told.err
    assert {one["label"] for one in told.rows()[0]["drift"]} == {
        "spam",
        "rumour",
        "grievance",
        "abuse",
        "risk",
    }
    assert desk("learn", "report", "--as", "off.zhao").code == 0
    first = desk("reclassify", "--batch", "2", "--most", "2").rows()[0]
    assert (first["looked"], first["reread"], first["finished"]) == (2, 2, False)
    rest = desk("reclassify").rows()[0]
    assert (rest["looked"], rest["reread"], rest["finished"]) == (2, 2, True)
    assert desk("reclassify", "--restart").rows()[0]["reread"] == 0
