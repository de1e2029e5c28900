"""Understanding: takes posts that wait through classifying, grouping and triage; once a minute sweeps.

Classifying may use several processes; grouping and triage stay in this one, because near duplicates are found only
in one window (see :class:`monitor.core.ports.Grouping`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Final

from monitor import bootstrap, logs
from monitor.bootstrap import App
from monitor.core.errors import ClassifierError, HuiyinError, StoreError
from monitor.core.model import Reading
from monitor.core.ports import Classifier
from monitor.runtime.parts import Pulse, die_with_parent
from monitor.usecases import cases, effects, retention, understand
from monitor.usecases.deps import Deps

IDLE_SECONDS: Final = 0.3
SWEEP_SECONDS: Final = 60.0
LONGEST_PAUSE: Final = 30.0
_log = logs.get("worker")


# --- several processes -----------------------------------------------------------------------------


class _Mine:
    """The model of a classifying process."""

    model: Classifier | None = None


def _load(load: Callable[[], Classifier]) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _Mine.model = load()


def _classify(texts: Sequence[str]) -> list[Reading]:
    assert _Mine.model is not None
    return _Mine.model.classify(texts)


class Pool:
    """A classifier that shares a batch out over processes (see :class:`monitor.core.ports.Classifier`).

    Args:
        inner: says name, version and labels.
        load: makes the same classifier in a process of its own.
        procs: how many processes.
    """

    def __init__(self, inner: Classifier, load: Callable[[], Classifier], procs: int) -> None:
        self.name, self.version, self.labels = inner.name, inner.version, inner.labels
        self._load = load
        self._procs = procs
        self._pool = self._open()

    def _open(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._procs, get_context("spawn"), initializer=_load, initargs=(self._load,)
        )

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text; raises ClassifierError, also when a process died."""
        size = -(-len(texts) // self._procs) or 1
        shares = [texts[at : at + size] for at in range(0, len(texts), size)]
        try:
            return [reading for share in self._pool.map(_classify, shares) for reading in share]
        except BrokenProcessPool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._open()
            raise ClassifierError("a classifying process died; it was started anew") from None

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)


# --- the loop --------------------------------------------------------------------------------------


class Worker:
    """The loop of understanding; ``stop`` ends it after the batch in hand."""

    def __init__(self, app: App, stop: threading.Event, deps: Deps | None = None) -> None:
        self._app = app
        self._deps = deps or app.deps
        self._stop = stop
        self._owner = f"worker-{os.getpid()}"
        self._pulse = Pulse(app, "worker")
        self._next_sweep = float("-inf")
        self.done = 0

    def run(self) -> None:
        """Work until told to stop."""
        self._pulse.beat("starting", now=True)
        self._patiently("restore", lambda: understand.restore_grouping(self._deps))
        failures = 0
        while not self._stop.is_set():
            count = self._patiently("process", self._step)
            failures = failures + 1 if count is None else 0
            self._pulse.beat()
            self._sweep()
            if count is None:
                self._stop.wait(min(LONGEST_PAUSE, 0.5 * 2 ** min(failures, 8)))
            elif count == 0:
                self._stop.wait(IDLE_SECONDS)
        self._pulse.beat("stopped", now=True)

    def _step(self) -> int:
        taken = understand.process(self._deps, self._owner, self._app.config.worker.batch)
        self.done += taken
        return taken

    def _sweep(self) -> None:
        ticks = self._deps.clock.monotonic()
        if ticks < self._next_sweep:
            return
        self._next_sweep = ticks + SWEEP_SECONDS
        sweeps = (
            ("cases.sweep", cases.sweep),
            ("effects.sweep", effects.sweep),
            ("retention.sweep", retention.sweep),
        )
        for name, sweep in sweeps:
            swept = self._patiently(name, partial(sweep, self._deps))
            if swept:
                _log.info("worker.swept", what=name, count=swept)

    def _patiently(self, step: str, work: Callable[[], int]) -> int | None:
        """Do ``work``; a refusal is logged and tried again later, with None as the answer."""
        try:
            return work()
        except StoreError as error:
            _log.warning("worker.store", step=step, code=error.code)
        except HuiyinError as error:
            _log.error("worker.failed", step=step, code=error.code, error=error)
        return None


def run(app: App, stop: threading.Event, procs: int | None = None) -> None:
    """Run the worker of this data directory until ``stop``.

    Args:
        app: the application; its models may be missing.
        stop: set it to end.
        procs: processes that classify; the configured number when missing.
    """
    number = procs or app.config.worker.procs
    if number == 1 or app.deps.classifier is None:
        Worker(app, stop).run()
        return
    load = partial(bootstrap.load_classifier, app.config.data, app.config.worker.tier)
    pool = Pool(app.deps.classifier, load, number)
    try:
        Worker(app, stop, replace(app.deps, classifier=pool)).run()
    finally:
        pool.close()


__all__ = ["Pool", "Worker", "run"]
