"""Tables: which column is which field, and a row of cells as a post."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from connectors._file_ids import Occurrences
from connectors._limits import broken, moment
from connectors._posts import SHANGHAI, read_post
from monitor.core.errors import Malformed
from monitor.core.model import Broken, PostKind, RawPost

Cell = str | int | float | datetime | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a table has it: its number counted from 1, and its cells or why they cannot be read."""

    number: int
    cells: Sequence[Cell] | Malformed
    source: str = ""


COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "编号", "消息id", "消息编号", "评论id", "帖子id", "流水号"),
    "text": (
        "text",
        "内容",
        "正文",
        "消息内容",
        "留言内容",
        "评论内容",
        "留言",
        "评论",
        "文本",
        "诉求",
        "content",
    ),
    "author": (
        "author",
        "author_id",
        "作者",
        "发送者qq号",
        "qq号",
        "qq",
        "账号",
        "用户id",
        "工号",
        "发送者",
        "发送人",
        "用户",
        "姓名",
        "昵称",
    ),
    "posted_at": (
        "posted_at",
        "created_at",
        "时间",
        "发布时间",
        "发送时间",
        "发表时间",
        "创建时间",
        "评论时间",
        "留言时间",
        "提交时间",
        "日期",
        "time",
        "date",
    ),
    "thread": ("thread", "群", "群号", "群名", "主题", "话题", "帖子", "文章", "会话", "楼层"),
    "reply_to": ("reply_to", "parent", "parent_id", "回复编号", "上级编号", "父编号"),
    "url": ("url", "链接", "网址"),
    "unit": ("unit", "单位", "部门", "学院"),
    "lang": ("lang", "语言"),
    "kind": ("kind",),
    "recalled": ("recalled", "是否撤回", "已撤回"),
}
"""Field -> names of its column, the best first: an account number tells a person better than a nickname does.

A running number (序号) is no id: it counts the rows of one export, and the next export counts anew.
"""

MOST_COLUMNS: Final = 200
_HEADER_WITHIN: Final = 10
_PLACES: Final = {name: (field, rank) for field, names in COLUMNS.items() for rank, name in enumerate(names)}
_NAMES: Final = frozenset({"id", "author", "thread", "reply_to"})
_ROUNDED: Final = re.compile(r"\d(?:\.\d+)?[eE]\+\d{2,3}")
_TRUE: Final = frozenset({"是", "true", "yes", "y", "1", "已撤回"})
_DATE: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?"
    r"(?:[\sT]*(上午|下午|AM|PM)?\s*(\d{1,2})[:：时](\d{1,2})(?:[:：分](\d{1,2})秒?)?\D?\s*(AM|PM)?)?",
    re.IGNORECASE,
)
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001
_SERIALS: Final = (20_000.0, 80_000.0)


# --- the header ------------------------------------------------------------------------------------


def header(cells: Sequence[Cell]) -> dict[str, int]:
    """Return field -> place of its best column; empty when there is no column of texts."""
    found: dict[str, tuple[int, int]] = {}
    for place, cell in enumerate(cells[:MOST_COLUMNS]):
        field, rank = _PLACES.get(_column_name(cell), ("", 0))
        if field and (field not in found or rank < found[field][0]):
            found[field] = (rank, place)
    return {field: place for field, (_rank, place) in found.items()} if "text" in found else {}


def _column_name(cell: Cell) -> str:
    return re.sub(r"[\s*]|[(（].*?[)）]", "", cell.strip("\ufeff")).lower() if isinstance(cell, str) else ""


def posts(rows: Iterator[Row], channel: str) -> Iterator[RawPost | Broken]:
    """Yield a post or a Broken item for every row below the header; empty rows are passed over.

    Raises: Malformed when none of the first rows names a column of texts.
    """
    fields, width = _find_header(rows)
    seen = Occurrences("row")
    for row in rows:
        try:
            if isinstance(row.cells, Malformed):
                raise row.cells
            if not any(_is_filled(cell) for cell in row.cells):
                continue
            if any(_is_filled(cell) for cell in row.cells[width:]):
                raise Malformed("the row has more cells than the header; put quotes around commas", "cells")
            yield _post(channel, fields, row.cells, seen)
        except Malformed as error:
            yield broken(channel, error, row.source or _shown(row.cells), str(row.number))


def _find_header(rows: Iterator[Row]) -> tuple[dict[str, int], int]:
    looked_at = 0
    for row in rows:
        if isinstance(row.cells, Malformed) or not any(_is_filled(cell) for cell in row.cells):
            continue
        if found := header(row.cells):
            return found, len(row.cells)
        looked_at += 1
        if looked_at == _HEADER_WITHIN:
            break
    raise Malformed("no row names a column of texts; call it `text` or `内容` in the first row", "columns")


def _is_filled(cell: Cell) -> bool:
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None


def _shown(cells: Sequence[Cell] | Malformed) -> str:
    if isinstance(cells, Malformed):
        return ""
    return json.dumps(list(cells), ensure_ascii=False, default=str)


# --- a row -----------------------------------------------------------------------------------------


def _post(channel: str, fields: Mapping[str, int], cells: Sequence[Cell], seen: Occurrences) -> RawPost:
    given = {field: cells[place] for field, place in fields.items() if place < len(cells)}
    row: dict[str, Any] = {field: _value(field, cell) for field, cell in given.items() if _is_filled(cell)}
    recalled = str(row.pop("recalled", "")).strip().lower() in _TRUE
    has_id = "id" in row
    post = read_post(channel, {"id": "-", **row})
    if not has_id:
        when = post.posted_at.isoformat() if post.posted_at else str(row.get("posted_at", ""))
        post = replace(post, external_id=seen.next_id(post.thread, when, post.text))
    if recalled and post.kind is PostKind.POST:
        return replace(post, kind=PostKind.REMOVAL, text="", author=None, quoted=None, by="author")
    return post


def _value(field: str, cell: Cell) -> Any:
    """Return a cell as the import format has it; raises Malformed for a number that a spreadsheet has rounded."""
    if field == "text" and isinstance(cell, str):
        return cell
    if field == "posted_at":
        return _moment(cell)
    if field in _NAMES and _is_rounded(cell):
        if field == "reply_to":
            return None
        told = "has lost its last digits in a spreadsheet; export it as text"
        raise Malformed(f"the number in the column of `{field}` {told}", "rounded")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        cell = int(cell)
    words = cell.isoformat() if isinstance(cell, datetime) else str(cell)
    return words if field == "text" else words.strip()


def _is_rounded(cell: Cell) -> bool:
    if isinstance(cell, str):
        return bool(_ROUNDED.fullmatch(cell.strip()))
    return isinstance(cell, int | float) and not abs(cell) < 1e15


def _moment(cell: Cell) -> datetime | str | None:
    """Return the moment of a cell; of what cannot be read as one its text, so that ids still tell rows apart."""
    serial = None if isinstance(cell, datetime) else _number(cell)
    if serial is not None and _SERIALS[0] < serial < _SERIALS[1]:
        cell = _EPOCH + timedelta(seconds=round(serial * 86_400))
    return moment(cell, SHANGHAI) or _written(cell) or str(cell)


def _number(cell: Cell) -> float | None:
    try:
        return float(cell) if isinstance(cell, str | int | float) and len(str(cell)) < 30 else None
    except (ValueError, OverflowError):
        return None


def _written(cell: Cell) -> datetime | None:
    """Return the moment of a date as spreadsheets and people in China write it, or None."""
    found = _DATE.fullmatch(cell.strip()) if isinstance(cell, str) and len(cell) <= 60 else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(found[n] or 0) for n in (1, 2, 3, 5, 6, 7))
    half = (found[4] or found[8] or "").upper()
    if half in ("PM", "下午") and hour < 12:
        hour += 12
    if half in ("AM", "上午") and hour == 12:
        hour = 0
    try:
        return moment(datetime(year, month, day, hour, minute, second), SHANGHAI)  # noqa: DTZ001
    except ValueError:
        return None
