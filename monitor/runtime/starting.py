"""Before the parts start: locks and ports, the first administrator, for the demo its accounts; and the parts."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Final

from monitor.bootstrap import App
from monitor.config import DEMO_QQ, Config
from monitor.core.errors import ConfigError
from monitor.core.model import SYSTEM, Role
from monitor.core.workdays import SHANGHAI
from monitor.runtime.parts import Lock
from monitor.runtime.supervise import Part
from monitor.usecases import accounts

_STARTED: Final = "demo.started"
WEEK_DAYS: Final = 7
PATIENCE: Final = 8.0


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account of the demo."""

    login: str
    name: str
    title: str
    role: Role
    unit: str | None = None


DEMO_ACCOUNTS: Final = (
    DemoAccount("mod.li", "李慎", "工会审核员", Role.MODERATOR),
    DemoAccount("mod.wang", "王衡", "工会审核员", Role.MODERATOR),
    DemoAccount("lead.chen", "陈朗", "工会宣传委员", Role.LEADER),
    DemoAccount("off.zhao", "赵行", "工会干事", Role.OFFICER),
    DemoAccount("hand.sun", "孙办", "后勤处科长", Role.HANDLER, "后勤处"),
    DemoAccount("cus.zhou", "周密", "保密员", Role.CUSTODIAN),
    DemoAccount("adm.qian", "钱管", "系统管理员", Role.ADMIN),
)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A login with its password, to be printed for the person who starts Huiyin."""

    login: str
    password: str
    role: Role
    name: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What stands ready: who may sign in with which password, and since when the demo week counts."""

    sign_ins: tuple[SignIn, ...] = ()
    first_start: bool = False
    demo_since: datetime | None = None


def prepare(app: App) -> Prepared:
    """Make the accounts that a first start needs.

    Raises: ConfigError when demo and real data would mix; StoreError.
    """
    demo_since = _demo_since(app)
    empty = not accounts.list_accounts(app.deps, SYSTEM)
    if not app.config.demo:
        made = accounts.bootstrap_admin(app.deps)
        admin = () if made is None else (SignIn(made[0], made[1], Role.ADMIN),)
        return Prepared(admin, first_start=empty)
    return Prepared(tuple(_demo_sign_ins(app)), empty, demo_since)


def _demo_since(app: App) -> datetime | None:
    """Return the day on which the demo week begins, remembered from the first start; None without the demo."""
    with app.deps.uow.read() as store:
        written, known = store.operations.setting(_STARTED), store.accounts.all()
    if not app.config.demo:
        if written is not None:
            raise ConfigError(
                f"the data directory {app.config.data} holds the demo; start it with --demo, or choose another one"
                " with --data for real posts"
            )
        return None
    if written is not None:
        return datetime.fromisoformat(written)
    if known:
        raise ConfigError(
            f"the data directory {app.config.data} holds real accounts; the demo needs a directory of its own:"
            " choose one with --data"
        )
    today = app.deps.clock.now().astimezone(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    since = (today - timedelta(days=WEEK_DAYS)).astimezone(UTC)
    with app.deps.uow.begin() as store:
        store.operations.set_setting(_STARTED, since.isoformat())
    return since


def _demo_sign_ins(app: App) -> list[SignIn]:
    """Make the demo's accounts where they are missing; their passwords follow from the key of this directory."""
    known = {account.login for account in accounts.list_accounts(app.deps, SYSTEM)}
    found = []
    for one in DEMO_ACCOUNTS:
        digits = app.deps.keys.digest("demo", one.login)[:16]
        password = "-".join(digits[at : at + 4] for at in range(0, 16, 4))
        if one.login not in known:
            accounts.add_account(
                app.deps, SYSTEM, one.login, one.name, one.title, frozenset({one.role}), one.unit, password
            )
        found.append(SignIn(one.login, password, one.role, one.name))
    return found


STARTER: Final = """# Huiyin: docs/configuration.md lists every setting; `huiyin check` names every fault.
union_name = "校工会"

# Members write at /box without an account. Further channels: `huiyin channel add`.
[channels.box]
type = "box"
"""
"""The configuration that a first start writes, so that members can write at once."""


def write_starter(file: Path) -> bool:
    """Write a first configuration where none stands; returns whether it did."""
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(STARTER)
    except FileExistsError:
        return False
    return True


def demo_token(data: Path) -> str:
    """Return the token that the demo's QQ program and its channel share, made at the first start."""
    path = data / "demo" / "token"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


# --- locks and ports -------------------------------------------------------------------------------


def refuse_second(data: Path, parts: Sequence[str], patience: float = PATIENCE) -> None:
    """Refuse to start beside parts of the same data directory that run by themselves.

    Args:
        data: the data directory.
        parts: names of locks.
        patience: seconds to wait for parts whose supervisor was killed a moment ago: they are on their way out.

    Raises: ConfigError naming the part and its process.
    """
    deadline = time.monotonic() + patience
    for name in parts:
        lock = Lock(data, name)
        while not lock.is_free():
            if time.monotonic() >= deadline:
                raise ConfigError(
                    f"`huiyin {name}` runs already in {data} (process {lock.owner()}); end that one first, or"
                    " choose another data directory with --data"
                )
            time.sleep(0.1)


def refuse_taken(host: str, port: int, option: str) -> None:
    """Refuse an address on which somebody else listens; raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{host}:{port} cannot be used ({error.strerror}); end what listens there or choose another {option}"
            ) from None


# --- the parts -------------------------------------------------------------------------------------


def _huiyin(*words: str) -> list[str]:
    return [sys.executable, "-m", "monitor.cli", *words]


def service_part() -> Part:
    """Return the part that serves HTTP, listens and sends."""
    return Part("service", _huiyin("serve"))


def worker_part() -> Part:
    """Return the part that understands posts."""
    return Part("worker", _huiyin("worker"), {"OMP_NUM_THREADS": "1"})


def ui_part(config: Config) -> Part:
    """Return the part that shows the screens."""
    ui = config.ui
    command = [sys.executable, "-m", "review_ui.launch", "--host", ui.host, "--port", str(ui.port)]
    command += ["--base-path", ui.base_path] if ui.base_path else []
    for name in ui.allowed_hosts:
        command += ["--allowed-host", name]
    return Part("ui", command, beats=False)


def demo_part(config: Config, since: datetime, speed: float) -> Part:
    """Return the part that plays the demo week through a fake QQ program and the box."""
    host = "127.0.0.1" if config.service.host in ("0.0.0.0", "::") else config.service.host  # noqa: S104
    where = f"{f'[{host}]' if ':' in host else host}:{config.service.port}"
    week = resources.files("corpora") / "demo" / "week.jsonl"
    command = [sys.executable, "-m", "monitor.testing.fake_qq", "--week", str(week), "--speed", f"{speed:g}"]
    command += ["--url", f"ws://{where}/onebot/v11/{DEMO_QQ}", "--token", demo_token(config.data)]
    command += ["--box", f"http://{where}/box", "--start", since.isoformat()]
    command += ["--state", str(config.data / "demo" / "qq.jsonl")]
    return Part("demo", command, beats=False)


__all__ = [
    "DEMO_ACCOUNTS",
    "DemoAccount",
    "Prepared",
    "SignIn",
    "demo_part",
    "demo_token",
    "prepare",
    "refuse_second",
    "refuse_taken",
    "service_part",
    "ui_part",
    "worker_part",
]
