"""The commands ``huiyin channel``: declare a channel, list them, check one for real, pause and resume."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sys
import time
import tomllib
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli._hand import Json, opened, table
from monitor.cli.main import FAILED, options, say
from monitor.core.errors import BadInput, ConfigError
from monitor.core.model import SYSTEM, Health
from monitor.words import _

if TYPE_CHECKING:
    from monitor.bootstrap import App
    from monitor.config import Config

ANSWER_SECONDS: Final = 60.0
Name = Annotated[str, typer.Argument(metavar="NAME", help=_("渠道名"))]


def register(root: typer.Typer) -> None:
    """Mount ``channel`` on the root command."""
    app = typer.Typer(no_args_is_help=True, help=_("渠道：声明、列出、检查、暂停、恢复。"))
    example = _("例如") + ": huiyin channel "
    app.command(
        "add",
        help=_("声明一个渠道：问清设置，核对之后写进 huiyin.toml；口令另存为文件。"),
        epilog=example + "add qq --type onebot --set groups=[700001]",
    )(add)
    app.command("list", help=_("列出渠道和它们的状态。"), epilog=example + "list --json")(list_)
    app.command("check", help=_("真正连接一次，说明哪些可用、如何修复。"), epilog=example + "check qq")(check)
    app.command(
        "pause",
        help=_("暂停一个渠道：不再收取和发出，正在运行的服务几秒内照办。"),
        epilog=example + "pause qq",
    )(pause)
    app.command("resume", help=_("恢复一个暂停的渠道。"), epilog=example + "resume qq")(resume)
    root.add_typer(app, name="channel")


# --- add -------------------------------------------------------------------------------------------


def add(
    context: typer.Context,
    name: Name,
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help=_("连接器，例如 onebot、file、webhook、box"))
    ],
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help=_("归哪个单位"))] = "",
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_("一项设置；可以重复"))
    ] = None,
) -> None:
    """Write the section of a new channel after trying its settings."""
    from monitor import bootstrap, config

    chosen = options(context)
    found = config.load(chosen.config, chosen.data)
    if not config.is_channel_name(name):
        raise BadInput(_("渠道名用 1 到 40 个英文字母、数字、连字符或下划线。"))
    if name in found.channels:
        raise ConfigError(
            _("渠道 {name} 已经声明过了，请直接修改 {file}。").format(name=name, file=found.file)
        )
    declared = bootstrap.settings_of(kind)
    settings = _asked(declared, dict(_pair(pair) for pair in given or ()))
    _refuse_faulty(found, config.Channel(name, kind, dict(settings), unit or None))
    file = found.file or found.data / config.FILE
    _write(
        file, name, {"type": kind, **({"unit": unit} if unit else {}), **_sealed(file.parent, name, settings)}
    )
    say(
        context,
        _("已写入 {file}。重新启动服务后生效；用 huiyin channel check {name} 检查。").format(
            file=file, name=name
        ),
    )


def _pair(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise BadInput(_("--set 要写成 键=值，例如 --set groups=[700001]。"))
    try:
        return key, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text


def _asked(declared: list[Field[Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Return the given settings with the missing ones asked for: what is required, and every secret."""
    from monitor.config import is_secret

    for one in declared:
        required = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
        if one.name in given or not (required or is_secret(one.name)) or not sys.stdin.isatty():
            continue
        typer.echo(str(one.metadata.get("sentence", "")), err=True)
        if is_secret(one.name):
            answer = typer.prompt(_("{key}（回车则随机生成）").format(key=one.name), "", True, err=True)
            given[one.name] = answer or secrets.token_urlsafe(32)
        else:
            given.update([_pair(f"{one.name}={typer.prompt(one.name, err=True)}")])
    return given


def _refuse_faulty(found: Config, channel: Any) -> None:
    from monitor import bootstrap

    trial = dataclasses.replace(found, channels={channel.name: channel})
    if faults := bootstrap.channel_faults(trial, channel.name):
        raise ConfigError("\n".join(f"{fault.key}: {fault.message}" for fault in faults))


def _sealed(folder: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Write every secret into a file of its own and return the settings with references in their place."""
    from monitor.config import Secret, is_secret

    kept: dict[str, Any] = {}
    for key, value in settings.items():
        if is_secret(key) and isinstance(value, str) and value:
            path = folder / "secrets" / f"{name}.{key}"
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(value + "\n", encoding="utf-8")
            value = Secret("file", f"secrets/{path.name}")
        kept[key] = value
    return kept


def _write(file: Path, name: str, section: dict[str, Any]) -> None:
    from monitor.config import toml

    before = file.read_text(encoding="utf-8").rstrip() + "\n\n" if file.exists() else ""
    lines = [f"[channels.{name}]", *(f"{key} = {toml(value)}" for key, value in section.items())]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_suffix(".toml.partial")
    partial.write_text(before + "\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(file)


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


def check(context: typer.Context, name: Name) -> None:
    """Ask the running service to connect; without one connect from here. Exit code 1 when something is wrong."""
    with opened(models=False) as app:
        health = _checked(context, app, name)
    typer.echo(
        json.dumps(
            {"channel": name, "ok": health.ok, "message": health.message}
            | {"capabilities": sorted(map(str, health.capabilities)), "detail": dict(health.detail)},
            ensure_ascii=False,
        )
    )
    say(context, health.message)
    if not health.ok:
        raise typer.Exit(FAILED)


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
    import asyncio

    async def once() -> Health:
        connector = app.connector(name)
        try:
            return await connector.check()
        finally:
            await connector.close()

    return asyncio.run(once())


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
