"""Material and scenes for ``huiyin bench``: invented posts without end, and an application of its own to load."""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.core.errors import BadInput
from monitor.words import _

if TYPE_CHECKING:
    from monitor.bootstrap import App

SEED = 20_261_101
CHANNEL = "bench"
_CLAUSE = re.compile(r"[^，。！？；\n]+[，。！？；]?")


def labelled() -> list[dict[str, Any]]:
    """Return the labelled posts of the in-domain corpus.

    Raises: BadInput when the corpus is not there.
    """
    folder = Path(__file__).resolve().parents[2] / "corpora" / "domain"
    found = [
        json.loads(line)
        for path in sorted(folder.glob("part*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    if not found:
        raise BadInput(_("找不到 corpora/domain，性能测试需要它的语料。"))
    return found


def clauses() -> list[str]:
    """Return the clauses of the in-domain corpus. Raises BadInput when it is not there."""
    texts_ = (row["text"] for row in labelled())
    return [clause for text in texts_ for clause in _CLAUSE.findall(text) if len(clause) > 3]


def texts(seed: int = SEED) -> Iterator[str]:
    """Yield posts of two to four clauses drawn from the corpus: hardly ever the same twice, without end."""
    chance = random.Random(seed)  # noqa: S311
    parts = clauses()
    while True:
        yield "".join(chance.choices(parts, k=chance.randint(2, 4)))[:500]


def write_posts(path: Path, count: int, first: int = 0, days: float = 30.0) -> None:
    """Write ``count`` posts as JSON Lines for import, numbered from ``first``, spread over the last ``days``."""
    now = datetime.now(UTC)
    step = timedelta(days=days) / max(1, count)
    with path.open("w", encoding="utf-8") as file:
        for n, text in zip(range(count), texts(SEED + first), strict=False):
            row = {
                "id": f"b{first + n}",
                "text": text,
                "author": f"a{(first + n) % 997}",
                "thread": f"g{n % 20}",
                "posted_at": (now - step * (count - n)).isoformat(),
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


@contextmanager
def scene(url: str | None = None) -> Iterator[App]:
    """Open an application over a store of its own (or over an empty database at ``url``) and close it again."""
    from monitor import bootstrap, config

    with tempfile.TemporaryDirectory(prefix="huiyin-bench-") as folder:
        chosen = config.load(None, Path(folder))
        if url is not None:
            chosen = replace(chosen, store=replace(chosen.store, url=url))
            bootstrap.prepare_database(chosen)
        app = bootstrap.build(chosen)
        try:
            yield app
        finally:
            app.close()


def _work(data: Path, url: str, over: Event, finished: Any) -> None:
    """Take posts through understanding until ``over`` is set and none is left (a process of its own)."""
    from monitor import bootstrap, config
    from monitor.usecases import understand

    chosen = config.load(None, data)
    app = bootstrap.build(replace(chosen, store=replace(chosen.store, url=url)))
    while True:
        last = over.is_set()
        if understand.process(app.deps, "bench", 500):
            finished.value = time.monotonic()
        elif last:
            break
        else:
            time.sleep(0.002)
    app.close()


class Worker:
    """A worker process beside the one that takes posts in."""

    def __init__(self, app: App) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._app = app
        self._over = spawning.Event()
        self._finished = spawning.Value("d", 0.0)
        self._process = spawning.Process(
            target=_work,
            args=(app.config.data, app.config.store_url, self._over, self._finished),
            daemon=True,
        )
        self._process.start()

    def idle(self) -> bool:
        """Say whether no post waits for understanding."""
        with self._app.deps.uow.read() as store:
            counts = store.jobs.counts()
        return not counts.get("waiting", 0) and not counts.get("leased", 0)

    def wait(self) -> float:
        """Wait until no post is left and return the moment (monotonic) at which the last one was done."""
        while not self.idle():
            if not self._process.is_alive():
                raise BadInput(_("测试用的工作进程提前结束了。"))
            time.sleep(0.005)
        return float(self._finished.value)

    def stop(self) -> None:
        """End the process."""
        self._over.set()
        self._process.join(60)


def take_in(app: App, path: Path, batch: int = 500) -> int:
    """Read a file of posts and store it in transactions of ``batch``; returns how many were new."""
    from monitor.bootstrap import import_reader
    from monitor.usecases.ingest import ingest

    new, waiting = 0, []
    for item in import_reader(path, "jsonl", CHANNEL):
        waiting.append(item)
        if len(waiting) == batch:
            new += ingest(app.deps, CHANNEL, waiting).new
            waiting = []
    if waiting:
        new += ingest(app.deps, CHANNEL, waiting).new
    return new
