"""Long answers: every message is short enough, breaks nothing, and says who speaks and for what."""

from __future__ import annotations

import re

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors._parts import parts_of, split_text
from connectors._wechat_wire import LIMIT, weight

MARK = "〔HY-000012-3〕"
ROLE = "【工会答复】"
LINK = "https://union.example.edu.cn/rate/0123456789abcdef0123456789abcdef"
END = f"{ROLE}李老师 宣传部 · 校工会\n编号{MARK}\n评价本次答复：{LINK}"

_PIECES = st.sampled_from(
    [
        "我们已与后勤核实。", "，", "\n", " ", "ab c ", "e\u0301", "👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "1️⃣", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "한국", "각", "क्षि", "https://e.org/a?b=c ", "❤️‍🔥",
    ]
)  # fmt: skip
_words = st.lists(_PIECES, min_size=1, max_size=400).map("".join)
_whole = regex.compile(r"\X")


def answer(words: str) -> str:
    return f"{words}\n\n{END}"


@settings(max_examples=200, deadline=None)
@given(_words, st.sampled_from([300, 600, 2000]))
def test_every_part_is_short_and_says_who_speaks_and_for_what(words: str, limit: int) -> None:
    parts = parts_of(answer(words), MARK, limit)
    assert all(len(part.text) <= limit for part in parts)
    assert all(ROLE in part.text and MARK in part.text for part in parts)
    assert all(part.mark in part.text for part in parts)
    assert len({part.mark for part in parts}) == len(parts), "each can be told from the others"
    assert parts[-1].text.endswith(LINK), "signature and link stay whole"
    if len(parts) > 1:
        total = len(parts)
        assert [part.mark for part in parts] == [f"{MARK}（{n}/{total}）" for n in range(1, total + 1)]


@settings(max_examples=200, deadline=None)
@given(_words, st.sampled_from([300, 600]))
def test_nothing_is_lost_and_no_character_or_link_is_broken(words: str, limit: int) -> None:
    parts = [part.text for part in parts_of(answer(words), MARK, limit)]
    if len(parts) > 1:
        notes = re.compile(re.escape(ROLE) + "编号" + re.escape(MARK) + r"（\d+/\d+）$")
        said = "".join(notes.sub("", part) for part in parts[:-1]) + parts[-1]
        said = re.sub(re.escape(MARK) + r"（\d+/\d+）", MARK, said)
        before = _whole.findall("".join(answer(words).split()))
        assert _whole.findall("".join(said.split())) == before
        links = sum(part.count("https://e.org/a?b=c") for part in parts)
        assert links == words.count("https://e.org/a?b=c")


@settings(max_examples=100, deadline=None)
@given(_words)
def test_a_limit_in_bytes_holds(words: str) -> None:
    for part in parts_of(answer(words), MARK, LIMIT, weight):
        assert len(part.text.encode()) <= 2048
        assert len(part.text) <= 600
        assert MARK in part.text


def test_a_notice_bears_its_mark_in_every_part() -> None:
    text = "【校工会通知】一条消息因“垃圾广告”被移除。\n" + "说明" * 400 + f"\n编号{MARK}"
    parts = parts_of(text, MARK, 300)
    assert len(parts) > 2
    assert all("【校工会通知】" in part.text and MARK in part.text for part in parts[:-1])
    assert MARK in parts[-1].text


@pytest.mark.parametrize("text", ["", " \n ", "\x00"])
def test_without_words_there_is_nothing_to_say(text: str) -> None:
    assert parts_of(text, MARK) == []


def test_a_short_answer_is_one_message_as_it_was_approved() -> None:
    assert [part.text for part in parts_of(answer("好"), MARK)] == [answer("好")]


def test_a_character_with_more_marks_than_fit_is_cut_all_the_same() -> None:
    parts = split_text("e" + "\u0301" * 50, 10)
    assert all(len(part) <= 10 for part in parts)
    assert "".join(parts) == "e" + "\u0301" * 50
