"""Any bytes at all: every reader gives posts and Broken items, or says Malformed, in bounded time."""

from __future__ import annotations

import io
import json
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from file_scene import GOLDEN, messages_of, workbook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.file import FORMATS, read
from monitor.core.errors import Malformed
from monitor.core.model import Broken, RawPost

SECONDS = 5.0
fuzzed = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEEDS = {path.name: path.read_bytes() for path in GOLDEN}
PIECES = st.sampled_from(
    [
        *(part for seed in SEEDS.values() for part in seed[:4000].splitlines(keepends=True)),
        *(
            b"\x00",
            b"\xff\xfe",
            b'"',
            b'""',
            b"\r",
            b"\n\n",
            b",",
            b"{",
            b"}",
            b"[" * 300,
            b"\\",
            b"\\u",
            b"]",
        ),
        *("2026-01-01 8:00:00 \U0001f600(12345678)\n".encode(), b"0001-01-01 0:00:00 a(12345678)\n"),
        *(
            b"=" * 64 + b"\n",
            "消息对象:\n".encode(),
            "内容,时间\n".encode(),
            b'{"chatInfo":',
            b'"messages":[',
        ),
    ]
)


def consume(path: Path, form: str) -> tuple[int, int]:
    """Read all of a file; return how many posts and Broken items it gave."""
    begun, posts, bad = time.monotonic(), 0, 0
    try:
        for item in read(path, form, "c"):
            assert isinstance(item, RawPost | Broken)
            posts += isinstance(item, RawPost)
            bad += isinstance(item, Broken)
            if isinstance(item, Broken):
                assert item.reason
                assert len(item.payload) <= 65_536
            else:
                assert 0 < len(item.external_id) <= 250
                assert item.posted_at is None or item.posted_at.tzinfo is not None
                item.text.encode()  # no lone surrogate is left
    except Malformed:
        pass
    assert time.monotonic() - begun < SECONDS
    return posts, bad


@pytest.mark.parametrize("form", FORMATS)
@fuzzed
@given(data=st.binary(max_size=600) | st.lists(PIECES, max_size=25).map(b"".join))
def test_any_bytes(tmp_path: Path, form: str, data: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(data)
    consume(path, form)


@pytest.mark.parametrize("name", sorted(SEEDS))
@fuzzed
@given(seed=st.integers(0, 2**32), forms=st.sampled_from(FORMATS))
def test_damaged_exports(tmp_path: Path, name: str, seed: int, forms: str) -> None:
    """A good file with bytes changed, cut out, doubled or put in."""
    chance, data = random.Random(seed), bytearray(SEEDS[name])
    for _time in range(chance.randint(1, 6)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randint(0, 40))
        piece = data[at:end]
        data[at:end] = chance.choice([b"", piece * 2, bytes([chance.randrange(256)]) * chance.randint(1, 9)])
    path = tmp_path / name
    path.write_bytes(data)
    consume(path, forms)


@fuzzed
@given(seed=st.integers(0, 2**32))
def test_damaged_sheets_inside_of_a_good_package(tmp_path: Path, seed: int) -> None:
    """The packing is right and what is packed is not."""
    chance, made = random.Random(seed), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook([["编号", "内容", "时间"], ["1", "好", 46023.5]]))) as good:
        parts = {name: bytearray(good.read(name)) for name in good.namelist()}
    for _time in range(chance.randint(1, 4)):
        data = parts[chance.choice(sorted(parts))]
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.randint(0, 12)] = chance.choice(
            [
                b"",
                b"<",
                b"&x;",
                b"1",
                b"</row>",
                b'r="99999999999"',
                b"<row>",
                b"<!DOCTYPE a>",
                b"\x00",
                b"_x0000_",
            ]
        )
    with zipfile.ZipFile(made, "w") as package:
        for name, data in parts.items():
            package.writestr(name, bytes(data))
    path = tmp_path / "sheet.xlsx"
    path.write_bytes(made.getvalue())
    consume(path, "xlsx")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ["id", "seq", "timestamp", "time", "sender", "content", "elements", "type", "data", "text", "recalled"]
ROW = st.dictionaries(st.sampled_from(KEYS), JSON | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4))


@fuzzed
@given(rows=st.lists(ROW | JSON, max_size=8), chat=JSON | st.just({"type": "group", "peerUin": "700001"}))
def test_every_message_of_an_export_is_accounted_for(
    tmp_path: Path, rows: list[object], chat: object
) -> None:
    """However odd the values: the walk finds each message, and each gives at most one item."""
    path = tmp_path / "e.json"
    whole = {"metadata": {}, "chatInfo": chat, "messages": rows, "avatars": {"messages": ["x"]}}
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")
    posts, bad = consume(path, "qce-json")
    assert posts + bad <= len(rows)
    assert bad >= sum(not isinstance(row, dict) for row in rows)


@pytest.mark.parametrize("write", messages_of())
@fuzzed
@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=8))
def test_whatever_members_write_comes_back(
    tmp_path: Path, write: Callable[[Path, list[str]], list[str]], texts: list[str]
) -> None:
    """What a writer of the format wrote, the reader reads: as many posts, the same words."""
    path = tmp_path / "t"
    expected = write(path, texts)
    got = [item.text for item in read(path, "auto", "c") if isinstance(item, RawPost)]
    assert got == expected
