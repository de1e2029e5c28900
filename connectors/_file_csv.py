"""CSV in the encodings and with the delimiters that people export with.

A quote that is never closed would swallow what follows it. When a record turns out to be none, its first line is
looked at alone and the rest is read again, so that only the damaged line is lost.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from connectors._file_table import Row
from connectors._file_text import next_line, text_of
from connectors._limits import MAX_ITEM
from monitor.core.errors import Malformed

_DELIMITERS: Final = (",", ";", "\t")


def rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file; raises Unavailable, Malformed for the whole file."""
    csv.field_size_limit(MAX_ITEM + 1)
    with text_of(path) as file:
        first = next_line(file)
        if "\x00" in first:
            raise Malformed("this is no CSV file: its first line holds binary data; name its format", "csv")
        lines = _Lines(file)
        declared = (
            first.lower().removeprefix("sep=").strip("\r\n") if first.lower().startswith("sep=") else ""
        )
        if declared in _DELIMITERS:
            delimiter = declared
            lines.number = 1
        else:
            delimiter = max(_DELIMITERS, key=first.count)
            lines.push_back([first])
        yield from _records(lines, delimiter)


class _Lines:
    """The lines of a file, remembering those of the record that is being read."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self.number = 0
        self.held: list[str] = []
        self._size = 0
        self._file = file
        self._again: deque[str] = deque()

    def push_back(self, lines: Sequence[str]) -> None:
        """Give these lines again before the rest of the file."""
        self._again.extendleft(reversed(lines))

    def begin(self) -> None:
        """Forget the lines of the record before."""
        self.held = []
        self._size = 0

    def keep_first(self) -> str:
        """Return the first line of the record and give the others again."""
        self.push_back(self.held[1:])
        self.number -= len(self.held) - 1
        return self.held[0]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next_line(self._file)
        if not line:
            raise StopIteration
        self.number += 1
        self.held.append(line)
        self._size += len(line)
        if self._size > MAX_ITEM:
            raise csv.Error
        return line


def _records(lines: _Lines, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        begun = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield _alone(lines.keep_first(), delimiter, begun)
            continue
        yield Row(begun, cells)


def _alone(line: str, delimiter: str, number: int) -> Row:
    """Return the row of one line; quotes that open inside of a cell are taken as they stand if they close again."""
    if len(line) > MAX_ITEM:
        return Row(number, Malformed(f"the line is longer than {MAX_ITEM} characters", "too_large"), line)
    if line.count('"') % 2 == 0:
        try:
            return Row(number, next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:
            pass
    return Row(number, Malformed("the line cannot be read as CSV: a quote is never closed", "csv"), line)
