"""Which format a file is in: by what it holds, and by its ending where that leaves a choice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from connectors._file_qq import BANNER, QCE_BANNER, is_head
from connectors._file_table import header
from connectors._file_text import beginning, opened
from monitor.core.errors import Malformed

FORMATS: Final = ("auto", "jsonl", "csv", "xlsx", "qq-txt", "qce-json")
_ENDINGS: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".txt": "qq-txt",
    ".json": "qce-json",
}
_EXPORT: Final = re.compile(r'"(?:chatInfo|chunked)"\s*:')
_OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0"


def form_of(path: Path) -> str:
    """Return the format of a file; raises Unavailable, or Malformed with what to do instead."""
    with opened(path) as file:
        start = file.read(8)
    if start.startswith(b"PK\x03\x04"):
        return "xlsx"
    if start.startswith(_OLD_OFFICE):
        told = "an old .xls file, or one with a password; save it as .xlsx without one"
        raise Malformed(f"this is {told}", "format")
    if not start and path.suffix.lower() not in _ENDINGS:
        raise Malformed("the file is empty", "empty")
    return _by_content(beginning(path).lstrip()) or _by_ending(path)


def _by_content(text: str) -> str | None:
    first = text.partition("\n")[0].rstrip("\r")
    if text.startswith((BANNER, QCE_BANNER)) or is_head(first):
        return "qq-txt"
    if text.startswith(("MIME-Version:", "From: <Saved by")):
        raise Malformed("this is an MHT export; export the chat as a text file (.txt) instead", "format")
    if text.startswith("{"):
        is_whole = first.endswith("}") or len(first) == len(text)
        return "qce-json" if _EXPORT.search(text) else "jsonl" if is_whole else None
    for delimiter in (",", ";", "\t"):
        if header([cell.strip('" ') for cell in first.split(delimiter)]):
            return "csv"
    return None


def _by_ending(path: Path) -> str:
    found = _ENDINGS.get(path.suffix.lower())
    if found is None:
        raise Malformed(f"the format of {path.suffix or 'this'} files is not known; name it", "format")
    return found
