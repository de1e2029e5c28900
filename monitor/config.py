"""The configuration: ``huiyin.toml``, read once into frozen dataclasses; secrets only by reference.

Every setting is declared in ``_declared`` with its sentence. It can also come from the environment variable
``HUIYIN_<TABLE>_<KEY>``, e.g. ``HUIYIN_SERVICE_PORT``; no other module reads settings from the environment.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import time
from pathlib import Path
from typing import Any, Final

from monitor._declared import (
    CHANNEL,
    NOTIFIER,
    RULES,
    SECTIONS,
    House,
    ServiceSettings,
    StoreSettings,
    UiSettings,
    WorkerSettings,
)
from monitor._settings import Spec, Unfit, line_of, lines_of, near, parsed, taken
from monitor.core.alerts import AlertKind
from monitor.core.errors import ConfigError
from monitor.core.ports import ChannelConfig, NotifierConfig
from monitor.usecases.deps import Rules

FILE: Final = "huiyin.toml"
TABLES: Final = ("channels", "notifiers")
"""Tables with a table per name inside."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_SECRET: Final = re.compile(r"token|secret|password|passwd|api_key|private_key", re.IGNORECASE)
_URL_PASSWORD: Final = re.compile(r"(://[^/@:]*):[^/@]*@")


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret that is kept outside the file: in an environment variable or a file of its own."""

    where: str
    name: str

    def resolve(self, base: Path) -> str:
        """Return the secret; relative files are looked for beside the configuration.

        Raises: ConfigError with the mend.
        """
        if self.where == "env":
            found = os.environ.get(self.name, "")
            mend = f"set the environment variable {self.name} before the start"
        else:
            found, mend = _read_secret(base / self.name), f"write it into {base / self.name} (mode 0600)"
        if not found:
            raise ConfigError(f"the secret is missing: {mend}")
        return found

    def __str__(self) -> str:
        return f'{{ {self.where} = "{self.name}" }}'


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One declared channel; ``settings`` may hold :class:`Secret` values."""

    name: str
    type: str
    settings: Mapping[str, Any]
    unit: str | None = None
    paused: bool = False
    quiet_hours: str = ""
    answers_per_minute: int = 20

    def is_quiet(self, at: time) -> bool:
        """Say whether answers wait at this time of the day (Shanghai)."""
        return within(self.quiet_hours, at)


@dataclass(frozen=True, slots=True)
class Notifier:
    """One declared way to tell the staff; ``settings`` may hold :class:`Secret` values."""

    name: str
    type: str
    settings: Mapping[str, Any]
    kinds: tuple[str, ...] = ()
    quiet_hours: str = "22:00-07:30"
    at_night: tuple[str, ...] = ("urgent_case",)
    gather_seconds: float = 60.0
    down_minutes: float = 30.0
    link: str = ""
    repeat_unsure: bool = False
    paused: bool = False

    @property
    def tells(self) -> frozenset[AlertKind]:
        """Return what is told at all."""
        return frozenset(map(AlertKind, self.kinds)) or frozenset(AlertKind)

    def allowed(self, at: time) -> frozenset[AlertKind]:
        """Return what may leave at this time of the day (Shanghai)."""
        is_quiet = within(self.quiet_hours, at)
        return self.tells & frozenset(map(AlertKind, self.at_night)) if is_quiet else self.tells


def within(text: str, at: time) -> bool:
    """Say whether a time of the day lies in quiet hours."""
    hours = quiet(text)
    if hours is None:
        return False
    begin, end = hours
    return begin <= at < end if begin < end else at >= begin or at < end


def quiet(text: str) -> tuple[time, time] | None:
    """Return begin and end of quiet hours, None when there are none; raises ValueError for what cannot be read."""
    if not text.strip():
        return None
    begin, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    if begin == end or begin.tzinfo or end.tzinfo:
        raise ValueError(text)
    return begin, end


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, which key, and what to do."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that was configured; ``file`` is None when there is no file."""

    data: Path
    file: Path | None
    house: House
    store: StoreSettings
    service: ServiceSettings
    ui: UiSettings
    worker: WorkerSettings
    rules: Rules
    channels: Mapping[str, Channel] = field(default_factory=dict)
    notifiers: Mapping[str, Notifier] = field(default_factory=dict)
    store_secret: Secret | None = None
    demo: bool = False
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Return the folder that relative secret files are looked for in."""
        return self.data if self.file is None else self.file.parent

    @property
    def store_url(self) -> str:
        """Return the address of the database; raises ConfigError when its secret is missing."""
        if self.store_secret is not None:
            try:
                return self.store_secret.resolve(self.folder)
            except ConfigError as error:
                raise ConfigError(str(self.fault(("store", "url"), str(error)))) from None
        return self.store.url or f"sqlite:///{self.data / 'huiyin.db'}"

    def fault(self, path: tuple[str, ...], message: str) -> Fault:
        """Return a fault of the file at ``path``."""
        name = "the environment" if self.file is None else str(self.file)
        return Fault(name, line_of(self.lines, path), ".".join(path), message)

    def channel(self, name: str) -> ChannelConfig:
        """Return a declared channel with its secrets resolved.

        Raises: ConfigError when it is not declared or a secret is missing.
        """
        found = self.channels.get(name)
        if found is None:
            known = near(name, self.channels) if self.channels else f"`huiyin channel add {name}` declares it"
            raise ConfigError(f"no channel `{name}` is declared; {known}")
        settings = {
            key: self._resolved(("channels", name, key), value) for key, value in found.settings.items()
        }
        return ChannelConfig(found.name, found.type, settings, found.unit, found.paused)

    def notifier(self, name: str) -> NotifierConfig:
        """Return a declared notifier with its secrets resolved.

        Raises: ConfigError when it is not declared or a secret is missing.
        """
        found = self.notifiers.get(name)
        if found is None:
            known = near(name, self.notifiers) if self.notifiers else "docs/notifications.md says how"
            raise ConfigError(f"no notifier `{name}` is declared; {known}")
        settings = {
            key: self._resolved(("notifiers", name, key), value) for key, value in found.settings.items()
        }
        return NotifierConfig(found.name, found.type, settings)

    def _resolved(self, where: tuple[str, ...], value: Any) -> Any:
        if isinstance(value, Secret):
            try:
                return value.resolve(self.folder)
            except ConfigError as error:
                raise ConfigError(str(self.fault(where, str(error)))) from None
        if isinstance(value, dict):
            return {key: self._resolved(where, each) for key, each in value.items()}
        return [self._resolved(where, each) for each in value] if isinstance(value, list) else value


# --- reading ---------------------------------------------------------------------------------------


class _Reader:
    """Collects every fault of one file; what is faulty keeps its default."""

    def __init__(self, file: Path | None, text: str) -> None:
        self.file = "" if file is None else str(file)
        self.lines = lines_of(text)
        self.faults: list[Fault] = []

    def note(self, path: tuple[str, ...], message: str) -> None:
        self.faults.append(Fault(self.file, line_of(self.lines, path), ".".join(path), message))

    def section(self, name: str, table: Mapping[str, Any], known: Mapping[str, Spec]) -> dict[str, Any]:
        prefix = tuple(part for part in name.split(".") if part)
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                self.note((*prefix, key), f"unknown key; {near(key, known)}")
                continue
            try:
                values[key] = taken(known[key], value)
            except Unfit as error:
                self.note((*prefix, key), str(error))
        return values

    def table(self, whole: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        found = whole.get(name, {})
        if isinstance(found, dict):
            return found
        self.note((name,), f"a table is expected: write [{name}] and its keys below it")
        return {}

    def environment(
        self, environ: Mapping[str, str], name: str, known: Mapping[str, Spec]
    ) -> Iterator[tuple[str, Any]]:
        for key, spec in known.items():
            variable = "_".join(["HUIYIN", *filter(None, [name]), key]).upper()
            if variable in environ:
                try:
                    yield key, taken(spec, parsed(spec, environ[variable]))
                except Unfit as error:
                    self.faults.append(Fault("environment", None, variable, str(error)))

    def channels(self, table: Mapping[str, Any]) -> dict[str, Channel]:
        found = {}
        for name, body in table.items():
            path = ("channels", name)
            if not is_channel_name(name):
                self.note(path, "a channel's name has 1 to 40 letters a-z, digits, hyphens and underscores")
            elif not isinstance(body, dict):
                self.note(path, f"a table is expected: write [channels.{name}] and its keys below it")
            elif (channel := self._channel(name, body)) is not None:
                found[name] = channel
        return found

    def _channel(self, name: str, body: Mapping[str, Any]) -> Channel | None:
        path = f"channels.{name}"
        before = len(self.faults)
        common = self.section(path, {key: body[key] for key in body if key in CHANNEL}, CHANNEL)
        own = {key: self._value((*path.split("."), key), body[key]) for key in body if key not in CHANNEL}
        if "type" not in body:
            self.note(
                (*path.split("."), "type"), 'the key is missing: it names the connector, e.g. type = "onebot"'
            )
        try:
            quiet(common.get("quiet_hours", ""))
        except ValueError:
            self.note(
                (*path.split("."), "quiet_hours"), 'two times of the day are expected, e.g. "22:00-07:30"'
            )
        if len(self.faults) > before:
            return None
        common["unit"] = common.get("unit") or None
        return Channel(name, settings=own, **common)

    def notifiers(self, table: Mapping[str, Any]) -> dict[str, Notifier]:
        found = {}
        for name, body in table.items():
            path = ("notifiers", name)
            if not is_channel_name(name):
                self.note(path, "a notifier's name has 1 to 40 letters a-z, digits, hyphens and underscores")
            elif not isinstance(body, dict):
                self.note(path, f"a table is expected: write [notifiers.{name}] and its keys below it")
            elif (notifier := self._notifier(name, body)) is not None:
                found[name] = notifier
        return found

    def _notifier(self, name: str, body: Mapping[str, Any]) -> Notifier | None:
        path, before = ("notifiers", name), len(self.faults)
        common = self.section(
            f"notifiers.{name}", {key: body[key] for key in body if key in NOTIFIER}, NOTIFIER
        )
        own = {key: self._value((*path, key), body[key]) for key in body if key not in NOTIFIER}
        if "type" not in body:
            self.note((*path, "type"), 'the key is missing: it names the notifier, e.g. type = "wecom"')
        known = {kind.value for kind in AlertKind}
        for key in ("kinds", "at_night"):
            for word in [word for word in common.get(key, ()) if word not in known]:
                self.note((*path, key), f"`{word}` is nothing that can be told; {near(word, known)}")
        if not common.get("link", "").startswith(("http://", "https://")) and common.get("link"):
            self.note((*path, "link"), "an address that begins with https:// is expected")
        try:
            quiet(common.get("quiet_hours", ""))
        except ValueError:
            self.note((*path, "quiet_hours"), 'two times of the day are expected, e.g. "22:00-07:30"')
        return None if len(self.faults) > before else Notifier(name, settings=own, **common)

    def _value(self, path: tuple[str, ...], value: Any) -> Any:
        if _is_reference(value):
            ((where, name),) = value.items()
            return Secret(where, name)
        if isinstance(value, dict):
            return {key: self._value((*path, key), each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._value(path, each) for each in value]
        if isinstance(value, str) and value and is_secret(path[-1]):
            self.note(
                path,
                f'a secret does not stand in this file: write {path[-1]} = {{ file = "..." }} or {{ env = "..." }}',
            )
        return value


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) == 1
        and next(iter(value)) in ("env", "file")
        and all(isinstance(each, str) and each for each in value.values())
    )


def is_channel_name(name: str) -> bool:
    """Say whether a channel may be called so: the name stands in addresses and files."""
    return _NAME.fullmatch(name) is not None


def is_secret(key: str) -> bool:
    """Say whether the setting of this name holds a secret; the address that gives out tokens is none."""
    return _SECRET.search(key) is not None and not key.endswith("_url")


def _parse(reader: _Reader, text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        what = str(error).split(" (at ")[0]
        reader.faults.append(
            Fault(reader.file, int(line[1]) if line else None, "", f"this is not TOML: {what}")
        )
        return {}


def _text(path: Path | None, faults: list[Fault]) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        faults.append(
            Fault(str(path), None, "", f"the file cannot be read ({error.strerror}); check path and rights")
        )
    except UnicodeDecodeError:
        faults.append(Fault(str(path), None, "", "the file is not UTF-8; save it as UTF-8"))
    return ""


def _store_reference(reader: _Reader, whole: Mapping[str, Any]) -> tuple[dict[str, Any], Secret | None]:
    table = dict(reader.table(whole, "store"))
    url = table.get("url")
    if _is_reference(url):
        ((where, name),) = table.pop("url").items()
        return table, Secret(where, name)
    if isinstance(url, str) and _URL_PASSWORD.search(url):
        reader.note(("store", "url"), 'it holds a password: write url = { file = "..." } or { env = "..." }')
        del table["url"]
    return table, None


def read(
    path: Path | None, data: Path, environ: Mapping[str, str] | None = None
) -> tuple[Config, tuple[Fault, ...]]:
    """Read the configuration; what is faulty keeps its default and is named.

    Args:
        path: the file; None means ``huiyin.toml`` in the data directory, if there is one.
        data: the data directory.
        environ: the environment; the process's own when missing.
    """
    environ = os.environ if environ is None else environ
    data = data.absolute()
    file = path.absolute() if path is not None else data / FILE
    given = file if path is not None or file.is_file() else None
    unreadable: list[Fault] = []
    text = _text(given, unreadable)
    reader = _Reader(given, text)
    reader.faults += unreadable
    whole = _parse(reader, text)
    top = {key: value for key, value in whole.items() if key not in SECTIONS and key not in TABLES}
    known = {*SECTIONS[""], *SECTIONS, *TABLES} - {""}
    for key in [key for key in top if key not in known]:
        reader.note((key,), f"unknown key; {near(key, known)}")
        del top[key]
    store, secret = _store_reference(reader, whole)
    tables = {name: store if name == "store" else reader.table(whole, name) for name in SECTIONS if name} | {
        "": top
    }
    values = {name: reader.section(name, tables[name], known) for name, known in SECTIONS.items()}
    for name, specs in SECTIONS.items():
        values[name].update(reader.environment(environ, name, specs))
    config = Config(
        data=data,
        file=given,
        house=House(**values[""]),
        store=StoreSettings(**values["store"]),
        service=ServiceSettings(**values["service"]),
        ui=UiSettings(**values["ui"]),
        worker=WorkerSettings(**values["worker"]),
        rules=Rules(**values["rules"]),
        channels=reader.channels(reader.table(whole, "channels")),
        notifiers=reader.notifiers(reader.table(whole, "notifiers")),
        store_secret=None if values["store"].get("url") else secret,
        lines=reader.lines,
    )
    return _completed(config, environ), tuple(reader.faults)


def _completed(config: Config, environ: Mapping[str, str]) -> Config:
    host = config.service.host
    here = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
    base = (
        config.house.base_url.rstrip("/")
        or f"http://{f'[{here}]' if ':' in here else here}:{config.service.port}"
    )
    rules = replace(config.rules, base_url=base, union_name=config.house.union_name)
    config = replace(config, rules=rules)
    return with_demo(config) if environ.get("HUIYIN_DEMO") == "1" else config


def load(path: Path | None, data: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration.

    Raises: ConfigError with every fault: file, line, key and what to do.
    """
    config, faults = read(path, data, environ)
    if faults:
        raise ConfigError("\n".join(map(str, faults)))
    return config


DEMO_GROUPS: Final = (700_001, 700_002)
DEMO_QQ: Final = "qq-demo"
DEMO_BOX: Final = "box"


def with_demo(config: Config) -> Config:
    """Return ``config`` with the channels of the demo week; a channel of the same name in the file stays."""
    token = Secret("file", str(config.data / "demo" / "token"))
    demo = {
        DEMO_QQ: Channel(DEMO_QQ, "onebot", {"groups": list(DEMO_GROUPS), "token": token}),
        DEMO_BOX: Channel(DEMO_BOX, "box", {}),
    }
    return replace(config, demo=True, channels={**demo, **config.channels})


# --- showing ---------------------------------------------------------------------------------------


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {toml(each)}" for name, each in value.items()) + " }"
    return str(value).lower() if isinstance(value, bool) else str(value)


def hidden(value: Any, key: str = "") -> Any:
    """Return a value as it may be shown: passwords in addresses and plain secrets masked."""
    if isinstance(value, str):
        return "***" if value and is_secret(key) else _URL_PASSWORD.sub(r"\1:***@", value)
    if isinstance(value, list | tuple):
        return [hidden(each, key) for each in value]
    return {name: hidden(each, name) for name, each in value.items()} if isinstance(value, dict) else value


def shown(config: Config) -> str:
    """Return the whole configuration in force as TOML, with every secret hidden."""
    parts: dict[str, Any] = {"": config.house, "store": config.store, "service": config.service}
    parts |= {"ui": config.ui, "worker": config.worker, "rules": config.rules}
    lines: list[str] = []
    for name, part in parts.items():
        lines += ["", f"[{name}]"] if name else []
        known = SECTIONS[name]
        lines += [
            f"{one.name} = {toml(hidden(getattr(part, one.name)))}"
            for one in fields(part)
            if one.name in known
        ]
        if name == "store" and config.store_secret is not None:
            lines[-1] = f"url = {config.store_secret}"
    for channel in config.channels.values():
        lines += ["", f"[channels.{channel.name}]", f'type = "{channel.type}"']
        lines += [f"unit = {toml(channel.unit)}"] if channel.unit else []
        lines += ["paused = true"] if channel.paused else []
        lines += [f"quiet_hours = {toml(channel.quiet_hours)}"] if channel.quiet_hours else []
        lines += [f"answers_per_minute = {channel.answers_per_minute}"]
        lines += [f"{key} = {toml(hidden(value, key))}" for key, value in channel.settings.items()]
    for notifier in config.notifiers.values():
        lines += ["", f"[notifiers.{notifier.name}]"]
        lines += [f"{key} = {toml(getattr(notifier, key))}" for key in NOTIFIER]
        lines += [f"{key} = {toml(hidden(value, key))}" for key, value in notifier.settings.items()]
    return "\n".join(lines) + "\n"


__all__ = [
    "CHANNEL",
    "DEMO_BOX",
    "DEMO_GROUPS",
    "DEMO_QQ",
    "FILE",
    "NOTIFIER",
    "RULES",
    "SECTIONS",
    "Channel",
    "Config",
    "Fault",
    "House",
    "Notifier",
    "Secret",
    "ServiceSettings",
    "StoreSettings",
    "UiSettings",
    "WorkerSettings",
    "hidden",
    "is_channel_name",
    "is_secret",
    "load",
    "read",
    "shown",
    "toml",
    "with_demo",
]
