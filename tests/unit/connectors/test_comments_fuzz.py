"""Whatever a site sends: rows are read or put aside, answers are judged, and only the five errors come out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from connectors._artalk_api import Artalk
from connectors._artalk_wire import read_row as read_artalk
from connectors._comments_book import Book, Row
from connectors._comments_channel import Place
from connectors._comments_site import Answer
from connectors._comments_words import CUT, as_html, as_markdown, is_cut, name_of, squeezed, thread_of
from connectors._html import words_in
from connectors._limits import clean_text
from connectors._twikoo_api import Twikoo
from connectors._twikoo_wire import read_row as read_twikoo
from connectors._waline_api import Waline
from connectors._waline_wire import read_row as read_waline
from connectors._wordpress_api import WordPress
from connectors._wordpress_wire import read_row as read_wordpress
from monitor.core.errors import Malformed, RateLimited, Rejected, Unavailable, Uncertain
from monitor.core.model import EffectKind

FIVE = (Unavailable, RateLimited, Rejected, Malformed, Uncertain)
ZONE = ZoneInfo("Asia/Shanghai")
SECRET = "Bearer-of-a-guest"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    "id",
    "post",
    "parent",
    "author",
    "author_name",
    "date_gmt",
    "content",
    "link",
    "status",
    "type",
    "objectId",
]
NAMES += [
    "url",
    "nick",
    "comment",
    "orig",
    "pid",
    "rid",
    "user_id",
    "time",
    "_id",
    "href",
    "isSpam",
    "created",
]
NAMES += ["content_marked", "is_pending", "page_key", "page_url", "date", "visible"]
LIKELY = st.one_of(
    JSON,
    st.integers(1, 99),
    st.sampled_from(
        ["<p>说</p>", "approved", "2026-01-01T00:00:00", "2026-01-01 08:00:00", "/p/1", "1", "\ud800"]
    ),
    st.just({"rendered": "<p>好</p>"}),
)
ROWS = st.dictionaries(st.sampled_from(NAMES), LIKELY, max_size=len(NAMES)).map(
    lambda row: {**row, "uid": SECRET, "mail": "xz@example.org", "ip": "203.0.113.9"}
)


@given(ROWS | JSON)
def test_any_row_is_read_or_put_aside(given_row: Any) -> None:
    rows = [
        read_wordpress("site", given_row, 2),
        read_waline("site", given_row, "1", "https://union.example.org/"),
        read_twikoo("site", given_row, "token"),
        read_artalk("site", given_row, 1, ZONE),
    ]
    book = Book("site", "s", True, 500, since=1)
    for row in rows:
        if row is None:
            continue
        assert isinstance(row, Row)
        assert 0 <= row.order < 2**63
        assert (row.fault is None) or (row.post is None)
        assert row.fault is not None or row.key
        if row.post is not None:
            assert row.post.text.strip()
            assert len(row.post.handle or "") <= 200
            assert len(row.post.thread or "") <= 200
            assert row.post.url is None or row.post.url.startswith(("https://", "http://"))
        if row.fault is not None:
            assert "xz@example.org" not in row.fault.payload.decode("utf-8", "replace")
            assert SECRET not in row.fault.payload.decode("utf-8", "replace")
        book.take(row)
    again = Book("site", "s", True, 500)
    again.load(book.cursor())
    assert again.cursor() == book.cursor()


@given(st.text(max_size=200) | JSON.map(json.dumps))
def test_any_cursor_is_taken_or_left(cursor: str) -> None:
    book = Book("site", "s", True, 500)
    book.load(cursor)
    book.trim()
    book.load(book.cursor())


class Scripted:
    """A site that answers with what the test says."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers

    async def call(self, *_args: Any, **_more: Any) -> Answer:
        return self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)

    ask = call

    async def close(self) -> None:
        """Nothing is open."""


BODIES = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "code": LIKELY,
            "errno": st.sampled_from([0, 0, 1000, 401, None, True]),
            "data": st.lists(ROWS, max_size=2)
            | LIKELY
            | st.fixed_dictionaries({"data": st.lists(ROWS, max_size=2)}),
            "token": LIKELY,
            "user": LIKELY | st.just({"id": 1, "is_admin": True}),
            "msg": LIKELY,
            "comments": st.lists(ROWS, max_size=2) | LIKELY,
            "comment": LIKELY | ROWS,
            "count": LIKELY,
            "id": LIKELY,
            "is_login": LIKELY,
            "is_pending": LIKELY,
            "status": LIKELY,
            "capabilities": LIKELY,
            "errmsg": LIKELY,
            "message": LIKELY,
        },
    ),
    st.lists(ROWS, max_size=3),
)
ANSWERS = st.builds(
    Answer,
    st.sampled_from([200, 200, 200, 201, 400, 401, 403, 404, 409, 410, 501]),
    st.sampled_from([{}, {"X-WP-Total": "3", "X-WP-TotalPages": "1"}, {"X-WP-Total": "x" * 99}]),
    BODIES,
)
PLACE = Place("7", "7", "7")


def platforms() -> list[Any]:
    url = "http://127.0.0.1:1"
    return [
        WordPress("site", url, "u", "p", 1.0),
        Waline("site", url, "u@example.org", "p", "", 1.0),
        Twikoo("site", url, "p", "工会", "", 1.0),
        Artalk("site", url, "Union", "u@example.org", "", "p", ZONE, 1.0),
    ]


@settings(max_examples=300)
@given(st.lists(ANSWERS, min_size=1, max_size=5))
def test_any_answer_is_judged_and_only_the_five_errors_come_out(answers: list[Answer]) -> None:
    async def tried(work: Awaitable[Any]) -> None:
        with contextlib.suppress(*FIVE):
            await work

    async def all_of_it() -> None:
        for made in platforms():
            made._site = Scripted(list(answers))
            await tried(made.page(1))
            await tried(made.prove())
            await tried(made.state(PLACE))
            await tried(made.say(PLACE, "已转〔H-1〕"))
            for kind in (EffectKind.HIDE, EffectKind.RESTORE):
                await tried(made.move(PLACE, kind))

    asyncio.run(all_of_it())


# --- words that go out -----------------------------------------------------------------------------

WORDS = st.text(
    st.sampled_from("说工会 \n\t*_`#>+-=~|[]()<>&!\\.:1234abc$^@/'\"") | st.characters(codec="utf-8"),
    max_size=80,
)


def shown(html: str) -> str:
    return squeezed(words_in(html)[0])


@given(WORDS)
def test_html_shows_exactly_the_words(text: str) -> None:
    text = clean_text(text)
    assert shown(f"<p>{as_html(text)}</p>") == squeezed(text)


@given(WORDS)
def test_markdown_shows_exactly_the_words(text: str) -> None:
    text = clean_text(text)  # as every answer is before it leaves
    html = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    own, quoted = words_in(html.render(as_markdown(text)))
    assert quoted is None
    assert squeezed(own) == squeezed(text)


KINDS = [
    "# 一",
    "> 一",
    "- 一",
    "+ 一",
    "1. 一",
    "12) 一",
    "    一",
    "---",
    "===",
    "一\n===",
    "*一*",
    "__一__",
    "`一`",
]
KINDS += [
    "<b>一",
    "[一](http://a.example)",
    "![一](x)",
    "a | b\n- | -",
    "~~一~~",
    "&amp;",
    "\\*",
    ":smile:",
    "$a$",
]
KINDS += ["见 https://a.example/b_c_d?e=1 。"]


@pytest.mark.parametrize("text", KINDS)
def test_markdown_of_every_kind_is_taken_at_its_word(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(["table", "strikethrough"])
    assert shown(html.render(as_markdown(text))) == squeezed(text)


@given(st.text(max_size=400) | JSON)
def test_threads_and_names_are_short_and_stable(value: Any) -> None:
    thread, name = thread_of(value), name_of(value)
    assert thread is None or 0 < len(thread) <= 200
    assert thread == thread_of(value)
    assert thread is None or is_cut(thread) or thread == value or CUT in value[-17:]
    assert name is None or (len(name) <= 110 and "\n" not in name)
