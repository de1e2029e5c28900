"""The command ``huiyin retention``: delete what is older than the settings say."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from monitor.cli._hand import opened
from monitor.cli.main import say
from monitor.core.model import SYSTEM
from monitor.words import _


def register(root: typer.Typer) -> None:
    """Mount ``retention`` on the root command."""
    app = typer.Typer(no_args_is_help=True, help=_("保留期限：删除过了期限的数据。"))

    @app.callback()
    def _group() -> None:
        """Keep ``run`` a command of its own."""

    app.command(
        "run",
        help=_(
            "删除过了保留期限的打码前原文、重复请求标记、隔离区内容、会话和失败记录；输出一个 JSON 对象。"
        ),
        epilog=_("例如") + ": huiyin retention run --dry-run",
    )(run)
    root.add_typer(app, name="retention")


def run(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_("只数一数，不删除"))] = False,
) -> None:
    """Delete what is older than the settings say and print how much of each kind it was."""
    from monitor.usecases import retention

    with opened(models=False) as app:
        gone = retention.run(app.deps, SYSTEM, dry_run=dry_run)
    typer.echo(json.dumps({"dry_run": dry_run, **gone}))
    total = sum(gone.values())
    say(context, (_("将删除 {n} 项。") if dry_run else _("已删除 {n} 项。")).format(n=total))
