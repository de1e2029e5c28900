"""Files as text: which encoding they are in, and their lines without ever holding more than one of them."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connectors._limits import MAX_ITEM
from monitor.core.errors import Malformed, Unavailable

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PROBE: Final = 1 << 20


def opened(path: Path) -> io.BufferedReader:
    """Open a file for reading; raises Unavailable when it is not there."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Unavailable(f"the file cannot be read ({error.strerror}); check its path and rights") from None


def encoding_of(path: Path) -> str:
    """Return the encoding of a text file: by its mark, else UTF-8 if it is that all through, else GB18030.

    Raises: Unavailable, Malformed when it is neither.
    """
    with opened(path) as file:
        start = file.read(4096)
        for bom, name in _BOMS:
            if start.startswith(bom):
                return name
        if _is_bare_utf16(start):
            return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
        if b"\x00" in start and start[:2] == b"PK":
            raise Malformed("this is a packed file, not text; name its format", "encoding")
        for name in ("utf-8", "gb18030"):
            file.seek(0)
            if _decodes(file, name):
                return name
    raise Malformed("the file is neither UTF-8, UTF-16 nor GB18030; save it as UTF-8", "encoding")


def _is_bare_utf16(start: bytes) -> bool:
    """Say whether every other byte of the ASCII characters is zero, as in UTF-16 without a mark."""
    zeros = max(start[::2].count(0), start[1::2].count(0))
    return len(start) >= 8 and zeros * 5 > len(start)


def _decodes(file: io.BufferedReader, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        while chunk := file.read(_PROBE):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text file without their ends; one that is too long is cut at the limit of an item."""
    with io.TextIOWrapper(opened(path), encoding=encoding_of(path), errors="replace", newline=None) as file:
        while line := file.readline(MAX_ITEM):
            if not line.endswith("\n"):
                while rest := file.readline(MAX_ITEM):
                    if rest.endswith("\n"):
                        break
            yield line.rstrip("\n")


def raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, bytes) of the lines of a file; one that is too long keeps one byte more than the limit."""
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_ITEM + 2):
            number += 1
            if not raw.endswith(b"\n") and len(raw) > MAX_ITEM:
                while (rest := file.readline(_PROBE)) and not rest.endswith(b"\n"):
                    pass
            yield number, raw
