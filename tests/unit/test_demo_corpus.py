"""The demo week keeps the shape that the player, the walk-through and the figures rely on."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WEEK = ROOT / "corpora" / "demo" / "week.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in WEEK.read_text(encoding="utf-8").splitlines()]
BY_ID = {row["id"]: row for row in ROWS}
KEYS = {"at", "via", "group", "user", "name", "role", "id", "text", "reply_to", "event", "story", "expect"}
TOPICS = {
    *("pay", "title", "workload", "contract", "housing", "children", "health", "canteen"),
    *("facilities", "welfare", "reimbursement", "safety", "retirement", "other"),
}
FLAGS = ("spam", "rumour", "grievance", "abuse", "risk")


def labelled(flag: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["expect"][flag]]


def test_rows_have_the_shape_of_the_card() -> None:
    for row in ROWS:
        where = row["id"]
        assert set(row) >= KEYS, where
        assert set(row) - KEYS <= {"target", "contact"}, where
        assert row["event"] in {"message", "recall"}, where
        assert bool(row["text"].strip()) == (row["event"] == "message"), where
        assert ("target" in row) == (row["event"] == "recall"), where


def test_sender_fits_the_way_in() -> None:
    for row in ROWS:
        if row["via"] == "box":
            assert (row["group"], row["user"], row["name"]) == (None, 0, ""), row["id"]
        else:
            assert (row["via"], row["group"] in {700001, 700002}) == ("qq", True), row["id"]
            assert row["user"] > 0, row["id"]
            assert row["role"] == ("admin" if row["name"] == "工会小秘" else "member"), row["id"]


def test_labels_follow_the_guideline() -> None:
    for row in ROWS:
        expect, where = row["expect"], row["id"]
        assert set(expect) == {*FLAGS, "topic", "sentiment", "urgency"}, where
        assert all(expect[flag] in {0, 1} for flag in FLAGS), where
        assert expect["sentiment"] in {"negative", "neutral", "positive"}, where
        assert (expect["topic"] in TOPICS) == bool(expect["grievance"] or expect["rumour"]), where
        judged = expect["grievance"] or expect["rumour"] or expect["risk"]
        assert (expect["urgency"] in {"high", "normal", "low"}) == bool(judged), where
        assert row["story"] != "criticism" or not (expect["spam"] or expect["abuse"]), where


def test_ids_are_unique_and_times_rise_within_one_week() -> None:
    times = [row["at"] for row in ROWS]
    assert len(BY_ID) == len(ROWS)
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[0] >= 0
    assert times[-1] < 7 * 86_400
    assert {at // 86_400 for at in times} == set(range(7))


def test_day_has_the_rhythm_of_a_campus() -> None:
    hours = Counter(row["at"] // 3600 % 24 for row in ROWS)
    assert not any(hours[hour] for hour in range(6))
    assert hours[8] > hours[23]


def test_references_point_back_to_a_message_of_the_same_group() -> None:
    for row in ROWS:
        for key in filter(None, (row["reply_to"], row.get("target"))):
            assert BY_ID[key]["event"] == "message", row["id"]
            assert BY_ID[key]["at"] < row["at"], row["id"]
            assert BY_ID[key]["group"] == row["group"], row["id"]
        if row["event"] == "recall":
            assert BY_ID[row["target"]]["user"] == row["user"], row["id"]


def test_user_and_name_belong_together() -> None:
    pairs = {(row["user"], row["name"]) for row in ROWS}
    assert len(pairs) == len({user for user, _ in pairs}) == len({name for _, name in pairs})


def test_week_holds_the_rumour_and_the_campaign() -> None:
    stories = Counter(row["story"] for row in ROWS)
    assert 420 <= len(ROWS) <= 600
    assert 25 <= stories["pay_cut"] <= 60
    assert {row["group"] for row in ROWS if row["story"] == "pay_cut"} == {700001, 700002}
    assert len([row for row in labelled("rumour") if row["story"] == "pay_cut"]) >= 15
    assert 20 <= stories["campaign"] <= 30
    assert stories["ad"] >= 8
    assert stories["talk"] > len(ROWS) / 2


def test_week_holds_people_who_need_an_answer() -> None:
    stories = Counter(row["story"] for row in ROWS)
    assert 12 <= stories["grievance"] <= 24
    assert len({row["expect"]["topic"] for row in ROWS if row["story"] == "grievance"}) >= 10
    assert any(row["expect"]["urgency"] == "high" for row in labelled("grievance"))
    assert stories["criticism"] >= 10
    assert 5 <= len(labelled("abuse")) <= 8
    assert 2 <= stories["risk"] <= 3
    assert len([row for row in ROWS if row["via"] == "box"]) >= 5
    assert any("contact" in row for row in ROWS)


def test_week_holds_recalls_and_replies() -> None:
    assert 6 <= len([row for row in ROWS if row["event"] == "recall"]) <= 8
    assert len([row for row in ROWS if row["reply_to"]]) >= 15


def test_card_states_the_counts_of_the_file() -> None:
    card = (WEEK.parent / "README.md").read_text(encoding="utf-8")
    stated = {name: int(count) for name, count in re.findall(r"^\| `(\w+)` \| (\d+) \|", card, re.MULTILINE)}
    assert stated == Counter(row["story"] for row in ROWS)
    via = Counter(row["via"] for row in ROWS)
    assert f"{via['qq']} events in two QQ groups and {via['box']} posts" in " ".join(card.split())
    carriers = sum(row["story"] == "pay_cut" for row in labelled("rumour"))
    assert f"{carriers} of the lines carry the claim" in card


def test_numbers_are_obviously_invented() -> None:
    for row in ROWS:
        said = row["text"] + " " + row.get("contact", "")
        assert set(re.findall(r"1[3-9]\d{9}", said)) <= {"13800000000"}, row["id"]
        assert not re.search(r"\d{17}[\dXx]", said), row["id"]
        for host in re.findall(r"(?:https?://|@)([\w-]+(?:\.[\w-]+)+)", said, re.ASCII):
            assert host.endswith(("example.org", "example.com")), row["id"]
