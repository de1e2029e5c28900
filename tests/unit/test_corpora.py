"""Our own corpora keep their shape, and no post of theirs stands twice within or across splits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corpora import check

LONG = "三食堂二楼的洗碗池又堵了，水漫到走廊，打饭的人只好绕着走"


def row(name: str, text: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": name, "channel": "forum", "text": text, **dict.fromkeys(check.YES_NO, 0)}
    return {**made, "topic": None, "sentiment": "neutral", "urgency": None, "note": "", "hard": False, **more}


def test_every_row_of_every_part_has_the_shape_of_the_card() -> None:
    parts = check.read()
    assert len(parts) >= 70
    assert sum(map(len, parts.values())) >= 41_000
    assert not [fault for part, rows in parts.items() for fault in check.faults(part, rows)]


def test_no_post_stands_twice() -> None:
    held_out = frozenset(
        json.loads((check.HOME / "domain" / "split.json").read_text(encoding="utf-8"))["test"]
    )
    assert held_out == {f"part{n}" for n in (5, 11, 13, 70, 71, 86, 90)}
    assert check.twins(check.read(), held_out) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": " "},
        {"channel": "sms"},
        {"spam": 2},
        {"sentiment": "angry"},
        {"grievance": 1, "urgency": "low"},
        {"topic": "pay"},
        {"grievance": 1, "topic": "money", "urgency": "low"},
        {"risk": 1},
        {"urgency": "high"},
        {"risk": 1, "urgency": "soon"},
        {"more": 1},
    ],
)
def test_a_wrong_row_is_told(wrong: dict[str, Any]) -> None:
    assert not list(check.faults("part1", [row("a", "甲")]))
    assert len(list(check.faults("part1", [{**row("a", "甲"), **wrong}]))) == 1


def test_an_id_that_stands_twice_is_told() -> None:
    assert list(check.faults("part1", [row("a", "甲"), row("a", "乙")])) == ["part1 a: the id stands twice"]


def test_equal_and_nearly_equal_posts_are_found_and_what_crosses_the_split_is_told() -> None:
    parts = {
        "part1": [row("a", LONG), row("b", "全新的一句话，与前面那句没有一点相同之处")],
        "part2": [row("c", LONG + "！！"), row("d", LONG[:-1] + "行")],
    }
    found = {(pair.one, pair.other): pair for pair in check.twins(parts, frozenset({"part2"}))}
    assert set(found) == {("a", "c"), ("a", "d"), ("c", "d")}
    assert found["a", "c"].shared == 1.0
    assert found["a", "c"].crosses
    assert 0.8 <= found["a", "d"].shared < 1.0
    assert not found["c", "d"].crosses


def test_short_posts_and_other_words_are_no_twins() -> None:
    parts = {
        "part1": [
            row("a", "收到"),
            row("b", "收到"),
            row("c", LONG),
            row("d", "班车改到七点发车，早课的老师来得及"),
        ]
    }
    assert check.twins(parts) == []
