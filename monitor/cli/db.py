"""The commands ``huiyin db``: the revision of the database, and bringing it up to date."""

from __future__ import annotations

import json

import typer

from monitor.cli.main import FAILED, options, say
from monitor.words import _


def register(root: typer.Typer) -> None:
    """Mount ``db`` on the root command."""
    app = typer.Typer(no_args_is_help=True, help=_("数据库：升级、查看版本。"))
    app.command(
        "upgrade", help=_("把数据库升级到最新结构；可以重复运行。"), epilog=_("例如") + ": huiyin db upgrade"
    )(upgrade)
    app.command(
        "status",
        help=_("输出一个 JSON 对象：current、head、up_to_date。"),
        epilog=_("例如") + ": huiyin db status",
    )(status)
    root.add_typer(app, name="db")


def upgrade(context: typer.Context) -> None:
    """Bring the database to the newest revision, making it when there is none."""
    from monitor import bootstrap, config

    chosen = options(context)
    found = config.load(chosen.config, chosen.data)
    found.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    bootstrap.prepare_database(found)
    say(context, _("数据库已是最新结构。"))


def status(context: typer.Context) -> None:
    """Print the revision of the database and the newest one; exit code 1 when they differ."""
    from monitor import bootstrap, config

    chosen = options(context)
    current, head = bootstrap.database_status(config.load(chosen.config, chosen.data))
    typer.echo(json.dumps({"current": current, "head": head, "up_to_date": current == head}))
    if current != head:
        say(context, _("请运行 huiyin db upgrade。"))
        raise typer.Exit(FAILED)
