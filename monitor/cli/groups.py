"""The commands ``huiyin group`` and ``huiyin match``: stateless, one line in, one line out, no database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.words import _

if TYPE_CHECKING:
    from classifiers.claims import Reference

QUARANTINED: Final = 3
_WRONG_USE: Final = 2
_BATCH: Final = 1024


class Format(StrEnum):
    """How the posts are written down."""

    AUTO = "auto"
    JSONL = "jsonl"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of input: a post, or the reason why it is none (``code`` and ``message`` set)."""

    number: int
    id: Any = None
    text: str = ""
    row: dict[str, Any] | None = None
    code: str = ""
    message: str = ""


Answer = Callable[[Sequence[Line]], Iterable[dict[str, Any]]]


def register(app: typer.Typer) -> None:
    """Mount ``group`` and ``match`` on the root command."""
    app.command(
        "group", help=_("把内容相近的帖文归为一组（只读文件，不用数据库）。"), epilog=_group_example()
    )(group)
    app.command(
        "match", help=_("为每条帖文找出说的是哪条已知说法（只读文件，不用数据库）。"), epilog=_match_example()
    )(match)


def group(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help=_("帖文文件，每行一条；- 为标准输入"))] = "-",
    form: Annotated[
        Format, typer.Option("--format", help=_("jsonl：每行一个含 text 的对象；text：每行一条帖文"))
    ] = Format.AUTO,
    window: Annotated[
        int, typer.Option("--window", min=1, max=1_000_000, help=_("与之前多少条帖文比较"))
    ] = 65_536,
) -> None:
    """Print for each post {"id", "group", "similarity"}; ``group`` is the line number of the group's first post."""
    from classifiers.groups import Grouper

    grouper = Grouper(window)

    def answer(lines: Sequence[Line]) -> list[dict[str, Any]]:
        found = grouper.add([line.number for line in lines], [line.text for line in lines])
        pairs = zip(lines, found, strict=True)
        return [{"id": line.id, "group": one.group, "similarity": one.similarity} for line, one in pairs]

    broken = _run(file, form, answer)
    raise typer.Exit(QUARANTINED if broken else 0)


def match(
    claims: Annotated[
        Path,
        typer.Option(
            "--claims", metavar="CLAIMS.jsonl", help=_("每行一条说法：id、claim、verdict、clarification")
        ),
    ],
    file: Annotated[str, typer.Argument(metavar="FILE|-", help=_("帖文文件，每行一条；- 为标准输入"))] = "-",
    form: Annotated[
        Format, typer.Option("--format", help=_("jsonl：每行一个含 text 的对象；text：每行一条帖文"))
    ] = Format.AUTO,
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help=_("每条帖文最多列出几条说法"))] = 3,
) -> None:
    """Print for each post {"id", "matches": [{"claim_id", "score", "band"}]}, best first."""
    from classifiers.claims import Matcher

    references, faults = _claims(claims)
    matcher = Matcher(references)

    def answer(lines: Sequence[Line]) -> list[dict[str, Any]]:
        found = matcher.match([line.text for line in lines], limit)
        return [
            {
                "id": line.id,
                "matches": [{"claim_id": m.claim_id, "score": m.score, "band": m.band} for m in matches],
            }
            for line, matches in zip(lines, found, strict=True)
        ]

    broken = _run(file, form, answer)
    raise typer.Exit(QUARANTINED if broken or faults else 0)


def _group_example() -> str:
    return _("例如") + ": huiyin group posts.jsonl > groups.jsonl"


def _match_example() -> str:
    return _("例如") + ": huiyin match --claims claims.jsonl posts.jsonl > matches.jsonl"


# --- reading and writing lines ---------------------------------------------------------------------


def _run(file: str, form: Format, answer: Answer) -> int:
    """Answer every readable line and name every other, in order; return how many could not be read."""
    broken = 0
    with _opened(file) as stream:
        lines = read_lines(stream, form if form is not Format.AUTO else _by_name(file))
        while batch := list(islice(lines, _BATCH)):
            answers = iter(answer([line for line in batch if not line.code]))
            rows = [_fault(line) if line.code else next(answers) for line in batch]
            broken += sum(1 for line in batch if line.code)
            typer.echo(b"".join(map(_bytes, rows)), nl=False)
    return broken


def read_lines(stream: Iterable[bytes], form: Format) -> Iterator[Line]:
    """Read posts from lines of UTF-8; ``auto`` means JSON Lines when the first line with content begins with ``{``.

    In JSON Lines blank lines are skipped; as text every line is a post and its number its id.
    """
    numbered = enumerate(stream, 1)
    first = list(islice(numbered, 1))
    while first and not _content(first[-1][1]) and (more := next(numbered, None)) is not None:
        first.append(more)
    if form is Format.AUTO:
        form = Format.JSONL if first and _content(first[-1][1]).startswith(b"{") else Format.TEXT
    for number, raw in chain(first, numbered):
        if form is Format.TEXT:
            yield _text_line(number, raw)
        elif _content(raw):
            yield _json_line(number, raw)


def _content(raw: bytes) -> bytes:
    return raw.removeprefix(b"\xef\xbb\xbf").strip()


def _text_line(number: int, raw: bytes) -> Line:
    try:
        return Line(number, number, raw.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode("utf-8"))
    except UnicodeDecodeError:
        return Line(number, code="encoding", message=_("这一行不是 UTF-8 编码，请转换后再试。"))


def _json_line(number: int, raw: bytes) -> Line:
    line = _json_object(number, raw)
    if line.row is None:
        return line
    if not isinstance(line.row.get("text"), str):
        return Line(number, code="text", message=_("缺少 text，或它不是文字。"))
    return Line(number, line.row.get("id"), line.row["text"], line.row)


def _json_object(number: int, raw: bytes) -> Line:
    try:
        row = json.loads(_content(raw).decode("utf-8"))
    except UnicodeDecodeError:
        return Line(number, code="encoding", message=_("这一行不是 UTF-8 编码，请转换后再试。"))
    except RecursionError:
        return Line(number, code="too_deep", message=_("这一行嵌套过深，无法读取。"))
    except ValueError:
        return Line(number, code="json", message=_("这一行不是完整的 JSON。"))
    if not isinstance(row, dict):
        return Line(number, code="shape", message=_("这一行应是一个 JSON 对象。"))
    return Line(number, row=row)


def _fault(line: Line) -> dict[str, Any]:
    return {"line": line.number, "error": {"code": line.code, "message": line.message}}


def _bytes(row: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate in an id
        return (json.dumps(row) + "\n").encode("ascii")


def _by_name(file: str) -> Format:
    endings = {".jsonl": Format.JSONL, ".ndjson": Format.JSONL, ".txt": Format.TEXT}
    return endings.get(Path(file).suffix.lower(), Format.AUTO)


def _opened(file: str) -> AbstractContextManager[IO[bytes]]:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    return _binary(Path(file))


def _binary(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        typer.echo(
            _("打不开文件 {file}：{why}。请检查路径和权限。").format(file=path, why=error.strerror), err=True
        )
        raise typer.Exit(_WRONG_USE) from error


def _claims(path: Path) -> tuple[list[Reference], int]:
    """Read the claims; a line that is none is named on stderr and counted."""
    good: list[Reference] = []
    faults = 0
    with _binary(path) as stream:
        for number, raw in enumerate(stream, 1):
            if not _content(raw):
                continue
            claim = _claim(number, raw)
            if claim is None:
                faults += 1
                typer.echo(
                    _("说法文件第 {line} 行读不懂，已跳过：需要 id 和 claim。").format(line=number), err=True
                )
            else:
                good.append(claim)
    return good, faults


def _claim(number: int, raw: bytes) -> Reference | None:
    """Return one claim, or None when it has no id or no words."""
    from classifiers.claims import Reference

    row = _json_object(number, raw).row or {}
    words = [
        row[key] if isinstance(row.get(key), str) else "" for key in ("claim", "verdict", "clarification")
    ]
    if not isinstance(row.get("id"), str | int) or not (words[0] or words[2]):
        return None
    return Reference(row["id"], *words)
