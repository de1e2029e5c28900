"""Every parser that takes bytes from outside, with good examples to begin from: what it may do is raise a typed error."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from connectors import _artalk_wire as artalk
from connectors import _discuz_wire as discuz
from connectors import _onebot_wire as onebot
from connectors import _qqbot_wire as qqbot
from connectors import _twikoo_wire as twikoo
from connectors import _waline_wire as waline
from connectors import _wechat_wire as wechat
from connectors import _weibo_wire as weibo
from connectors import _wordpress_wire as wordpress
from connectors._cq import read_message
from connectors._feed_read import read_feed
from connectors._html import words_in
from connectors._limits import decode_json
from connectors._mailbox_letter import read_letter
from connectors._parts import parts_of
from connectors._posts import SHANGHAI
from connectors._wechat_crypto import Cipher, key_of
from connectors._wechat_ids import Article, Members
from connectors.file import FORMATS
from connectors.file import read as read_file
from connectors.webhook import _rows
from connectors.webhook import read_post as read_row
from monitor import config
from monitor.core.errors import HuiyinError
from monitor.core.model import Broken, RawPost
from monitor.core.privacy import LIMIT, clean, mask

GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden"
CRASHERS: Final = GOLDEN / "crashers"
AES: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
_GROUP: Final = "0F3C00000000000000000000000000A9"


@dataclass(frozen=True)
class Parser:
    """A parser and its seeds; ``read`` raises nothing but what is a fault."""

    read: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _only_typed(read: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """Return ``read`` without its typed errors: whatever else it raises is a fault."""

    def guarded(data: bytes) -> None:
        try:
            _look(read(data))
        except HuiyinError as error:
            str(error).encode()

    return guarded


def _look(found: object) -> None:
    """Hold what was read to what the store expects: clean text, ids of bounded length, times with a zone."""
    if isinstance(found, RawPost):
        found.text.encode()
        assert len(found.text) <= LIMIT
        assert len(found.external_id) <= 250
        assert found.posted_at is None or found.posted_at.tzinfo is not None
        masked = mask(clean(found.text))
        assert mask(masked) == masked
    elif isinstance(found, Broken):
        assert found.reason
        assert len(found.payload) <= 65_536
    elif isinstance(found, Iterator):
        for one in found:
            _look(one)


# --- what is read ----------------------------------------------------------------------------------


def _frame(profile: str, data: bytes) -> object:
    event = decode_json(data)
    context = onebot.Context("qq", frozenset({"700001"}), profile, "10001000")
    if isinstance(event, dict):
        onebot.about_us(event, "10001000")
        onebot.is_ok(event)
        onebot.error_of("send_group_msg", event)
    return onebot.read_event(event, context)


def _codes(data: bytes) -> object:
    words = read_message(data.decode("utf-8", "replace"))
    words.text.encode()
    return None


def _payload(data: bytes) -> object:
    event = decode_json(qqbot.without_secrets(data))
    if not isinstance(event, dict):
        return None
    qqbot.news_of(event)
    qqbot.group_of(event)
    return qqbot.read_event(event, qqbot.Context("bot", frozenset({_GROUP}), {}))


def _xml(data: bytes) -> object:
    return wechat.read_message("gzh", data, Members("fuzz", "gzh"))


def _comment(data: bytes) -> object:
    return wechat.read_comment("gzh", Article(12003, 2), decode_json(data))


def _cipher(data: bytes) -> object:
    key = key_of(AES)
    assert key is not None
    return Cipher(key, "wx0123456789abcdef").decrypt(data.decode("utf-8", "replace"))


def _body(data: bytes) -> Iterator[object]:
    for row in _rows(data):
        try:
            yield read_row("site", row)
        except HuiyinError:
            continue


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="huiyin-fuzz-"))


def _file(form: str, data: bytes) -> object:
    path = _folder() / "any"
    path.write_bytes(data)
    return read_file(path, form, "files")


def _feed(data: bytes) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # feedparser takes "published" for "updated" and says so
        _look(iter(read_feed("feed", "https://e.org/feed", data).items))
    return None


def _letter(data: bytes) -> object:
    return read_letter("mail", data, "union@example.edu.cn", None)[1]


def _weibo(data: bytes) -> object:
    row = decode_json(data)
    with contextlib.suppress(HuiyinError):
        weibo.read_mention("weibo", row)
    return weibo.read_comment("weibo", row)


def _comments(data: bytes) -> object:
    row = decode_json(data)
    for read in (
        partial(wordpress.read_row, "site", row, 1),
        partial(waline.read_row, "site", row, "me", "https://e.org"),
        partial(twikoo.read_row, "site", row, "token"),
        partial(artalk.read_row, "site", row, 1, SHANGHAI),
    ):
        try:
            read()
        except HuiyinError:
            continue
    return None


def _forum(data: bytes) -> object:
    answer = discuz.read_answer(data)
    for row in discuz.rows_of(answer.variables):
        try:
            discuz.read_row("bbs", "https://e.org", "1", "题", row)
        except HuiyinError:
            continue
    discuz.topics_of(answer.variables)
    return None


def _page(data: bytes) -> object:
    own, quoted = words_in(data.decode("utf-8", "replace"))
    assert isinstance(own + (quoted or ""), str)
    return None


def _settings(data: bytes) -> object:
    path = _folder() / "huiyin.toml"
    path.write_bytes(data)
    found, _faults = config.read(path, _folder(), {})
    config.shown(found)
    return None


def _answer(data: bytes) -> object:
    text, mark = (
        data.decode("utf-8", "replace")[:4000],
        "〔HY-000001-1〕",
    )  # an approved answer has at most 2,000
    for limit in (140, 2000):
        for part in parts_of(f"{text}\n\n【工会答复】李老师 · 校工会\n编号{mark}", mark, limit):
            assert len(part.text) <= limit
            assert mark in part.text
    return None


# --- good examples ---------------------------------------------------------------------------------


def _lines(path: str, *keys: str) -> list[bytes]:
    rows = map(json.loads, (GOLDEN / path).read_text(encoding="utf-8").splitlines())
    found = [row[key] for row in rows for key in keys if key in row]
    return [
        one.encode("utf-8", "surrogatepass") if isinstance(one, str) else json.dumps(one).encode()
        for one in found
    ]


def _code_seeds() -> list[bytes]:
    rows = map(json.loads, (GOLDEN / "onebot/events.jsonl").read_text(encoding="utf-8").splitlines())
    events: list[Any] = [row["event"] for row in rows if isinstance(row["event"], dict)]
    texts = [event.get(key) for event in events for key in ("message", "raw_message")]
    return [text.encode("utf-8", "surrogatepass") for text in texts if isinstance(text, str) and text]


def _files() -> list[bytes]:
    return [path.read_bytes() for path in sorted((GOLDEN / "files").iterdir()) if _is_export(path)]


def _feeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted((GOLDEN / "forums" / "feeds").iterdir())]


def _is_export(path: Path) -> bool:
    return path.is_file() and not path.name.endswith((".posts.jsonl", ".py"))


_BODIES: Final = [
    b'[{"id": "1", "text": "a", "author": "x", "posted_at": "2026-01-01T00:00:00Z", "thread": "t", "kind": "edit"}]',
    b'{"type": "post.removed", "data": {"id": "1"}}',
    b'{"id": 7, "text": "\\ud83d", "posted_at": 1767225600, "reply_to": null, "url": "http://a.b"}',
]
_LETTER: Final = (
    "From: =?utf-8?b?5byg5LiJ?= <zhang@example.edu.cn>\r\nTo: union@example.edu.cn\r\nMessage-ID: <1@e.org>\r\n"
    "Subject: =?gb18030?q?=CA=B3=CC=C3?=\r\nDate: Thu, 01 Jan 2026 08:00:00 +0800\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/alternative; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n'
    "Content-Transfer-Encoding: 8bit\r\n\r\n三食堂停水了\r\n> 引用\r\n--x\r\nContent-Type: text/html\r\n\r\n"
    "<p>三食堂<b>停水</b></p>\r\n--x--\r\n"
).encode()
_ROWS: Final = [
    b'{"id": 3, "author": 2, "author_name": "x", "date_gmt": "2026-01-01T00:00:00", "content": {"raw": "a"}, "post": 1}',
    b'{"objectId": 7, "comment": "<p>a</p>", "orig": "a", "insertedAt": 1767225600000, "url": "/a", "pid": 1, "mail": ""}',
    b'{"id": "a1", "comment": "<p>a</p>", "created": 1767225600000, "url": "/a", "nick": "x", "isSpam": false}',
    b'{"id": 9, "content": "a", "date": "2026-01-01 08:00:00", "page_key": "/a", "rid": 1, "is_pending": false}',
]
_TOML: Final = [
    b'union_name = "x"\n[service]\nport = 1\n[channels.qq]\ntype = "onebot"\ntoken = { env = "A" }\ngroups = [1]\n',
    b'[channels.a]\ntype = "box"\nquiet_hours = "22:00-07:30"\nanswers_per_minute = 5\n',
]

PARSERS: Final[Mapping[str, Parser]] = {
    **{
        f"onebot-{profile}": Parser(
            _only_typed(partial(_frame, profile)), lambda: _lines("onebot/events.jsonl", "event")
        )
        for profile in (onebot.NAPCAT, onebot.LAGRANGE, onebot.LLONEBOT, onebot.UNKNOWN)
    },
    "cq-codes": Parser(_only_typed(_codes), _code_seeds),
    "qqbot": Parser(_only_typed(_payload), lambda: _lines("qqbot/events.jsonl", "event")),
    "wechat-xml": Parser(_only_typed(_xml), lambda: _lines("wechat/wire.jsonl", "xml")),
    "wechat-comment": Parser(_only_typed(_comment), lambda: _lines("wechat/wire.jsonl", "comment")),
    "wechat-cipher": Parser(_only_typed(_cipher), lambda: [b"QUFB" * 16, b"AAAAAAAAAAAAAAAAAAAAAA=="]),
    "webhook": Parser(_only_typed(_body), lambda: list(_BODIES)),
    **{f"file-{form}": Parser(_only_typed(partial(_file, form)), _files) for form in FORMATS},
    "feed": Parser(_only_typed(_feed), _feeds),
    "letter": Parser(_only_typed(_letter), lambda: [_LETTER]),
    "weibo": Parser(_only_typed(_weibo), lambda: _lines("weibo/wire.jsonl", "row")),
    "comments": Parser(_only_typed(_comments), lambda: list(_ROWS)),
    "discuz": Parser(_only_typed(_forum), lambda: _lines("discuz/wire.jsonl", "body")),
    "html": Parser(
        _only_typed(_page), lambda: [_LETTER, "<p>好<br>的</p><blockquote>引</blockquote>".encode()]
    ),
    "settings": Parser(_only_typed(_settings), lambda: list(_TOML)),
    "answer": Parser(
        _only_typed(_answer), lambda: ["已核实。👨‍👩‍👧 https://a.b/c ".encode() * 40, b"x" * 500]
    ),
}
"""Name -> parser; the name is also the folder of its crashers."""
