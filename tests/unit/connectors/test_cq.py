"""Messages in array and string form, and cutting what we say: against the fake's own writer, and by properties."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors._cq import Segment, read_message, segments
from connectors._parts import LONGEST, split_text
from monitor.testing._fake_actions import to_segments, to_string

WORD = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TEXT = st.builds(lambda text: {"type": "text", "data": {"text": text}}, WORD.filter(bool))
CODE = st.builds(
    lambda kind, data: {"type": kind, "data": data},
    NAME.filter(lambda kind: kind != "text"),
    st.dictionaries(NAME, WORD, max_size=3),
)


def plain(message: object) -> list[tuple[str, dict[str, str]]]:
    """Return segments as pairs, neighbouring texts joined."""
    found: list[tuple[str, dict[str, str]]] = []
    for part in segments(message):
        if part.kind == "text" and found and found[-1][0] == "text":
            found[-1] = ("text", {"text": found[-1][1]["text"] + part.data["text"]})
        else:
            found.append((part.kind, dict(part.data)))
    return found


@given(st.lists(TEXT | CODE, max_size=6))
def test_string_form_says_the_same_as_array_form(message: list[dict[str, object]]) -> None:
    assert plain(to_string(message)) == plain(message)
    assert read_message(to_string(message)) == read_message(message)


@given(st.lists(TEXT | CODE, max_size=6))
def test_the_fake_reads_what_it_writes_as_we_do(message: list[dict[str, object]]) -> None:
    assert plain(to_segments(to_string(message)) if message else []) == plain(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(("type", "data", "text", "id", "qq", "name", "x")), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
KINDS = ("text", "at", "reply", "json", "xml", "file", "image", "share", "markdown", "node", "unheard_of")


@given(JSON | st.lists(st.fixed_dictionaries({"type": st.sampled_from(KINDS), "data": JSON}), max_size=5))
def test_nothing_a_message_may_be_breaks_the_reading(message: object) -> None:
    words = read_message(message)
    assert "\x00" not in words.text
    assert len(words.text) <= 20_000


@given(st.text())
@example("[CQ:" * 50)
@example("[CQ:a,b=c")
@example("]][[,,==&amp;")
def test_any_string_is_read_and_no_word_of_it_is_lost(text: str) -> None:
    kept = "".join(part.data["text"] for part in segments(text) if part.kind == "text")
    if "[CQ:" not in text and "&" not in text:
        assert kept == text


@pytest.mark.parametrize(
    "text", ["[CQ:" * 200_000, "[CQ:a" + ",a=b" * 200_000, "[CQ:at,qq=" * 100_000, "&amp;" * 200_000]
)
def test_hostile_strings_cost_little_time(text: str) -> None:
    begun = time.monotonic()
    list(segments(text))
    assert time.monotonic() - begun < 5.0


def test_vectors_of_the_standard() -> None:
    assert list(segments("a&amp;b&#91;c&#93;[CQ:at,qq=20002000] x")) == [
        Segment("text", {"text": "a&b[c]"}),
        Segment("at", {"qq": "20002000"}),
        Segment("text", {"text": " x"}),
    ]
    (share,) = segments("[CQ:share,title=A&#44;B,url=http://e.org/?x=1&amp;y=2]")
    assert share.data == {"title": "A,B", "url": "http://e.org/?x=1&y=2"}
    assert [part.data for part in segments("[CQ:x,a=b=c]")] == [{"a": "b=c"}]
    assert [part.kind for part in segments("[CQ:face, id=1]")] == ["text"]


# --- what we send ----------------------------------------------------------------------------------

PIECE = st.sampled_from(
    ("好", "，", "。", "\n", " ", "e\u0301", "👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "https://e.org/a?b=c ", "x")
)


@given(st.lists(PIECE, max_size=120).map("".join), st.integers(30, 60))
def test_parts_join_to_the_text_and_break_nothing(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts) or text == ""
    for left, right in itertools.pairwise(parts):
        assert not re.match("[\u0300-\u036f\u200d\ufe0f\U0001f3fb-\U0001f3ff]", right)
        assert not left.endswith("\u200d")
        flags = re.search("[\U0001f1e6-\U0001f1ff]*$", left)
        assert flags is not None
        assert len(flags[0]) % 2 == 0 or not re.match("[\U0001f1e6-\U0001f1ff]", right)


@given(st.text(max_size=300), st.integers(2, 20))
def test_any_text_is_cut_into_short_parts(text: str, limit: int) -> None:
    parts = split_text(text, limit)
    assert "".join(parts) == text
    assert all(len(part) <= limit for part in parts)


def test_link_is_not_cut() -> None:
    link = "https://union.example.edu.cn/rate/" + "a" * 60
    text = "好" * 1950 + link
    parts = split_text(text)
    assert parts == ["好" * 1950, link]
    assert split_text("https://" + "a" * 5000)[0] == "https://" + "a" * (LONGEST - 8)


def test_cut_is_made_at_the_end_of_a_sentence() -> None:
    first, second = split_text("一句话。" * 600)
    assert first.endswith("。")
    assert len(first) > LONGEST * 2 // 3
    assert second
