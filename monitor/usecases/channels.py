"""The life of channels: declared at the start, paused and resumed while running, checked on request.

Only the service process holds a channel's connection, so who wants a check leaves a question in the store and the
intake of the service leaves its answer there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadMove, NotFound
from monitor.core.model import Actor, Health
from monitor.core.ports import ChannelConfig, ChannelStatus, PartStatus, Store
from monitor.core.roles import require
from monitor.usecases.deps import Deps
from monitor.words import _

PAUSED = "paused"
ALIVE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Look:
    """What the intake needs to know every second: which channels are paused, and which checks are asked for."""

    paused: frozenset[str]
    wanted: Mapping[str, str]


def declare(deps: Deps, channels: Iterable[tuple[ChannelConfig, Iterable[str]]]) -> None:
    """Write down every declared channel with what it can do; one that was paused by hand stays paused.

    Args:
        deps: what every use case is given.
        channels: each channel (its settings are not stored) with its capabilities.
    """
    with deps.uow.begin() as store:
        stopped = {row.name for row in store.channels.status() if row.state == PAUSED}
        for channel, capabilities in channels:
            paused = channel.paused or channel.name in stopped
            row = ChannelConfig(channel.name, channel.type, {}, channel.unit, paused)
            store.channels.declare(row, sorted(capabilities))


def status(deps: Deps, actor: Actor) -> list[ChannelStatus]:
    """Return how every channel is doing; raises NotAllowed."""
    require(actor, "channels.manage")
    with deps.uow.read() as store:
        return store.channels.status()


def set_paused(deps: Deps, actor: Actor, name: str, paused: bool) -> None:
    """Pause or resume a channel; the running service follows within seconds. Raises NotAllowed, NotFound."""
    require(actor, "channels.manage")
    with deps.uow.begin(actor) as store:
        store.channels.set_paused(name, paused)
        kind = "channel.paused" if paused else "channel.resumed"
        store.ledger.append(kind, name, actor.login, {"channel": name}, deps.clock.now())


def note_error(deps: Deps, name: str, message: str, retry_at: datetime | None) -> None:
    """Write why a channel fails and when it is tried again."""
    with deps.uow.begin() as store:
        store.channels.note_error(name, deps.clock.now(), message, retry_at)


def cursor(deps: Deps, name: str) -> str | None:
    """Return where the source of a channel stands."""
    with deps.uow.read() as store:
        return store.channels.cursor(name)


def _at_rest(store: Store, name: str, now: datetime) -> bool:
    """Say whether nobody listens to a channel now: it is paused, or no service runs."""
    paused = any(row.name == name and row.state == PAUSED for row in store.channels.status())
    return paused or not any(_serves(part, now) for part in store.operations.parts())


def move_cursor(deps: Deps, actor: Actor, name: str, value: str | None) -> str | None:
    """Set where a channel goes on reading, or forget it; returns where it stood. It stands in the ledger.

    Args:
        deps: what every use case is given.
        actor: who does it.
        name: the channel.
        value: the new place as the connector writes it; None reads everything again that the source still shows.

    Raises: NotAllowed; NotFound; BadMove while the channel is listened to: it would write its own place over it.
    """
    require(actor, "channels.manage")
    now = deps.clock.now()
    with deps.uow.begin(actor) as store:
        if not any(row.name == name for row in store.channels.status()):
            raise NotFound("there is no such channel; `huiyin channel list` names them")
        if not _at_rest(store, name, now):
            raise BadMove(_("渠道 {name} 正在收取，先运行 huiyin channel pause {name}。").format(name=name))
        before = store.channels.cursor(name)
        store.channels.set_cursor(name, value)
        kind = "channel.cursor_reset" if value is None else "channel.cursor_set"
        content = {"channel": name, "before": before, "after": value}
        store.ledger.append(kind, name, actor.login, content, now)
    return before


# --- checks ----------------------------------------------------------------------------------------


def look(deps: Deps, names: Iterable[str]) -> Look:
    """Return who is paused and which checks of ``names`` are asked for."""
    with deps.uow.read() as store:
        paused = frozenset(row.name for row in store.channels.status() if row.state == PAUSED)
        found = {name: store.operations.setting(f"check:{name}") for name in names}
    return Look(paused, {name: asked for name, asked in found.items() if asked})


def ask_check(deps: Deps, actor: Actor, name: str) -> str | None:
    """Ask the running service to check a channel; returns what to look for, or None when no service runs.

    Raises: NotAllowed.
    """
    require(actor, "channels.manage")
    with deps.uow.begin(actor) as store:
        parts = store.operations.parts()
        if not any(_serves(part, deps.clock.now()) for part in parts):
            return None
        asked = secrets.token_hex(8)
        store.operations.set_setting(f"check:{name}", asked)
        return asked


def _serves(part: PartStatus, now: datetime) -> bool:
    return part.name == "service" and part.state == "running" and now - part.beat_at < ALIVE


def check_answer(deps: Deps, name: str, asked: str) -> Health | None:
    """Return the outcome of a check that was asked for, or None while it is not there."""
    with deps.uow.read() as store:
        found = store.operations.setting(f"checked:{name}")
    answer = json.loads(found) if found else {}
    if answer.get("asked") != asked:
        return None
    return Health(answer["ok"], answer["message"], frozenset(answer["capabilities"]), answer["detail"])


def checked(
    deps: Deps, name: str, asked: str, health: Health, again: timedelta, *, clears: bool = True
) -> None:
    """Write the outcome of a check for the health screen, and for who asked for it.

    Args:
        deps: what every use case is given.
        name: the channel.
        asked: what :func:`ask_check` returned; empty when nobody asked.
        health: the outcome.
        again: when the next check comes.
        clears: a good outcome takes an error off the screen; not while listening still fails.
    """
    now = deps.clock.now()
    answer = {"asked": asked, "ok": health.ok, "message": health.message, "detail": dict(health.detail)}
    with deps.uow.begin() as store:
        if asked:
            whole = answer | {"capabilities": sorted(map(str, health.capabilities))}
            store.operations.set_setting(f"checked:{name}", json.dumps(whole, ensure_ascii=False))
        if not health.ok:
            store.channels.note_error(name, now, health.message, now + again)
        elif clears:
            store.channels.note_ok(name, now, 0, 0)


__all__ = [
    "Look",
    "ask_check",
    "check_answer",
    "checked",
    "cursor",
    "declare",
    "look",
    "move_cursor",
    "note_error",
    "set_paused",
    "status",
]
