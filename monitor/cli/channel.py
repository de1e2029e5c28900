"""The commands ``huiyin channel``: list channels, check one for real, pause and resume, see and move its cursor."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli import _channel_add, _channel_words
from monitor.cli._hand import Json, opened, table
from monitor.cli.main import FAILED, say
from monitor.core.errors import BadInput, ConfigError, NotFound
from monitor.core.model import SYSTEM, Health
from monitor.words import _

if TYPE_CHECKING:
    from monitor.bootstrap import App
    from monitor.core.ports import ChannelStatus

ANSWER_SECONDS: Final = 60.0
Name = Annotated[str, typer.Argument(metavar="NAME", help=_("渠道名"))]


def register(root: typer.Typer) -> None:
    """Mount ``channel`` on the root command."""
    app = typer.Typer(
        no_args_is_help=True, help=_("渠道：声明、列出、检查、暂停、恢复、查看和修改读到的位置。")
    )
    example = _("例如") + ": huiyin channel "
    app.command(
        "add",
        help=_("声明一个渠道：只问它需要的设置，核对之后写进 huiyin.toml，口令另存为文件，并马上试一次。"),
        epilog=example + "add qq --type onebot --set groups=[700001]",
    )(_channel_add.add)
    app.command("list", help=_("列出渠道和它们的状态。"), epilog=example + "list --json")(list_)
    app.command("check", help=_("真正连接一次，说明哪些可用、如何修复。"), epilog=example + "check qq")(check)
    app.command(
        "pause",
        help=_("暂停一个渠道：不再收取和发出，正在运行的服务几秒内照办。"),
        epilog=example + "pause qq",
    )(pause)
    app.command("resume", help=_("恢复一个暂停的渠道。"), epilog=example + "resume qq")(resume)
    app.command(
        "cursor",
        help=_("显示读到了哪里；--reset 从头再读，--set 改到指定位置（先暂停渠道）。"),
        epilog=example + "cursor qq --reset",
    )(cursor)
    root.add_typer(app, name="channel")


# --- list, check, pause, resume --------------------------------------------------------------------


def list_(as_json: Json = False) -> None:
    """Print every channel that is declared or has posts."""
    from monitor.cli._hand import emit
    from monitor.usecases import channels

    with opened(models=False) as app:
        known = {row.name: row for row in channels.status(app.deps, SYSTEM)}
        declared = app.config.channels
    rows = []
    for name in sorted({*known, *declared}):
        row = known.get(name)
        rows.append(
            {
                "name": name,
                "type": declared[name].type if name in declared else row and row.type,
                "declared": name in declared,
                "state": row.state if row else "new",
                "last_post_at": row and row.last_post_at,
                "received": row.received if row else 0,
                "quarantined": row.quarantined if row else 0,
                "lag_seconds": row and row.lag and row.lag.total_seconds(),
                "error_rate": row and row.error_rate,
                "next_retry_at": row and row.next_retry_at,
                "capabilities": list(row.capabilities) if row else [],
                "error": row and row.last_error,
            }
        )
    if as_json:
        for each in rows:
            emit(each)
        return
    head = (_("渠道"), _("类型"), _("状态"), _("收到"), _("隔离"), _("能力"), _("最近错误"))
    keys = ("name", "type", "state", "received", "quarantined", "capabilities", "error")
    table([[_cell(each[key]) for key in keys] for each in rows], head)


def _cell(value: object) -> object:
    return " ".join(value) if isinstance(value, list) else value


def check(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Ask the running service to connect; without one connect from here. Exit code 1 when something is wrong."""
    with opened(models=False) as app:
        health = _checked(context, app, name)
        row = next((one for one in _status(app) if one.name == name), None)
    if as_json:
        typer.echo(
            json.dumps(
                {"channel": name, "ok": health.ok, "message": health.message}
                | {"capabilities": sorted(map(str, health.capabilities)), "detail": dict(health.detail)},
                ensure_ascii=False,
            )
        )
        say(context, health.message)
    else:
        typer.echo("\n".join(_channel_words.lines(name, health, row)))
    if not health.ok:
        raise typer.Exit(FAILED)


def _status(app: App) -> list[ChannelStatus]:
    from monitor.usecases import channels

    return channels.status(app.deps, SYSTEM)


def _checked(context: typer.Context, app: App, name: str) -> Health:
    from monitor.usecases import channels

    asked = channels.ask_check(app.deps, SYSTEM, name)
    if asked is None:
        return _from_here(app, name)
    say(context, _("正在请运行中的服务检查 {name} …").format(name=name))
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        if (health := channels.check_answer(app.deps, name, asked)) is not None:
            return health
        time.sleep(0.2)
    if name not in app.config.channels:
        app.connector(name)
    return Health(
        False, _("服务没有在一分钟内答复；请看 huiyin doctor，或渠道是否是在服务启动之后才声明的。")
    )


def _from_here(app: App, name: str) -> Health:
    return _channel_words.once(lambda: app.connector(name))


def pause(context: typer.Context, name: Name) -> None:
    """Stop listening to and sending through a channel."""
    _pause(name, True)
    say(context, _("渠道 {name} 已暂停。").format(name=name))


def resume(context: typer.Context, name: Name) -> None:
    """Listen to and send through a channel again."""
    _pause(name, False)
    say(context, _("渠道 {name} 已恢复。").format(name=name))


def _pause(name: str, paused: bool) -> None:
    from monitor.core.ports import ChannelConfig
    from monitor.usecases import channels

    with opened(models=False) as app:
        declared = app.config.channels.get(name)
        if declared is not None and declared.paused and not paused:
            raise ConfigError(
                str(
                    app.config.fault(
                        ("channels", name, "paused"), _("配置里写着 paused = true，请先去掉再恢复。")
                    )
                )
            )
        known = {row.name for row in channels.status(app.deps, SYSTEM)}
        if declared is not None and name not in known:
            row = ChannelConfig(name, declared.type, {}, declared.unit)
            channels.declare(app.deps, [(row, app.connector(name).capabilities)])
        channels.set_paused(app.deps, SYSTEM, name, paused)


# --- cursor ----------------------------------------------------------------------------------------


def cursor(
    context: typer.Context,
    name: Name,
    reset: Annotated[bool, typer.Option("--reset", help=_("忘掉位置，从头再读"))] = False,
    value: Annotated[str, typer.Option("--set", metavar="CURSOR", help=_("改到这个位置"))] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_("不再询问"))] = False,
) -> None:
    """Print where a channel stands; with --reset or --set move it, after a warning."""
    from monitor.usecases import channels

    if reset and value:
        raise BadInput(_("--reset 和 --set 只能用一个。"))
    with opened(models=False) as app:
        if not reset and not value:
            known = {row.name for row in channels.status(app.deps, SYSTEM)}
            if name not in app.config.channels and name not in known:
                raise NotFound("there is no such channel; `huiyin channel list` names them")
            typer.echo(channels.cursor(app.deps, name) or "")
            return
        warning = (
            _("来源还能给出的内容会全部再读一遍；已有的帖文按编号识别，不会重复入库。")
            if reset
            else _("位置写得太靠后，中间的帖文就不会再读；写得不对，渠道可能从头再读。")
        )
        say(context, warning)
        if not yes:
            typer.confirm(_("确定要改渠道 {name} 的位置吗？").format(name=name), abort=True, err=True)
        before = channels.move_cursor(app.deps, SYSTEM, name, value or None)
    say(context, _("位置已修改并记入账本，原来是：{before}").format(before=before or _("（空）")))
