"""The commands ``huiyin group`` and ``huiyin match``: stateless, one line in, one line out, no database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli._lines import (
    QUARANTINED,
    File,
    Form,
    Format,
    Line,
    binary,
    content,
    json_object,
    run,
)
from monitor.words import _

if TYPE_CHECKING:
    from classifiers.claims import Reference


def register(app: typer.Typer) -> None:
    """Mount ``group`` and ``match`` on the root command."""
    app.command(
        "group", help=_("把内容相近的帖文归为一组（只读文件，不用数据库）。"), epilog=_group_example()
    )(group)
    app.command(
        "match", help=_("为每条帖文找出说的是哪条已知说法（只读文件，不用数据库）。"), epilog=_match_example()
    )(match)


def group(
    file: File = "-",
    form: Form = Format.AUTO,
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

    broken = run(file, form, answer)
    raise typer.Exit(QUARANTINED if broken else 0)


def match(
    claims: Annotated[
        Path,
        typer.Option(
            "--claims", metavar="CLAIMS.jsonl", help=_("每行一条说法：id、claim、verdict、clarification")
        ),
    ],
    file: File = "-",
    form: Form = Format.AUTO,
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

    broken = run(file, form, answer)
    raise typer.Exit(QUARANTINED if broken or faults else 0)


def _group_example() -> str:
    return _("例如") + ": huiyin group posts.jsonl > groups.jsonl"


def _match_example() -> str:
    return _("例如") + ": huiyin match --claims claims.jsonl posts.jsonl > matches.jsonl"


# --- the claims ------------------------------------------------------------------------------------


def _claims(path: Path) -> tuple[list[Reference], int]:
    """Read the claims; a line that is none is named on stderr and counted."""
    good: list[Reference] = []
    faults = 0
    with binary(path) as stream:
        for number, raw in enumerate(stream, 1):
            if not content(raw):
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

    row = json_object(number, raw).row or {}
    words = [
        row[key] if isinstance(row.get(key), str) else "" for key in ("claim", "verdict", "clarification")
    ]
    if not isinstance(row.get("id"), str | int) or not (words[0] or words[2]):
        return None
    return Reference(row["id"], *words)
