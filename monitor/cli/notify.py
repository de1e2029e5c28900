"""The commands ``huiyin notify``: list the ways to tell the staff, and try one for real."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli._hand import Json, emit, opened, table
from monitor.cli.main import FAILED, say
from monitor.core.errors import ConnectorError, RateLimited, Rejected, Unavailable
from monitor.words import _

if TYPE_CHECKING:
    from monitor.adapters.guard import GuardedNotifier
    from monitor.core.alerts import StaffMessage

Name = Annotated[str, typer.Argument(metavar="NAME", help=_("提醒的名称"))]


def register(root: typer.Typer) -> None:
    """Mount ``notify`` on the root command."""
    app = typer.Typer(no_args_is_help=True, help=_("提醒工作人员：列出、测试。"))
    example = _("例如") + ": huiyin notify "
    app.command("list", help=_("列出声明的提醒和它们的状态。"), epilog=example + "list --json")(list_)
    app.command(
        "test",
        help=_("真正送出一条测试提醒；送到后，之前放弃的提醒会重新排队。"),
        epilog=example + "test wecom",
    )(test)
    root.add_typer(app, name="notify")


def list_(as_json: Json = False) -> None:
    """Print every declared notifier with how it is doing."""
    from monitor.usecases import alerts

    with opened(models=False) as app:
        declared = app.config.notifiers
        rows = [
            asdict(one) | {"type": declared[one.name].type, "paused": declared[one.name].paused}
            for one in alerts.status(app.deps, list(declared))
        ]
    if as_json:
        for each in rows:
            emit(each)
        return
    keys = ("name", "type", "waiting", "sent", "unknown", "failed", "last_sent_at", "last_error")
    head = (
        _("名称"),
        _("类型"),
        _("等待"),
        _("已送出"),
        _("不知是否送到"),
        _("已放弃"),
        _("最近送出"),
        _("最近错误"),
    )
    table([[each[key] for key in keys] for each in rows], head)


def test(context: typer.Context, name: Name) -> None:
    """Send one message that says it is a test. Exit code 1 when it did not arrive, or nobody knows."""
    from monitor.bootstrap import build_notifier
    from monitor.runtime.notify import link_of
    from monitor.usecases import alerts

    with opened(models=False) as app:
        made = build_notifier(app.config, name)
        message = alerts.trial(link_of(app.config, app.config.notifiers[name]), app.deps.clock.now())
        try:
            asyncio.run(_sent(made, message))
        except ConnectorError as error:
            typer.echo(_told(error), err=True)
            raise typer.Exit(FAILED) from None
        again = alerts.replay(app.deps, name)
    say(context, _("已送出，请在 {name} 那边查看。").format(name=name))
    if again:
        say(context, _("之前放弃的 {n} 项提醒会重新送出。").format(n=again))


async def _sent(made: GuardedNotifier, message: StaffMessage) -> None:
    try:
        await made.send(message)
    finally:
        await made.close()


def _told(error: ConnectorError) -> str:
    if isinstance(error, Rejected):
        return _("对方拒绝了这条提醒：{error}").format(error=error)
    if isinstance(error, RateLimited):
        return _("对方要求稍后再送：送得太频繁了，请过一会儿再试。")
    if isinstance(error, Unavailable):
        return _("没有送到：{error}").format(error=error)
    return _("不知道是否送到，请到那边看一看：{error}").format(error=error)
