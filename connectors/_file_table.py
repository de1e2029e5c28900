"""Tables: CSV in the encodings that people export with, and XLSX read row by row with flat memory."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from connectors._file_text import encoding_of, opened
from connectors._limits import MAX_TEXT
from monitor.core.errors import Malformed

Cells = Mapping[str, Any]

COLUMNS: Final[Mapping[str, str]] = {
    "id": "id",
    "编号": "id",
    "序号": "id",
    "消息id": "id",
    "text": "text",
    "content": "text",
    "内容": "text",
    "正文": "text",
    "消息内容": "text",
    "留言": "text",
    "author": "author",
    "作者": "author",
    "发送者": "author",
    "发送者qq号": "author",
    "昵称": "author",
    "posted_at": "posted_at",
    "created_at": "posted_at",
    "time": "posted_at",
    "时间": "posted_at",
    "发布时间": "posted_at",
    "thread": "thread",
    "群": "thread",
    "群号": "thread",
    "主题": "thread",
    "楼层": "thread",
    "reply_to": "reply_to",
    "回复": "reply_to",
    "回复对象": "reply_to",
    "url": "url",
    "链接": "url",
    "unit": "unit",
    "单位": "unit",
    "lang": "lang",
    "kind": "kind",
}
"""Names of columns, in lower case, and the field that each one fills; a later column never overrides an earlier one."""

MOST_COLUMNS: Final = 200
MOST_UNPACKED: Final = 4 << 30
MOST_RATIO: Final = 200
_SAMPLE: Final = 1 << 16


def header(cells: Sequence[Any]) -> dict[int, str]:
    """Return column -> field for a header row; raises Malformed when there is no column of texts."""
    found: dict[int, str] = {}
    for place, cell in enumerate(cells[:MOST_COLUMNS]):
        field = COLUMNS.get(str(cell or "").strip().strip("\ufeff").lower())
        if field is not None and field not in found.values():
            found[place] = field
    if "text" not in found.values():
        raise Malformed("the first row names no column of texts; call it `text` or `内容`", "columns")
    return found


def _row(fields: Mapping[int, str], cells: Sequence[Any]) -> dict[str, Any]:
    return {field: cells[place] for place, field in fields.items() if place < len(cells)}


# --- CSV -------------------------------------------------------------------------------------------


def csv_rows(path: Path) -> Iterator[tuple[int, Cells | Malformed]]:
    """Yield (row number, cells by field) of a CSV file; a row that cannot be read is its error.

    Raises: Unavailable, Malformed for the whole file.
    """
    encoding = encoding_of(path)
    csv.field_size_limit(4 * MAX_TEXT * 16)
    with io.TextIOWrapper(opened(path), encoding=encoding, errors="replace", newline="") as file:
        sample = file.read(_SAMPLE)
        file.seek(0)
        reader = csv.reader(_without_nul(file), delimiter=_delimiter(sample))
        try:
            fields = header(next(reader, []))
        except csv.Error:
            raise Malformed("the first row cannot be read as CSV", "csv") from None
        yield from _numbered(reader, fields)


def _numbered(reader: Any, fields: Mapping[int, str]) -> Iterator[tuple[int, Cells | Malformed]]:
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield number, Malformed("the row cannot be read as CSV: a quote or a cell without end", "csv")
            continue
        if any(cell.strip() for cell in cells):
            yield number, _row(fields, cells)


def _without_nul(file: io.TextIOWrapper) -> Iterator[str]:
    for line in file:
        yield line.replace("\x00", "")


def _delimiter(sample: str) -> str:
    """Return the delimiter that the first line uses most."""
    first = sample.partition("\n")[0]
    return max((",", ";", "\t"), key=first.count)


# --- XLSX ------------------------------------------------------------------------------------------


def xlsx_rows(path: Path) -> Iterator[tuple[int, Cells | Malformed]]:
    """Yield (row number, cells by field) of the first visible sheet of an XLSX file, one row in memory at a time.

    Raises: Unavailable, Malformed for the whole file.
    """
    _check_package(path)
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError):
        raise Malformed("this is no XLSX file that can be read; save it anew as .xlsx", "xlsx") from None
    try:
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        if not sheets:
            raise Malformed("the file has no visible sheet", "xlsx")
        yield from _sheet_rows(sheets[0])
    finally:
        book.close()


def _check_package(path: Path) -> None:
    """Refuse what is no package and what unpacks to absurd sizes, before anything of it is read."""
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as package:
                parts = package.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise Malformed(
                "this is no XLSX file; old .xls files have to be saved as .xlsx", "xlsx"
            ) from None
    unpacked = sum(part.file_size for part in parts)
    packed = sum(part.compress_size for part in parts) or 1
    if unpacked > MOST_UNPACKED or (unpacked > 64 << 20 and unpacked / packed > MOST_RATIO):
        raise Malformed(
            "the file unpacks to an absurd size; it may be a trap, nothing of it was read", "bomb"
        )


def _sheet_rows(sheet: Any) -> Iterator[tuple[int, Cells | Malformed]]:
    from xml.etree.ElementTree import ParseError

    rows = sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS)
    number = 0
    fields: dict[int, str] = {}
    while True:
        number += 1
        try:
            cells = next(rows)
        except StopIteration:
            break
        except (ParseError, ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile, EOFError):
            yield number, Malformed("the sheet is damaged from this row on; save it anew", "xlsx")
            return
        if not any(cell not in (None, "") for cell in cells):
            continue
        if not fields:
            fields = header(cells)
            continue
        yield number, {field: _value(field, cell) for field, cell in _row(fields, cells).items()}
    if not fields:
        raise Malformed("the sheet is empty", "columns")


def _value(field: str, cell: Any) -> Any:
    """Return a cell as the import format has it: numbers as text where a text is meant."""
    if isinstance(cell, datetime) or cell is None:
        return cell
    if isinstance(cell, float):
        if field in ("id", "author", "thread", "reply_to") and abs(cell) >= 10**15:
            return None  # a spreadsheet has rounded this number: it is not the id any more
        return str(int(cell)) if cell.is_integer() else str(cell)
    return str(cell)
