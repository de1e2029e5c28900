"""``huiyin bench``: speed and memory with a named baseline in the same run; figures of this machine, now."""

from __future__ import annotations

import platform
import resource
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli import _bench_load as load
from monitor.cli._hand import Json, emit
from monitor.words import _

if TYPE_CHECKING:
    from monitor.bootstrap import App
    from monitor.core.model import Actor
    from monitor.core.ports import PostFilter

Posts = Annotated[int, typer.Option("--posts", min=100, help=_("每次测量用多少条帖文"))]
Store = Annotated[str | None, typer.Option("--store", help=_("空数据库的地址；不写则用临时的 SQLite"))]


def register(root: typer.Typer) -> None:
    """Mount ``bench`` on the root command."""
    from monitor.cli import bench_classify

    app = typer.Typer(no_args_is_help=True)
    bench_classify.register(app)
    app.command(
        "ingest", help=_("从读入到工单的整条路径，每秒多少条。"), epilog="huiyin bench ingest --at 100000"
    )(ingest)
    app.command("queue", help=_("从取一条到处置完的时间。"), epilog="huiyin bench queue --pending 10000")(
        queue
    )
    app.command("trends", help=_("趋势查询的时间。"), epilog="huiyin bench trends --posts 100000")(trends)
    root.add_typer(app, name="bench", help=_("速度与内存：附基准，同一次运行。"))


def machine() -> dict[str, Any]:
    """Return what the figures were taken on."""
    cpu = (
        next(
            (
                line.split(":", 1)[1].strip()
                for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("model name")
            ),
            platform.processor(),
        )
        if Path("/proc/cpuinfo").exists()
        else platform.processor()
    )
    import os

    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.system(),
    }


def marks(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return {f"p{at}_ms": round(cuts[at - 1] * 1000, 2) for at in (50, 95, 99)}


def peak_rss_mb() -> dict[str, float]:
    """Return the largest memory of this process and of the largest child that has ended, in MB."""
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return {
        "self": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1),
        "largest_child": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit, 1),
    }


def say(figures: dict[str, Any], as_json: bool) -> None:
    """Print figures with the machine they were taken on, as JSON or line by line."""
    figures = {**figures, "machine": machine()}
    if as_json:
        emit(figures)
        return
    for name, value in figures.items():
        if isinstance(value, list):
            typer.echo(f"{name}:")
            for row in value:
                typer.echo("  " + "  ".join(f"{key}={each}" for key, each in row.items()))
        elif isinstance(value, dict):
            typer.echo(f"{name}: " + "  ".join(f"{key}={each}" for key, each in value.items()))
        else:
            typer.echo(f"{name}: {value}")


# --- ingest ------------------------------------------------------------------------------------------


def ingest(
    posts: Posts = 10_000,
    at: Annotated[
        list[int] | None, typer.Option("--at", min=0, help=_("库里已有多少条时测量，可重复"))
    ] = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Measure the whole way of a post: decode, normalise, dedupe, store, index, classify, group, triage.

    One process takes posts in, one understands them. The baseline is the same path with one post per transaction.
    """
    levels = sorted(at or [0, 10_000, 100_000])
    rows: list[dict[str, Any]] = []
    with load.scene(store) as app:
        worker = load.Worker(app)
        try:
            _ingested(app, worker, 500, 0)  # warm up: imports, caches, the first groups
            stored = 500
            for level in levels:
                while stored < level:
                    more = min(50_000, level - stored)
                    _ingested(app, worker, more, stored)
                    stored += more
                spent = _ingested(app, worker, posts, stored)
                rows.append(
                    {
                        "stored": stored,
                        "posts_per_s": round(posts / spent),
                        "us_per_post": round(spent / posts * 1e6, 1),
                    }
                )
                stored += posts
                typer.echo(
                    _("已有 {n} 条：每秒 {rate} 条").format(
                        n=rows[-1]["stored"], rate=rows[-1]["posts_per_s"]
                    ),
                    err=True,
                )
            few = min(500, posts)
            single = _ingested(app, worker, few, stored, batch=1)
        finally:
            worker.stop()
    best = rows[-1]["posts_per_s"]
    say(
        {
            "bench": "ingest",
            "posts": posts,
            "levels": rows,
            "baseline_one_post_per_transaction_per_s": round(few / single),
            "ratio_to_baseline": round(best / (few / single), 1),
            "dropped": 0,
            "peak_rss_mb": peak_rss_mb(),
        },
        as_json,
    )


def _ingested(app: App, worker: load.Worker, count: int, first: int, batch: int = 500) -> float:
    """Take ``count`` posts through everything; returns the seconds until the last one was triaged."""
    path = app.config.data / "bench.jsonl"
    load.write_posts(path, count, first)
    with app.deps.uow.read() as store:
        before = store.posts.count()
    begun = time.monotonic()
    new = load.take_in(app, path, batch)
    ended = worker.wait()
    with app.deps.uow.read() as store:
        after = store.posts.count()
    if new != count or after - before != count:
        raise RuntimeError(f"{count} posts went in and {after - before} are stored")
    return max(ended, begun + 1e-9) - begun


# --- queue -------------------------------------------------------------------------------------------


def _staff(app: App, *roles: str) -> Actor:
    from monitor.core.model import SYSTEM, Role
    from monitor.usecases import accounts

    login = "bench." + roles[0]
    chosen = frozenset(Role(role) for role in roles)
    accounts.add_account(app.deps, SYSTEM, login, "", "", chosen, None, "a long bench pass phrase")
    with app.deps.uow.read() as store:
        return store.accounts.get(login).actor()


def _pend(app: App, count: int) -> None:
    """Make ``count`` pending moderation cases over posts of their own."""
    from monitor.core.model import CaseKind, CaseState, NewCase, RawPost
    from monitor.core.policy import rank
    from monitor.usecases.ingest import ingest as storing

    now = app.deps.clock.now()
    source = load.texts()
    with app.deps.uow.read() as store:
        done = store.posts.count()
    for first in range(done, done + count, 500):
        size = min(500, done + count - first)
        items = [RawPost(load.CHANNEL, f"q{first + n}", next(source), author=f"a{n}") for n in range(size)]
        ids = [result.post_id for result in storing(app.deps, load.CHANNEL, items).results]
        with app.deps.uow.begin() as store:
            store.cases.open_many(
                [
                    NewCase(
                        CaseKind.MODERATION,
                        CaseState.PENDING,
                        rank(5, now + timedelta(seconds=first + n)),
                        load.CHANNEL,
                        (post_id,),
                        "spam",
                        0.9,
                    )
                    for n, post_id in enumerate(ids)
                    if post_id is not None
                ],
                now,
            )


def _cycles(app: App, actor: Actor, count: int) -> list[float]:
    """Take and keep ``count`` cases; returns the seconds of each cycle."""
    from monitor.core.model import Action, CaseKind, CaseState
    from monitor.core.ports import CaseFilter
    from monitor.usecases import decide
    from monitor.usecases import queue as waiting

    where = CaseFilter(kinds=(CaseKind.MODERATION,), states=(CaseState.PENDING,))
    spent = []
    for _round in range(count):
        begun = time.perf_counter()
        view = waiting.take_next(app.deps, actor, where)
        if view is None:
            raise RuntimeError("the queue is empty before the measurement ended")
        decide.decide(app.deps, actor, decide.DecisionRequest(view.case.id, view.case.version, Action.KEEP))
        spent.append(time.perf_counter() - begun)
    return spent


def queue(
    pending: Annotated[int, typer.Option("--pending", min=300, help=_("排队的条数"))] = 10_000,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Measure one moderator's cycle from taking an item to its decision; the baseline is a queue of 300."""
    with load.scene(store) as app:
        actor = _staff(app, "moderator")
        _pend(app, 300)
        small = marks(_cycles(app, actor, 200))
        _pend(app, pending - 100)
        large = marks(_cycles(app, actor, 300))
    say(
        {
            "bench": "queue",
            "pending": pending,
            "take_and_decide": large,
            "baseline_queue_of_300": small,
            "ratio_of_p95": round(large["p95_ms"] / small["p95_ms"], 2),
            "peak_rss_mb": peak_rss_mb(),
        },
        as_json,
    )


# --- trends ------------------------------------------------------------------------------------------


def _counted(app: App, where: PostFilter) -> int:
    """Count posts by day and topic the plain way: read them all and count here."""
    from collections import Counter

    cells: Counter[tuple[str, str]] = Counter()
    after: int | None = None
    with app.deps.uow.read() as store:
        while page := store.posts.page(where, after, 1_000):
            readings = store.readings.many([post.id for post in page])
            for post in page:
                reading = readings.get(post.id)
                topics = [s.value for s in reading.signals if s.label == "topic"] if reading else []
                cells[post.posted_at.date().isoformat(), topics[0] or "" if topics else ""] += 1
            after = page[-1].id
    return sum(cells.values())


def _timed(act: Callable[[], object], times: int = 5) -> float:
    """Return the median of several runs, in seconds."""
    spent = []
    for _round in range(times):
        begun = time.perf_counter()
        act()
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def trends(posts: Posts = 100_000, store: Store = None, as_json: Json = False) -> None:
    """Measure the queries of the trend page; the baseline reads every post and counts in Python."""
    from monitor.core.ports import PostFilter
    from monitor.usecases import trends as counting

    rows: list[dict[str, Any]] = []
    slowest = 0.0
    with load.scene(store) as app:
        actor = _staff(app, "officer")
        worker = load.Worker(app)
        try:
            for first in range(0, posts, 50_000):
                _ingested(app, worker, min(50_000, posts - first), first)
        finally:
            worker.stop()
        now = app.deps.clock.now()
        where = PostFilter(since=now - timedelta(days=31), until=now + timedelta(days=1))
        for step, group in (
            ("day", "all"),
            ("day", "topic"),
            ("hour", "channel"),
            ("day", "sentiment"),
            ("week", "label"),
        ):
            spent = _timed(partial(counting.series, app.deps, actor, where, step, group))
            slowest = max(slowest, spent)
            rows.append({"step": step, "group": group, "ms": round(spent * 1000, 1)})
        plain = _timed(lambda: _counted(app, where), 1)
    say(
        {
            "bench": "trends",
            "posts": posts,
            "queries": rows,
            "baseline_read_and_count_ms": round(plain * 1000, 1),
            "ratio_to_slowest": round(plain / slowest, 1),
            "peak_rss_mb": peak_rss_mb(),
        },
        as_json,
    )
