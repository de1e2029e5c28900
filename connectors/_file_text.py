"""Files as text: which encoding they are in, and their lines without ever holding more than one of them."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from connectors._limits import MAX_ITEM
from monitor.core.errors import Malformed, Unavailable

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK: Final = 1 << 20
_WEIGHED: Final = 64 << 20
"""Bytes that are looked at when a file is not clean UTF-8."""


def opened(path: Path) -> BinaryIO:
    """Open a file for reading; raises Unavailable when it cannot be."""
    try:
        return path.open("rb")
    except (OSError, ValueError):
        raise Unavailable("the file is not there or cannot be opened; check its path and rights") from None


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: by its mark, else the one that most of its lines are in.

    A few damaged bytes do not make another encoding of a file: what they stand in is lost, its neighbours are not.

    Raises: Unavailable, Malformed when it is neither UTF-8, UTF-16 nor GB18030.
    """
    with opened(path) as file:
        start = file.read(4096)
        for bom, name in _BOMS:
            if start.startswith(bom):
                return name
        if _is_bare_utf16(start):
            return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
        file.seek(0)
        if _is_utf8(file):
            return "utf-8"
        file.seek(0)
        return _weighed(file)


def _is_bare_utf16(start: bytes) -> bool:
    """Say whether every other byte of the ASCII characters is zero, as in UTF-16 without a mark."""
    few, many = sorted((start[::2].count(0), start[1::2].count(0)))
    return many >= 4 and many * 50 >= len(start) and few * 20 <= many


def _is_utf8(file: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        while chunk := file.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _weighed(file: BinaryIO) -> str:
    """Return the encoding in which more lines can be read, by the lines that are not plain ASCII."""
    utf8 = gb18030 = neither = 0
    while file.tell() < _WEIGHED and (line := file.readline(_CHUNK)):
        if line.isascii():
            continue
        if _decodes(line, "utf-8"):
            utf8 += 1
        elif _decodes(line, "gb18030"):
            gb18030 += 1
        else:
            neither += 1
    if max(utf8, gb18030) < neither:
        raise Malformed("the file is neither UTF-8, UTF-16 nor GB18030 text; save it as UTF-8", "encoding")
    return "utf-8" if utf8 >= gb18030 else "gb18030"


def _decodes(line: bytes, name: str) -> bool:
    try:
        line.decode(name)
    except UnicodeDecodeError:
        return False
    return True


def text_of(path: Path) -> io.TextIOWrapper:
    """Open a text file in its encoding, line ends as they stand; what cannot be decoded becomes U+FFFD.

    Raises: Unavailable, Malformed.
    """
    encoding = encoding_of(path)
    return io.TextIOWrapper(opened(path), encoding=encoding, errors="replace", newline="")


def next_line(file: io.TextIOWrapper) -> str:
    """Return the next line with its end, or an empty string at the end of the file.

    Of a line that is longer than an item may be, one character more than that is kept and the rest passed over.
    """
    line = file.readline(MAX_ITEM + 1)
    if len(line) > MAX_ITEM:
        while (rest := file.readline(_CHUNK)) and not rest.endswith(("\n", "\r")):
            continue
    return line


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number, line without its end) of a text file; raises Unavailable, Malformed."""
    with text_of(path) as file:
        number = 0
        while line := next_line(file):
            number += 1
            yield number, line.rstrip("\r\n")


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line as UTF-8 without its end) of a text file.

    A file in UTF-8, or in nothing that is known, is not decoded, so that a damaged line is told from its neighbours.

    Raises: Unavailable.
    """
    try:
        encoding = encoding_of(path)
    except Malformed:
        encoding = "utf-8"
    if encoding not in ("utf-8", "utf-8-sig"):
        for number, line in lines(path):
            yield number, line.encode("utf-8", "replace")
        return
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_ITEM + 1):
            number += 1
            if len(raw) > MAX_ITEM:
                while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                    continue
            yield number, (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).rstrip(b"\r\n")


def beginning(path: Path, size: int = 8192) -> str:
    """Return the first characters of a file as text, as far as they can be read; raises Unavailable."""
    with opened(path) as file:
        start = file.read(size)
    try:
        encoding = encoding_of(path)
    except Malformed:
        encoding = "utf-8"
    return start.decode(encoding, "replace").lstrip("\ufeff")
