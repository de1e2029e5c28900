"""Posts line by line: what the commands that need no database read from a file or stdin and print to stdout.

A line that cannot be read becomes a row that says so; the others go on. Reading never waits for more than what has
arrived, so that the commands can stand in a pipe.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import IO, Annotated, Any, Final, NamedTuple

import msgspec
import typer

from monitor.words import _

QUARANTINED: Final = 3
WRONG_USE: Final = 2
_BATCH: Final = 1024
_BLOCK: Final = 1 << 19
_LONGEST: Final = 8 << 20  # bytes of one line
_BOM: Final = b"\xef\xbb\xbf"
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


class Format(StrEnum):
    """How the posts are written down."""

    AUTO = "auto"
    JSONL = "jsonl"
    TEXT = "text"


File = Annotated[str, typer.Argument(metavar="FILE|-", help=_("帖文文件，每行一条；- 为标准输入"))]
Form = Annotated[
    Format, typer.Option("--format", help=_("jsonl：每行一个含 text 的对象；text：每行一条帖文"))
]


class Line(NamedTuple):
    """One line of input: a post, or the reason why it is none (``code`` and ``message`` set)."""

    number: int
    id: Any = None
    text: str = ""
    row: dict[str, Any] | None = None
    code: str = ""
    message: str = ""


Answer = Callable[[Sequence[Line]], Iterable[dict[str, Any]]]


def run(file: str, form: Format, answer: Answer) -> int:
    """Answer every readable line and name every other, in order; return how many could not be read."""
    broken = 0
    with opened(file) as stream:
        for batch in batches(stream, form if form is not Format.AUTO else by_name(file)):
            answers = iter(answer([line for line in batch if not line.code]))
            rows = [fault(line) if line.code else next(answers) for line in batch]
            broken += sum(1 for line in batch if line.code)
            typer.echo(b"".join(map(to_bytes, rows)), nl=False)
    return broken


# --- reading ---------------------------------------------------------------------------------------


def batches(stream: IO[bytes], form: Format) -> Iterator[list[Line]]:
    """Read posts in batches of what has arrived (see :func:`read_lines` for the forms)."""
    reader = _Reader(form)
    for lines in _arrived(stream):
        found = iter(list(reader.read(lines)))
        while batch := list(islice(found, _BATCH)):
            yield batch


def read_lines(stream: Iterable[bytes], form: Format) -> Iterator[Line]:
    """Read posts from lines of UTF-8; ``auto`` means JSON Lines when the first line with content begins with ``{``.

    In JSON Lines blank lines are skipped; as text every line is a post and its number its id.
    """
    return _Reader(form).read(stream)


class _Reader:
    """Reads lines that come in several helpings: keeps the number of the line, and the form once it is known."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._number = 0
        self._blank: list[bytes] = []

    def read(self, lines: Iterable[bytes]) -> Iterator[Line]:
        rest = iter(lines)
        if self._form is Format.AUTO:
            rest = self._guess(rest)
        for raw in rest:
            self._number += 1
            if len(raw) > _LONGEST:
                yield Line(self._number, code="too_long", message=_("这一行太长，无法读取。"))
            elif self._form is Format.TEXT:
                yield _text_line(self._number, raw)
            elif content(raw):
                yield _json_line(self._number, raw)

    def _guess(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Hold back blank lines until the first line with content shows the form."""
        for raw in lines:
            self._blank.append(raw)
            if found := content(raw):
                self._form = Format.JSONL if found.startswith(b"{") else Format.TEXT
                held, self._blank = self._blank, []
                return chain(held, lines)
        return iter(())


def _arrived(stream: IO[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of each block that arrives; of a line without end no more than can be refused is kept."""
    read = getattr(stream, "read1", stream.read)
    kept: list[bytes] = []
    size = 0
    while block := read(_BLOCK):
        if b"\n" not in block:
            kept += [block] if size <= _LONGEST else []
            size += len(block)
            continue
        lines = (b"".join(kept) + block).split(b"\n")
        kept = [lines.pop()]
        size = len(kept[0])
        yield lines
    if kept and (last := b"".join(kept)):
        yield [last]


def content(raw: bytes) -> bytes:
    """Return a line without byte-order mark and blanks around it."""
    return raw.removeprefix(_BOM).strip()


def _text_line(number: int, raw: bytes) -> Line:
    try:
        return Line(number, number, raw.removeprefix(_BOM).rstrip(b"\r\n").decode("utf-8"))
    except UnicodeDecodeError:
        return Line(number, code="encoding", message=_("这一行不是 UTF-8 编码，请转换后再试。"))


def _json_line(number: int, raw: bytes) -> Line:
    try:
        row = _decode(raw)
    except (ValueError, RecursionError):  # rare: a byte-order mark, a lone surrogate, or no JSON at all
        row = None
    line = Line(number, row=row) if isinstance(row, dict) else json_object(number, raw)
    if line.row is None:
        return line
    text = line.row.get("text")
    if not isinstance(text, str):
        return Line(number, code="text", message=_("缺少 text，或它不是文字。"))
    return Line(number, line.row.get("id"), text, line.row)


def json_object(number: int, raw: bytes) -> Line:
    """Read one JSON object the careful way, or say why it is none."""
    try:
        row = json.loads(content(raw).decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError:
        return Line(number, code="encoding", message=_("这一行不是 UTF-8 编码，请转换后再试。"))
    except RecursionError:
        return Line(number, code="too_deep", message=_("这一行嵌套过深，无法读取。"))
    except ValueError:
        return Line(number, code="json", message=_("这一行不是完整的 JSON。"))
    if not isinstance(row, dict):
        return Line(number, code="shape", message=_("这一行应是一个 JSON 对象。"))
    return Line(number, row=row)


def _refuse(literal: str) -> float:
    raise ValueError(literal)


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(literal)
    return number


# --- writing ---------------------------------------------------------------------------------------


def fault(line: Line) -> dict[str, Any]:
    """Return the row of a line that could not be read."""
    return {"line": line.number, "error": {"code": line.code, "message": line.message}}


def to_bytes(row: dict[str, Any]) -> bytes:
    """Return one line of JSON."""
    try:
        return _encode(row) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate from the input
        return (json.dumps(row, default=_unpacked) + "\n").encode("ascii")


def _unpacked(packed: msgspec.Raw) -> Any:
    return json.loads(bytes(packed))


# --- files -----------------------------------------------------------------------------------------


def by_name(file: str) -> Format:
    """Return the form that a file's name stands for."""
    endings = {".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".txt": Format.TEXT}
    return endings.get(Path(file).suffix.lower(), Format.AUTO)


def opened(file: str) -> AbstractContextManager[IO[bytes]]:
    """Open a file, or stdin for ``-``; ends the command when it cannot be opened."""
    return nullcontext(sys.stdin.buffer) if file == "-" else binary(Path(file))


def binary(path: Path) -> IO[bytes]:
    """Open a file for reading; ends the command when it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        typer.echo(
            _("打不开文件 {file}：{why}。请检查路径和权限。").format(file=path, why=error.strerror), err=True
        )
        raise typer.Exit(WRONG_USE) from error
