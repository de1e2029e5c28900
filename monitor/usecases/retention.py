"""Forgetting in time: what nobody needs any more is deleted, counted and written into the ledger (L-08).

Deleted are the sealed words before masking, marks of repeated requests, what could not be read, sessions and failed
tries. Posts, cases and the identities behind pseudonyms are not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from monitor.core.model import SYSTEM, Actor
from monitor.core.roles import require
from monitor.usecases.deps import Deps, Rules

LAST: Final = "retention:last"
_DAY: Final = timedelta(days=1)


def _spans(rules: Rules) -> dict[str, timedelta]:
    """Return kind -> how long it is kept."""
    return {
        "originals": rules.original_days * _DAY,
        "idempotency": rules.idempotency_days * _DAY,
        "quarantine": rules.quarantine_days * _DAY,
        "sessions": rules.session_days * _DAY,
        "failures": _DAY,
    }


def run(deps: Deps, actor: Actor, *, dry_run: bool = False) -> dict[str, int]:
    """Delete what is older than the settings say; returns kind -> how much it was.

    Args:
        deps: what every use case is given.
        actor: who asked for it.
        dry_run: count, and delete nothing.

    Raises: NotAllowed.
    """
    require(actor, "retention.run")
    now = deps.clock.now()
    with deps.uow.begin(actor) as store:
        spans = _spans(deps.rules)
        gone = {
            what: store.operations.expire(what, now - span, dry_run=dry_run) for what, span in spans.items()
        }
        if not dry_run:
            store.operations.set_setting(LAST, now.isoformat())
            if any(gone.values()):
                store.ledger.append("retention.run", "", actor.login, dict(gone), now)
    return gone


def sweep(deps: Deps) -> int:
    """Run once a day; returns how much was deleted."""
    with deps.uow.read() as store:
        last = store.operations.setting(LAST)
    if last is not None and deps.clock.now() - datetime.fromisoformat(last) < _DAY:
        return 0
    return sum(run(deps, SYSTEM).values())


__all__ = ["run", "sweep"]
