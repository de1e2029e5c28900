"""The command ``huiyin check``: is the configuration right, and what is in force?"""

from __future__ import annotations

import typer

from monitor.cli.main import FAILED, options, say
from monitor.words import _


def register(root: typer.Typer) -> None:
    """Mount ``check`` on the root command."""
    root.command(
        "check",
        help=_("检查配置：指出每处错误的文件、行和键；输出生效的配置，口令一律不显示。"),
        epilog=_("例如") + ": huiyin --config huiyin.toml check",
    )(check)


def check(context: typer.Context) -> None:
    """Validate the configuration and every channel's settings; print what is in force as TOML."""
    from monitor import bootstrap, config

    chosen = options(context)
    found, faults = bootstrap.faults(chosen.config, chosen.data)
    typer.echo(config.shown(found), nl=False)
    for fault in faults:
        typer.echo(str(fault), err=True)
    if faults:
        raise typer.Exit(FAILED)
    place = found.file or _("（没有配置文件，全部用默认值）")
    say(context, _("配置正确：{file}").format(file=place))
