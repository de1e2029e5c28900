"""XLSX read row by row with flat memory.

openpyxl (with defusedxml) reads what is small: which sheets there are, which styles are dates. The two parts that grow
with the rows, the sheet and the table of strings, are streamed here: openpyxl holds every string and the shell of
every row in memory (a million rows: 430 MiB and minutes), and it trusts row numbers and lengths that a trap may set.
"""

from __future__ import annotations

import re
import tempfile
import warnings
import zipfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from xml.parsers import expat  # noqa: S407 - a document type, and with it every entity, is refused

from connectors._file_table import MOST_COLUMNS, Cell, Row, header
from connectors._file_text import opened
from connectors._limits import MAX_ITEM
from monitor.core.errors import Malformed

MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, as Excel has them."""

MOST_UNPACKED: Final = 4 << 30
MOST_RATIO: Final = 200
_SMALL: Final = 64 << 20
"""Below this size a part may be packed as tightly as it likes."""

_MOST_ELSE: Final = 32 << 20
"""Longest part that is read whole: list of sheets, styles."""

_CHUNK: Final = 1 << 18
_LONGEST_TAG: Final = 1 << 20
_IN_MEMORY: Final = 64 << 20
_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_COLUMN: Final = re.compile(r"[A-Z]{1,3}(?=\d)")
_HEADER_WITHIN: Final = 10


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the first visible sheet that has a column of texts, else of the first visible one.

    Formulas are never evaluated: a cell is the result that was stored with it, or else the formula as a text.

    Raises: Unavailable, Malformed for the whole file.
    """
    with opened(path) as file, _package(file) as package:
        book = _book(file, package)
        strings = _Strings(package, book.strings) if book.strings else None
        try:
            yield from _sheet_rows(package, _chosen(package, book, strings), book, strings)
        finally:
            if strings is not None:
                strings.close()


# --- the package -----------------------------------------------------------------------------------


def _package(file: IO[bytes]) -> zipfile.ZipFile:
    """Open the package and refuse what unpacks to absurd sizes, before anything of it is read."""
    try:
        package = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _unreadable() from None
    for part in package.infolist():
        is_tight = part.file_size > _SMALL and part.file_size > MOST_RATIO * max(1, part.compress_size)
        if is_tight or part.file_size > MOST_UNPACKED:
            package.close()
            raise Malformed("the file unpacks to an absurd size; nothing of it was read", "bomb")
    return package


def _unreadable() -> Malformed:
    return Malformed("this is no XLSX file that can be read; open it and save it anew as .xlsx", "xlsx")


@dataclass(frozen=True, slots=True)
class _Book:
    """What is small: the parts of the visible sheets, the part of the strings, the styles that are dates."""

    sheets: tuple[str, ...]
    strings: str
    dates: frozenset[int]
    epoch: datetime


def _book(file: IO[bytes], package: zipfile.ZipFile) -> _Book:
    """Return the parts and styles of a workbook; raises Malformed."""
    from openpyxl.packaging.manifest import Manifest
    from openpyxl.reader.excel import _find_workbook_part
    from openpyxl.reader.workbook import WorkbookParser
    from openpyxl.styles.stylesheet import apply_stylesheet
    from openpyxl.xml.constants import SHARED_STRINGS
    from openpyxl.xml.functions import fromstring

    raise NotImplementedError
