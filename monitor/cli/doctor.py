"""The command ``huiyin doctor``: everything that Huiyin stands on, with a mend for each fault."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import typer

from monitor.cli._hand import Json
from monitor.cli.main import FAILED, Options, options
from monitor.core.errors import ConfigError, HuiyinError
from monitor.words import _

if TYPE_CHECKING:
    from monitor.config import Config

LEAST_DISK: Final = 512 * 1024 * 1024
STALE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``mend`` says what to do when it is not ``ok``."""

    about: str
    ok: bool
    found: str
    mend: str = ""


def register(root: typer.Typer) -> None:
    """Mount ``doctor`` on the root command."""
    root.command(
        "doctor",
        help=_("体检：环境、版本、模型及其哈希、数据库、磁盘、渠道；每处问题都说明如何修复。"),
        epilog=_("例如") + ": huiyin --data huiyin-data doctor",
    )(doctor)


def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Print one line (or JSON object) per finding; exit code 1 when something needs mending."""
    from monitor.cli._hand import emit

    findings = list(examine(options(context)))
    for one in findings:
        if as_json:
            emit(asdict(one))
        else:
            typer.echo(f"{'✓' if one.ok else '✗'} {one.about}：{one.found}")
            if not one.ok and one.mend:
                typer.echo(f"  → {one.mend}")
    raise typer.Exit(0 if all(one.ok for one in findings) else FAILED)


def examine(chosen: Options) -> Iterator[Finding]:
    """Yield what was found, from the ground up; a failure in one place never hides the others."""
    from monitor import bootstrap

    yield from _environment()
    config, faults = bootstrap.faults(chosen.config, chosen.data)
    yield _configuration(config, list(map(str, faults)))
    steps: tuple[Callable[[Config], Iterator[Finding]], ...] = (_data, _database, _models, _running)
    for step in steps:
        try:
            yield from step(config)
        except HuiyinError as error:
            yield Finding(
                step.__name__.strip("_"), False, str(error), _("按提示处理后再次运行 huiyin doctor。")
            )


def _environment() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, requires, version

    enough = sys.version_info >= (3, 11)
    memory = _memory()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPU" + (
        f", {memory}" if memory else ""
    )
    yield Finding(
        "python", enough, f"{platform.python_version()} ({machine})", _("请使用 Python 3.11 或更新版本。")
    )
    missing, present = [], []
    for line in requires("huiyin") or []:
        if "extra ==" in line:
            continue
        name = line.split(";")[0].strip().split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip()
        try:
            present.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    shown = ", ".join(missing) if missing else _("{n} 个依赖齐全").format(n=len(present))
    yield Finding("packages", not missing, f"huiyin {version('huiyin')}; {shown}", _("请运行 make setup。"))
    fresh = sqlite3.sqlite_version_info >= (3, 35)
    yield Finding("sqlite", fresh, sqlite3.sqlite_version, _("需要 SQLite 3.35 或更新版本。"))


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return ""
    return f"{size / 2**30:.1f} GiB"


def _configuration(config: Config, faults: list[str]) -> Finding:
    place = str(config.file) if config.file else _("没有配置文件，全部用默认值")
    return Finding("config", not faults, "; ".join(faults) or place, _("改好所指的键，再运行 huiyin check。"))


def _data(config: Config) -> Iterator[Finding]:
    folder = config.data
    if not folder.is_dir():
        mend = _("首次运行 huiyin up 会建立它；或用 --data 指明另一个目录。")
        yield Finding("data", False, _("{folder} 不存在").format(folder=folder), mend)
        return
    writable = os.access(folder, os.W_OK | os.X_OK)
    yield Finding("data", writable, str(folder), _("请让运行 huiyin 的用户可以写入这个目录。"))
    free = shutil.disk_usage(folder).free
    yield Finding("disk", free >= LEAST_DISK, f"{free / 2**30:.1f} GiB", _("请腾出磁盘空间，至少 0.5 GiB。"))
    for path in sorted((folder / "keys").glob("*")) if (folder / "keys").is_dir() else []:
        private = not stat.S_IMODE(path.stat().st_mode) & 0o077
        yield Finding("keys", private, path.name, _("请运行 chmod 600 {path}").format(path=path))


def _no_database(config: Config) -> bool:
    file = config.data / "huiyin.db"
    return config.store_url == f"sqlite:///{file}" and not file.exists()


def _database(config: Config) -> Iterator[Finding]:
    from monitor import bootstrap
    from monitor.config import hidden

    shown = hidden(config.store_url)
    if _no_database(config):
        yield Finding(
            "database", False, _("还没有建立"), _("首次运行 huiyin up 或 huiyin db upgrade 会建立它。")
        )
        return
    current, head = bootstrap.database_status(config)
    yield Finding(
        "database", current == head, f"{shown} {current or '-'} / {head}", _("请运行 huiyin db upgrade。")
    )


def _models(config: Config) -> Iterator[Finding]:
    from monitor import bootstrap

    try:
        facts = bootstrap.model_facts(config.data)
    except HuiyinError as error:
        yield Finding("models", False, str(error), _("没有模型时帖文照常入库，但不作判断；按提示恢复模型。"))
        return
    yield Finding("models", True, facts)
    try:
        yield Finding("deep model", True, bootstrap.deep_facts(config.data))
    except HuiyinError as error:
        yield Finding("deep model", False, str(error), _("按提示恢复深度模型；在此之前只用快速模型。"))


def _running(config: Config) -> Iterator[Finding]:
    """Yield how parts and channels do, as they last wrote down; nothing is opened that does not exist."""
    from monitor import bootstrap
    from monitor.core.model import SYSTEM
    from monitor.runtime.parts import Lock
    from monitor.usecases import channels

    if not config.data.is_dir() or _no_database(config):
        return
    try:
        app = bootstrap.build(config, models=False)
    except ConfigError as error:
        yield Finding("store", False, str(error), _("按提示处理后再次运行 huiyin doctor。"))
        return
    try:
        if not Lock(config.data, "serve").is_free():
            now = datetime.now(UTC)
            with app.deps.uow.read() as store:
                parts = store.operations.parts()
            for part in parts:
                alive = part.state == "running" and now - part.beat_at < STALE
                told = f"{part.state}, {part.restarts} restarts {part.note}".strip()
                yield Finding(
                    part.name,
                    alive or part.state == "stopped",
                    told,
                    _("看 logs 目录里的日志，或重新启动 huiyin up。"),
                )
        for row in channels.status(app.deps, SYSTEM):
            mend = _("运行 huiyin channel check {name} 查看原因。").format(name=row.name)
            yield Finding(f"channel {row.name}", row.state != "failing", row.last_error or row.state, mend)
    finally:
        app.close()
