"""XLSX read row by row with flat memory.

The sheet and the table of strings are streamed and never held: openpyxl keeps every string and the shell of every
row (a million rows took 430 MiB and minutes), and it trusts row numbers and lengths that a trap may set. What is
small is read with defusedxml; how numbers become dates is openpyxl's knowledge.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final
from xml.parsers import expat

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from connectors._file_table import MOST_COLUMNS, Cell, Row, header
from connectors._file_text import opened
from connectors._limits import MAX_ITEM
from monitor.core.errors import Malformed

MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, as Excel has them."""

MOST_UNPACKED: Final = 4 << 30
MOST_RATIO: Final = 200
_SMALL: Final = 64 << 20
"""A part that unpacks to less than this may be packed as tightly as it likes."""

_MOST_WHOLE: Final = 16 << 20
"""Longest part that is read whole: the list of sheets, the styles."""

_MOST_STRINGS: Final = 8 * MOST_ROWS
_IN_MEMORY: Final = 64 << 20
_CHUNK: Final = 1 << 18
_LONGEST_TAG: Final = 4 << 20
_HEADER_WITHIN: Final = 10
_CHINESE_DATES: Final = frozenset({*range(27, 37), *range(50, 59)})
_HOLDERS: Final = frozenset({"v", "f", "t"})
_ESCAPE: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_BROKEN: Final = (
    expat.ExpatError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What a damaged, truncated or encrypted package raises while it is read."""


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of the first visible sheet that has a column of texts, else of the first visible one.

    Formulas are never evaluated: a cell is the result that was stored with it, or else the formula as a text.

    Raises: Unavailable, Malformed for the whole file.
    """
    with opened(path) as file, _package(file) as package:
        book = _book(package)
        with closing(_strings(package, book.strings)) as strings:
            for sheet in book.sheets:
                first = islice(_sheet_rows(package, sheet, book, strings), _HEADER_WITHIN)
                if any(not isinstance(row.cells, Malformed) and header(row.cells) for row in first):
                    break
            else:
                sheet = book.sheets[0]
            yield from _sheet_rows(package, sheet, book, strings)


def _unreadable() -> Malformed:
    return Malformed("this is no XLSX file that can be read; open it and save it anew as .xlsx", "xlsx")


def _trap() -> Malformed:
    return Malformed("the file unpacks to an absurd size; nothing of it was stored", "bomb")


# --- the package -----------------------------------------------------------------------------------


def _package(file: IO[bytes]) -> zipfile.ZipFile:
    """Open the package and refuse what unpacks to absurd sizes, before anything of it is read."""
    try:
        package = zipfile.ZipFile(file)
    except (*_BROKEN, NotImplementedError):
        raise _unreadable() from None
    for part in package.infolist():
        is_tight = part.file_size > _SMALL and part.file_size > MOST_RATIO * max(1, part.compress_size)
        if is_tight or part.file_size > MOST_UNPACKED:
            raise _trap()
    return package


@dataclass(frozen=True, slots=True)
class _Book:
    """What is small: the parts of the visible sheets, the part of the strings, the styles that are dates."""

    sheets: tuple[str, ...]
    strings: str
    dates: frozenset[str]
    epoch: datetime


def _book(package: zipfile.ZipFile) -> _Book:
    from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

    roots = _related(package, "")
    main = next((target for kind, target in roots.values() if kind == "officeDocument"), "xl/workbook.xml")
    root = _whole(package, main)
    if root is None:
        raise _unreadable()
    parts = _related(package, main)
    sheets = [
        each for each in root.iterfind("{*}sheets/{*}sheet") if each.get("state", "visible") == "visible"
    ]
    ids = (next((value for key, value in each.items() if key.endswith("}id")), "") for each in sheets)
    targets = tuple(parts[each][1] for each in ids if each in parts and parts[each][0] == "worksheet")
    if not targets:
        raise Malformed("the file has no visible sheet", "xlsx")
    named = dict(parts.values())
    settings = root.find("{*}workbookPr")
    is_mac = settings is not None and settings.get("date1904") in ("1", "true", "on")
    epoch = CALENDAR_MAC_1904 if is_mac else CALENDAR_WINDOWS_1900
    return _Book(targets, named.get("sharedStrings", ""), _dates(package, named.get("styles", "")), epoch)


def _whole(package: zipfile.ZipFile, name: str) -> Any:
    """Return the root of a small part, or None when there is none; raises Malformed."""
    try:
        if package.getinfo(name).file_size > _MOST_WHOLE:
            raise _trap()
        return defusedxml.ElementTree.fromstring(package.read(name), forbid_dtd=True)
    except KeyError:
        return None
    except (DefusedXmlException, defusedxml.ElementTree.ParseError, NotImplementedError, *_BROKEN):
        raise _unreadable() from None


def _related(package: zipfile.ZipFile, name: str) -> dict[str, tuple[str, str]]:
    """Return id -> (last word of the kind, part) of what a part refers to."""
    folder, _slash, last = name.rpartition("/")
    root = _whole(package, f"{folder}/_rels/{last}.rels".lstrip("/"))
    found = {}
    for each in () if root is None else root:
        target = each.get("Target", "")
        part = target.lstrip("/") if target.startswith("/") else f"{folder}/{target}".lstrip("/")
        found[each.get("Id", "")] = (each.get("Type", "").rpartition("/")[2], part)
    return found


def _dates(package: zipfile.ZipFile, name: str) -> frozenset[str]:
    """Return the numbers of the cell styles that show a date, as cells name them."""
    from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format

    root = _whole(package, name) if name else None
    if root is None:
        return frozenset()
    formats: dict[str, str] = {str(key): value for key, value in BUILTIN_FORMATS.items()}
    for each in root.iterfind("{*}numFmts/{*}numFmt"):
        formats[each.get("numFmtId", "")] = each.get("formatCode", "")
    chinese = {str(number) for number in _CHINESE_DATES}
    found = set()
    for place, style in enumerate(root.iterfind("{*}cellXfs/{*}xf")):
        number = style.get("numFmtId", "0")
        if is_date_format(formats.get(number, "")) or (number in chinese and number not in formats):
            found.add(str(place))
    return frozenset(found)


# --- streaming -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Stream:
    """One part read in pieces: element names without prefix, no document type, no endless tag."""

    package: zipfile.ZipFile
    part: str
    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)

    def pieces(self) -> Iterator[None]:
        """Parse piece by piece; raises Malformed for a trap, and what a damaged package raises."""
        parser = self.parser
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        fed = 0
        with self.package.open(self.part) as source:
            while chunk := source.read(_CHUNK):
                parser.Parse(chunk)
                fed += len(chunk)
                if fed - max(0, parser.CurrentByteIndex) > _LONGEST_TAG:
                    raise _trap()
                yield
            parser.Parse(b"", True)
            yield

    @staticmethod
    def _refuse(*_declared: object) -> None:
        raise Malformed("the file declares a document type, which no XLSX file does", "dtd")


class _Words:
    """Characters of one element, up to the size of an item."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def add(self, data: str) -> None:
        """Keep ``data`` while there is room."""
        if self._size <= MAX_ITEM:
            self._parts.append(data)
            self._size += len(data)

    def take(self) -> str:
        """Return what was kept and begin anew."""
        text = "".join(self._parts)
        self._parts.clear()
        self._size = 0
        return text


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


class _Strings:
    """The table of strings, in a file without a name once it outgrows memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._ends = array("Q", [0])

    def add(self, text: str) -> None:
        """Keep the next string; raises Malformed when there are absurdly many."""
        if len(self._ends) > _MOST_STRINGS:
            raise _trap()
        raw = _unescaped(text).encode("utf-8", "replace")
        self._file.write(raw)
        self._ends.append(self._ends[-1] + len(raw))

    def get(self, index: int) -> str:
        """Return a string by its number; raises Malformed when there is none."""
        if not 0 <= index < len(self._ends) - 1:
            raise Malformed("a cell of the row refers to a text that is not in the file", "xlsx")
        begin, end = self._ends[index : index + 2]
        self._file.seek(begin)
        return self._file.read(end - begin).decode("utf-8")

    def close(self) -> None:
        """Give back memory and disk."""
        self._file.close()


def _strings(package: zipfile.ZipFile, part: str) -> _Strings:
    """Read the table of strings; raises Malformed."""
    strings = _Strings()
    if not part:
        return strings
    words, inside = _Words(), [""]

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        inside.append(name.rpartition(":")[2])
        stream.parser.CharacterDataHandler = words.add if inside[-1] == "t" and "rPh" not in inside else None

    def end(_name: str) -> None:
        stream.parser.CharacterDataHandler = None
        if inside.pop() == "si":
            strings.add(words.take())

    stream = _Stream(package, part)
    stream.parser.StartElementHandler, stream.parser.EndElementHandler = start, end
    try:
        for _piece in stream.pieces():
            if len(inside) > 64:
                raise _trap()
    except (NotImplementedError, *_BROKEN):
        strings.close()
        raise _unreadable() from None
    except Malformed:
        strings.close()
        raise
    return strings


class _Sheet:
    """Turns the elements of a sheet into rows."""

    def __init__(self, book: _Book, strings: _Strings) -> None:
        from openpyxl.utils.datetime import from_excel

        self._dated = from_excel
        self.rows: list[Row] = []
        self.number = 0
        self._book = book
        self._strings = strings
        self._cells: dict[int, Cell] = {}
        self._fault: Malformed | None = None
        self._place = -1
        self._kind = ""
        self._style = ""
        self._words = _Words()
        self._value = self._formula = self._inline = ""
        self._phonetic = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """Note where an element begins."""
        local = name.rpartition(":")[2]
        if local == "c":
            self._place = _place(attributes.get("r", ""), self._place + 1)
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._value = self._formula = self._inline = ""
        elif local == "row":
            told = attributes.get("r", "")
            number = int(told) if told.isascii() and told.isdigit() and len(told) < 8 else 0
            self.number = number if self.number < number <= MOST_ROWS else self.number + 1
            self._cells, self._fault, self._place = {}, None, -1
        elif local == "rPh":
            self._phonetic = True
        elif local in _HOLDERS:
            self._words.take()

    def end(self, name: str) -> None:
        """Take what an element held."""
        local = name.rpartition(":")[2]
        if local == "v":
            self._value = self._words.take()
        elif local == "f":
            self._formula = self._words.take()
        elif local == "t" and not self._phonetic and len(self._inline) <= MAX_ITEM:
            self._inline += self._words.take()
        elif local == "rPh":
            self._phonetic = False
        elif local == "c":
            self._take_cell()
        elif local == "row":
            self._take_row()

    def characters(self, data: str) -> None:
        """Keep the characters of the present element."""
        self._words.add(data)

    def _take_cell(self) -> None:
        if self._place >= MOST_COLUMNS:
            return
        try:
            cell = self._cell()
        except Malformed as error:
            self._fault = error
            return
        if cell not in (None, ""):
            self._cells[self._place] = cell

    def _take_row(self) -> None:
        if self.number > MOST_ROWS:
            raise Malformed(f"the sheet has more than {MOST_ROWS} rows; the rest is left out", "rows")
        width = max(self._cells, default=-1) + 1
        cells = [self._cells.get(place) for place in range(width)]
        self.rows.append(Row(self.number, self._fault or cells))

    def _cell(self) -> Cell:
        """Return the present cell; raises Malformed."""
        kind, value = self._kind, self._value
        if kind == "inlineStr":
            return _unescaped(self._inline)
        if not value:
            return f"={self._formula}" if self._formula.strip() else None
        if kind == "s":
            return self._strings.get(
                int(value) if value.isascii() and value.isdigit() and len(value) < 12 else -1
            )
        if kind == "n":
            return self._number(value)
        return _unescaped(value)

    def _number(self, value: str) -> Cell:
        try:
            number = float(value)
            at = self._dated(number, self._book.epoch) if self._style in self._book.dates else None
        except (ValueError, OverflowError):
            return value
        return at if isinstance(at, datetime) else number


def _place(reference: str, following: int) -> int:
    """Return the place of a cell from its reference (``AB12`` is 27), else the one after its neighbour."""
    place = _place_of(reference.rstrip("0123456789"))
    return following if place is None else place


@lru_cache(maxsize=1024)
def _place_of(letters: str) -> int | None:
    if not 0 < len(letters) <= 3 or not (letters.isascii() and letters.isalpha()):
        return None
    place = 0
    for letter in letters.upper():
        place = place * 26 + ord(letter) - 64
    return place - 1


def _sheet_rows(package: zipfile.ZipFile, part: str, book: _Book, strings: _Strings) -> Iterator[Row]:
    """Yield the rows of a sheet; a damaged one ends with a row that says so."""
    sheet, stream = _Sheet(book, strings), _Stream(package, part)
    parser = stream.parser
    parser.StartElementHandler, parser.EndElementHandler = sheet.start, sheet.end
    parser.CharacterDataHandler = sheet.characters
    fault: Malformed | None = None
    try:
        for _piece in stream.pieces():
            yield from sheet.rows
            sheet.rows.clear()
    except Malformed as error:
        fault = error
    except (NotImplementedError, *_BROKEN):
        fault = Malformed("the sheet is damaged from this row on; open it and save it anew", "xlsx")
    yield from sheet.rows
    if fault is not None:
        yield Row(sheet.number + 1, fault)
