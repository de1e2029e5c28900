"""``huiyin ledger``: whether the record holds; entries carry no text and no names."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli._hand import emit, opened
from monitor.words import _


def register(root: typer.Typer) -> None:
    """Mount ``ledger`` on the root command."""
    app = typer.Typer(no_args_is_help=True)
    app.command("head", help=_("打印最新一条记录。"), epilog="huiyin ledger head")(head)
    app.command(
        "verify", help=_("校验整条链；有问题时指出第一条并以 1 退出。"), epilog="huiyin ledger verify"
    )(verify)
    app.command("prove", help=_("打印一件事的全部记录。"), epilog="huiyin ledger prove HY-000012")(prove)
    root.add_typer(app, name="ledger", help=_("账本：最新一条、逐条校验、查一件事的记录。"))


def head() -> None:
    """Print the last entry."""
    from monitor.usecases import ledger

    with opened(models=False) as application:
        last = ledger.head(application.deps)
    if last is None:
        typer.echo(_("账本还是空的。"), err=True)
        return
    emit(last)


def verify() -> None:
    """Check the chain; name the first bad entry and exit 1."""
    from monitor.usecases import ledger

    with opened(models=False) as application:
        found = ledger.verify(application.deps)
    emit(found)
    if not found.ok:
        typer.echo(_("第 {seq} 条与前一条对不上。").format(seq=found.first_bad), err=True)
        raise typer.Exit(1)


def prove(
    ref: Annotated[str, typer.Argument(help=_("工单号，如 HY-000012"))],
) -> None:
    """Print every entry about one thing."""
    from monitor.usecases import ledger

    with opened(models=False) as application:
        entries = ledger.prove(application.deps, ref)
    for entry in entries:
        emit(entry)
    if not entries:
        typer.echo(_("没有关于它的记录。"), err=True)
        raise typer.Exit(1)
