"""The command ``huiyin import``: take the posts of a file into a channel; twice is once."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli.main import WRONG_USE, say
from monitor.core.model import SYSTEM, Actor
from monitor.core.ports import ChannelConfig
from monitor.words import _

if TYPE_CHECKING:
    from monitor.core.model import Broken, RawPost
    from monitor.core.ports import Store, UnitOfWork
    from monitor.usecases.deps import Deps

QUARANTINED: Final = 3
BATCH: Final = 500
TELL_SECONDS: Final = 5.0
_OUTCOMES: Final = ("new", "duplicate", "updated", "quarantined")


class Format(StrEnum):
    """How the file is written."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    XLSX = "xlsx"
    QQ_TXT = "qq-txt"
    QCE_JSON = "qce-json"


def register(root: typer.Typer) -> None:
    """Mount ``import`` on the root command."""
    root.command(
        "import",
        help=_("把文件里的帖文读入一个渠道；重复导入不会重复计数。读不懂的条目进隔离区，退出码为 3。"),
        epilog=_("例如") + ": huiyin import 群聊记录.txt --channel qq --format qq-txt",
    )(import_)


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=_("要导入的文件"))],
    channel: Annotated[str, typer.Option("--channel", metavar="NAME", help=_("渠道名"))],
    form: Annotated[Format, typer.Option("--format", help=_("文件格式；auto 按内容判断"))] = Format.AUTO,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("只读一遍，什么都不存"))] = False,
) -> None:
    """Print one JSON object: read, new, duplicate, updated, quarantined, seconds."""
    from monitor import bootstrap

    _refuse_wrong_use(file, channel)
    begun = time.monotonic()
    items = bootstrap.import_reader(file, form.value, channel)
    app = bootstrap.from_environment(models=False)
    try:
        deps = replace(app.deps, uow=_Rehearsal(app.deps.uow)) if dry_run else app.deps
        counts = _take_in(deps, channel, items, context)
    finally:
        app.close()
    report: dict[str, Any] = {"read": sum(counts.values()), **{name: counts[name] for name in _OUTCOMES}}
    typer.echo(json.dumps(report | {"seconds": round(time.monotonic() - begun, 3)}))
    raise typer.Exit(QUARANTINED if counts["quarantined"] else 0)


def _refuse_wrong_use(file: Path, channel: str) -> None:
    from monitor.config import is_channel_name

    if not file.is_file():
        typer.echo(_("打不开文件 {file}。请检查路径和权限。").format(file=file), err=True)
        raise typer.Exit(WRONG_USE)
    if not is_channel_name(channel):
        typer.echo(_("渠道名用 1 到 40 个英文字母、数字、连字符或下划线。"), err=True)
        raise typer.Exit(WRONG_USE)


def _batches(items: Iterable[RawPost | Broken]) -> Iterator[list[RawPost | Broken]]:
    stream = iter(items)
    while batch := list(islice(stream, BATCH)):
        yield batch


def _take_in(
    deps: Deps, channel: str, items: Iterable[RawPost | Broken], context: typer.Context
) -> Counter[str]:
    from monitor.usecases.ingest import ingest

    _declare(deps, channel)
    counts: Counter[str] = Counter()
    shown = time.monotonic()
    for batch in _batches(items):
        report = ingest(deps, channel, batch)
        counts.update({name: getattr(report, name) for name in _OUTCOMES})
        if time.monotonic() - shown >= TELL_SECONDS:
            shown = time.monotonic()
            say(context, _("已读 {n} 条").format(n=f"{sum(counts.values()):,}"))
    return counts


def _declare(deps: Deps, channel: str) -> None:
    """Write down a channel that is known only by what was imported; a known one stays as it is."""
    with deps.uow.begin() as store:
        if channel not in {row.name for row in store.channels.status()}:
            store.channels.declare(ChannelConfig(channel, "file", {}), ["listen"])


class _Undo(Exception):
    """Ends a transaction of a rehearsal so that nothing of it stays."""


class _Rehearsal:
    """Transactions that are rolled back at their end (see :class:`monitor.core.ports.UnitOfWork`)."""

    def __init__(self, inner: UnitOfWork) -> None:
        self._inner = inner
        self.read = inner.read
        self.close = inner.close

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[Store]:
        """Open a write transaction that leaves nothing behind."""
        try:
            with self._inner.begin(actor) as store:
                yield store
                raise _Undo
        except _Undo:
            return
