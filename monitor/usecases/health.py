"""How the service is doing: parts, channels, work that waits, what could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.core.alerts import NotifierStatus
from monitor.core.model import Actor
from monitor.core.ports import ChannelStatus, PartStatus, QuarantineItem
from monitor.core.roles import require
from monitor.usecases import alerts
from monitor.usecases.deps import Deps

FIRST_PAGE = 50
MOST = 200


@dataclass(frozen=True, slots=True)
class HealthView:
    """What the health screen shows.

    ``jobs`` counts posts waiting, leased and parked; ``outbox`` counts effects by state; ``quarantine_counts``
    is by (channel, reason); ``models`` is label -> version; ``ledger_seq`` is the number of the last entry;
    ``notifiers`` are the ways to tell the staff.
    """

    parts: tuple[PartStatus, ...]
    channels: tuple[ChannelStatus, ...]
    jobs: dict[str, int]
    outbox: dict[str, int]
    quarantine: list[QuarantineItem]
    quarantine_counts: dict[tuple[str, str], int]
    models: Mapping[str, str]
    ledger_seq: int
    posts: int
    notifiers: tuple[NotifierStatus, ...] = ()


def _models(deps: Deps) -> dict[str, str]:
    if deps.classifier is None:
        return {}
    return dict.fromkeys(deps.classifier.labels, f"{deps.classifier.name}@{deps.classifier.version}")


def health(deps: Deps, actor: Actor) -> HealthView:
    """Return how everything is doing; raises NotAllowed."""
    require(actor, "health.health")
    with deps.uow.read() as store:
        head = store.ledger.head()
        return HealthView(
            parts=tuple(store.operations.parts()),
            channels=tuple(store.channels.status()),
            jobs=store.jobs.counts(),
            outbox=store.outbox.counts(),
            quarantine=store.quarantine.page(None, FIRST_PAGE),
            quarantine_counts=store.quarantine.counts(),
            models=_models(deps),
            ledger_seq=0 if head is None else head.seq,
            posts=store.posts.count(),
            notifiers=tuple(alerts.statuses(store, deps.notifiers)),
        )


def replay_parked(deps: Deps, actor: Actor) -> int:
    """Put parked posts back into the line; returns how many. Raises NotAllowed."""
    require(actor, "health.replay_parked")
    with deps.uow.begin(actor) as store:
        count = store.jobs.replay()
        if count:
            store.ledger.append("jobs.replayed", "", actor.login, {"count": count}, deps.clock.now())
    return count


def quarantine_page(deps: Deps, actor: Actor, after: int | None, limit: int) -> list[QuarantineItem]:
    """Return unreadable items, newest first, without their payload; ``after`` is the last id of the page before."""
    require(actor, "health.quarantine_page")
    with deps.uow.read() as store:
        return store.quarantine.page(after, max(1, min(limit, MOST)))


def probe(deps: Deps) -> dict[str, int]:
    """Return the few counts that a monitoring probe needs, without asking who looks: no content, no names."""
    with deps.uow.read() as store:
        jobs, outbox = store.jobs.counts(), store.outbox.counts()
        return {**{f"jobs_{k}": n for k, n in jobs.items()}, **{f"outbox_{k}": n for k, n in outbox.items()}}


__all__ = ["HealthView", "health", "probe", "quarantine_page", "replay_parked"]
