"""The public figures, kept for some minutes: making them walks every grievance."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.bootstrap import App
from monitor.runtime._web import wire
from monitor.usecases import public

KEPT_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Kept:
    """The last figures and when they were made; one thread at a time makes new ones."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: float = float("-inf")
    report: wire.ReportOut | None = None


def of(app: App) -> wire.ReportOut:
    """Return the public figures of some minutes ago at most, or a little older while new ones are being made.

    Raises: StoreError.
    """
    kept = app.once("public_figures", _Kept)
    known = kept.report
    if known is not None and app.deps.clock.monotonic() - kept.made <= KEPT_SECONDS:
        return known
    if not kept.lock.acquire(blocking=known is None):
        return known or _made(app)
    try:
        if kept.report is None or kept.report is known:
            kept.report, kept.made = _made(app), app.deps.clock.monotonic()
        return kept.report
    finally:
        kept.lock.release()


def _made(app: App) -> wire.ReportOut:
    figures = public.open_figures(app.deps)
    rates = {
        name: msgspec.convert(getattr(figures, name), wire.RateOut, from_attributes=True)
        for name in ("responded", "solved", "satisfied")
    }
    return wire.ReportOut(
        at=app.deps.clock.now(),
        floor=app.deps.rules.public_floor,
        posts=figures.posts,
        cases={kind: dict(states) for kind, states in figures.cases.items()},
        unrated=figures.unrated,
        removals=dict(figures.removals),
        appeals=dict(figures.appeals),
        **rates,
    )


__all__ = ["KEPT_SECONDS", "of"]
