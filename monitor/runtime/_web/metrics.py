"""Figures for a monitoring system: counts and times, never words, names or addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from monitor.bootstrap import App
from monitor.core.alerts import NotifierStatus
from monitor.core.ports import ChannelStatus, Outcome
from monitor.runtime.intake import outcomes
from monitor.usecases.alerts import statuses

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 15.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Stored(Collector):
    """Reads what stands in the store at the moment of the scrape."""

    def __init__(self, app: App) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        """Name no metrics at registration, so that the store is not asked then."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge per thing that waits; raises StoreError."""
        with self._app.deps.uow.read() as store:
            posts, jobs, outbox = store.posts.count(), store.jobs.counts(), store.outbox.counts()
            cases, channels, parked = store.cases.counts(), store.channels.status(), store.quarantine.counts()
            parts = store.operations.parts()
            notifiers = statuses(store, self._app.deps.notifiers)
        yield _items(outcomes(self._app))
        yield GaugeMetricFamily("huiyin_posts", "Posts in the store.", value=posts)
        yield _gauge("huiyin_jobs", "Posts on their way to a reading.", ("state",), jobs.items())
        yield _gauge("huiyin_outbox", "Effects by state.", ("state",), outbox.items())
        yield _gauge("huiyin_cases", "Cases by kind and state.", ("kind", "state"), cases.items())
        yield _gauge(
            "huiyin_quarantine", "Items that could not be read.", ("channel", "reason"), parked.items()
        )
        yield _gauge(
            "huiyin_channel_received",
            "Posts stored from the channel since it was declared.",
            ("channel",),
            ((row.name, row.received) for row in channels),
        )
        yield _gauge(
            "huiyin_channel_up",
            "Whether the channel answers (paused counts as up).",
            ("channel",),
            ((row.name, int(row.state != "failing")) for row in channels),
        )
        yield from _channels(channels)
        yield from _notifiers(notifiers)
        yield _gauge(
            "huiyin_part_beat_seconds",
            "When a part of the service last gave a sign of life (Unix time).",
            ("part",),
            ((row.name, row.beat_at.timestamp()) for row in parts),
        )


def _channels(rows: Iterable[ChannelStatus]) -> Iterator[Metric]:
    """Yield how channels did lately; what is not known of one is left out."""
    told: list[tuple[str, str, Callable[[ChannelStatus], float | None]]] = [
        (
            "huiyin_channel_last_post_seconds",
            "When the last post came (Unix time).",
            lambda row: _unix(row.last_post_at),
        ),
        (
            "huiyin_channel_lag_seconds",
            "How long the last post was on its way.",
            lambda row: None if row.lag is None else row.lag.total_seconds(),
        ),
        (
            "huiyin_channel_error_rate",
            "Share of tries that failed, within this hour and the one before it.",
            lambda row: row.error_rate,
        ),
        (
            "huiyin_channel_next_retry_seconds",
            "When a failing channel is tried again (Unix time).",
            lambda row: _unix(row.next_retry_at),
        ),
    ]
    rows = list(rows)
    for name, said, value in told:
        known = ((row.name, found) for row in rows if (found := value(row)) is not None)
        yield _gauge(name, said, ("channel",), known)


def _unix(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _notifiers(rows: Iterable[NotifierStatus]) -> Iterator[Metric]:
    """Yield how the staff are told: whether the last message arrived, and how many there were of each outcome."""
    rows = list(rows)
    yield _gauge(
        "huiyin_notifier_up",
        "Whether the last message of the notifier arrived.",
        ("notifier",),
        ((row.name, int(not row.is_failing)) for row in rows),
    )
    outcomes_ = ("waiting", "sent", "unknown", "failed")
    yield _gauge(
        "huiyin_notifier",
        "Alerts that wait, and messages that arrived, perhaps arrived or were given up.",
        ("notifier", "state"),
        (((row.name, name), getattr(row, name)) for row in rows for name in outcomes_),
    )


def _gauge(
    name: str, said: str, labels: tuple[str, ...], rows: Iterable[tuple[str | tuple[str, str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, said, labels=labels)
    for key, value in rows:
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family


def _items(counted: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "huiyin_items", "Items taken in by this process, by outcome.", labels=("outcome",)
    )
    for outcome in Outcome:
        family.add_metric([outcome.value], counted.get(outcome.value, 0))
    return family


class Metrics:
    """The figures of one running service, in a registry of their own."""

    def __init__(self, app: App) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Stored(app))
        self._seconds = Histogram(
            "huiyin_http_seconds",
            "Time to an answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )

    def took(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note an answer; ``route`` is a template, never a path."""
        method = method if method in _METHODS else "other"
        self._seconds.labels(method, route, f"{status // 100}xx").observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus; raises StoreError."""
        return generate_latest(self.registry)


METRICS: Final = web.AppKey("metrics", Metrics)

__all__ = ["CONTENT_TYPE", "METRICS", "Metrics"]
