"""The command ``huiyin channel add``: ask for what a channel needs, keep its secrets apart, try it at once."""

from __future__ import annotations

import base64
import dataclasses
import secrets
import string
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli import _channel_words
from monitor.cli.main import options, say
from monitor.core.errors import BadInput, ConfigError, HuiyinError
from monitor.core.model import Health
from monitor.words import _

if TYPE_CHECKING:
    from monitor.config import Config, Fault

_LETTERS: Final = string.ascii_letters + string.digits
_ROUNDS: Final = 20


def _letters(n: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _place in range(n))


MADE: Final[Mapping[str, Callable[[], str]]] = {
    "token": lambda: secrets.token_urlsafe(32),
    "letters": lambda: _letters(32),
    "aes": lambda: _letters(43),
    "whsec": lambda: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
}
"""How secrets are made that the union chooses itself; those of a platform are in no way made up."""


def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=_("渠道名"))],
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help=_("连接器，例如 onebot、file、webhook、box"))
    ],
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help=_("归哪个单位"))] = "",
    given: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help=_("一项设置；可以重复；口令可写 env:变量名 或 file:路径")
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help=_("写好后是否马上连接一次"))] = True,
) -> None:
    """Write the section of a new channel after trying its settings, then connect for real."""
    from monitor import bootstrap, config

    chosen = options(context)
    found = config.load(chosen.config, chosen.data)
    if not config.is_channel_name(name):
        raise BadInput(_("渠道名用 1 到 40 个英文字母、数字、连字符或下划线。"))
    if name in found.channels:
        raise ConfigError(
            _("渠道 {name} 已经声明过了，请直接修改 {file}。").format(name=name, file=found.file)
        )
    declared = {one.name: one for one in bootstrap.settings_of(kind)}
    settings = dict(_pair(pair) for pair in given or ())
    made = _complete(
        declared, settings, lambda: _faults(found, config.Channel(name, kind, settings, unit or None))
    )
    file = found.file or found.data / config.FILE
    kept = _sealed(file.parent, name, settings)
    _write(file, name, {"type": kind, **({"unit": unit} if unit else {}), **kept})
    _tell(context, file, name, made, kept)
    if check:
        say(context, "\n".join(_channel_words.lines(name, _tried(chosen.config, chosen.data, name), None)))


def _tried(file: Path | None, data: Path, name: str) -> Health:
    """Connect through the channel as it stands in the file now."""
    from monitor import bootstrap, config

    try:
        found = config.load(file, data)
        seconds = found.rules.send_timeout
        return _channel_words.once(lambda: bootstrap.build_connector(found, found.channel(name), seconds))
    except HuiyinError as error:
        return Health(False, str(error))


def _tell(
    context: typer.Context, file: Path, name: str, made: Sequence[str], kept: Mapping[str, Any]
) -> None:
    said = _("已写入 {file}。重新启动服务后生效；用 huiyin channel check {name} 检查。")
    say(context, said.format(file=file, name=name))
    for key in made:
        value = kept[key][0] if isinstance(kept[key], list) else kept[key]
        told = _("已随机生成 {key}，存在 {path}；请在对方程序里填同一个。")
        say(context, told.format(key=key, path=file.parent / value.name))


# --- what is asked ---------------------------------------------------------------------------------


def _pair(pair: str) -> tuple[str, Any]:
    key, equals, text = pair.partition("=")
    if not equals or not key:
        raise BadInput(_("--set 要写成 键=值，例如 --set groups=[700001]。"))
    return key, _value(key, text)


def _value(key: str, text: str) -> Any:
    from monitor.config import is_secret

    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return _referred(value) if is_secret(key) else value


def _referred(value: Any) -> Any:
    """Return a secret as a reference where one was given: ``env:NAME``, ``file:PATH`` or the table of the file."""
    from monitor.config import Secret

    if isinstance(value, list):
        return [_referred(each) for each in value]
    if isinstance(value, dict) and len(value) == 1 and (where := next(iter(value))) in ("env", "file"):
        return Secret(where, str(value[where]))
    where, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    return Secret(where, rest) if colon and rest and where in ("env", "file") else value


def _complete(
    declared: Mapping[str, Field[Any]], settings: dict[str, Any], faults: Callable[[], list[Fault]]
) -> list[str]:
    """Fill ``settings`` with what is missing, by asking or by making it; returns the names of what was made.

    Required settings and those that want to be asked come first; then the connector itself says what it lacks.

    Raises: ConfigError with every fault that nobody mended.
    """
    made: list[str] = []
    wanted = [one for one in declared.values() if one.name not in settings and _is_asked(one)]
    for _round in range(_ROUNDS):
        answered = [one for one in wanted if _answer(one, settings, made)]
        found = faults()
        if not found:
            return made
        wanted = [declared[name] for name in _named(found, declared) if not settings.get(name)]
        if not wanted or (not answered and not sys.stdin.isatty() and not any(map(_is_made, wanted))):
            break
        for fault in found if sys.stdin.isatty() else ():
            typer.echo(fault.message, err=True)
    raise ConfigError("\n".join(f"{fault.key}: {fault.message}" for fault in found))


def _is_required(one: Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _is_asked(one: Field[Any]) -> bool:
    return _is_required(one) or (bool(one.metadata.get("ask")) and sys.stdin.isatty())


def _is_made(one: Field[Any]) -> bool:
    return one.metadata.get("made") in MADE


def _named(found: Sequence[Fault], declared: Mapping[str, Field[Any]]) -> list[str]:
    """Return the settings that faults name."""
    words = [
        word for fault in found for word in (fault.key.rpartition(".")[2], *fault.message.split("`")[1::2])
    ]
    return [word for word in dict.fromkeys(words) if word in declared]


def _answer(one: Field[Any], settings: dict[str, Any], made: list[str]) -> bool:
    """Ask for one setting, or make it where it is ours to choose; says whether there is a value now."""
    from monitor.config import is_secret

    text = ""
    if sys.stdin.isatty():
        typer.echo(str(one.metadata.get("sentence", "")), err=True)
        if not is_secret(one.name):
            text = typer.prompt(one.name, err=True)
        elif _is_made(one):
            asked = _("{key}（回车则随机生成）").format(key=one.name)
            text = typer.prompt(asked, "", hide_input=True, show_default=False, err=True)
        else:
            asked = _("{key}（由平台给出）").format(key=one.name)
            text = typer.prompt(asked, hide_input=True, err=True)
    if text:
        value = _value(one.name, text)
    elif _is_made(one):
        value = MADE[one.metadata["made"]]()
        made.append(one.name)
    else:
        return False
    is_list = str(one.type).startswith("tuple")
    settings[one.name] = [value] if is_list and not isinstance(value, list) else value
    return True


def _faults(found: Config, channel: Any) -> list[Fault]:
    from monitor import bootstrap

    trial = dataclasses.replace(found, channels={channel.name: channel})
    return bootstrap.channel_faults(trial, channel.name)


# --- what is written -------------------------------------------------------------------------------


def _sealed(folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write every secret into a file of its own and return the settings with references in their place."""
    from monitor.config import is_secret

    return {
        key: _kept(folder, f"{name}.{key}", value) if is_secret(key) else value
        for key, value in settings.items()
    }


def _kept(folder: Path, called: str, value: Any) -> Any:
    from monitor.config import Secret

    if isinstance(value, list):
        return [_kept(folder, f"{called}.{number}", each) for number, each in enumerate(value, 1)]
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        return value
    path = folder / "secrets" / called
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(f"{value}\n", encoding="utf-8")
    return Secret("file", f"secrets/{path.name}")


def _write(file: Path, name: str, section: dict[str, Any]) -> None:
    from monitor.config import toml

    before = file.read_text(encoding="utf-8").rstrip() + "\n\n" if file.exists() else ""
    lines = [f"[channels.{name}]", *(f"{key} = {toml(value)}" for key, value in section.items())]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_suffix(".toml.partial")
    partial.write_text(before + "\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(file)


__all__ = ["MADE", "add"]
