"""The supervisor over real processes: a crashed part comes back, and at the end nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.core.errors import StoreError
from monitor.core.ports import PartStatus
from monitor.runtime import supervise
from monitor.runtime.parts import Lock
from monitor.runtime.supervise import Part, Supervisor

SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(60)"
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(child.pid, flush=True)\ntime.sleep(60)"
)


def part(name: str, code: str, **options: bool) -> Part:
    return Part(name, [sys.executable, "-c", code], **options)


def until(test: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def told() -> list[PartStatus]:
    return []


@pytest.fixture
def run(tmp_path: Path, told: list[PartStatus]) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def make(*parts: Part) -> Supervisor:
        made = Supervisor(parts, tmp_path / "logs", told.append)
        started.append(made)
        made.start()
        return made

    yield make
    for each in started:
        each.end()


def test_a_killed_part_is_started_anew_and_the_screen_is_told(
    run: Callable[..., Supervisor], told: list[PartStatus]
) -> None:
    supervisor = run(part("worker", SLEEPER), part("other", SLEEPER))
    before = supervisor.pids()
    os.kill(before["worker"], signal.SIGKILL)
    until(lambda: supervisor.look() or supervisor.pids().get("worker") not in (None, before["worker"]))
    assert supervisor.pids()["other"] == before["other"]
    (crash,) = [one for one in told if one.state == "crashed"]
    assert (crash.name, crash.restarts) == ("worker", 0)
    assert "exit code -9" in crash.note


def test_the_number_of_restarts_reaches_the_part(run: Callable[..., Supervisor], tmp_path: Path) -> None:
    code = "import os; print('restarts', os.environ['HUIYIN_RESTARTS'], flush=True); os._exit(7)"
    supervisor = run(part("worker", code))
    log = tmp_path / "logs" / "worker.log"
    until(lambda: supervisor.look() or "restarts 1" in log.read_text())


def test_pauses_grow_while_a_part_keeps_crashing(
    run: Callable[..., Supervisor], told: list[PartStatus]
) -> None:
    supervisor = run(part("worker", "raise SystemExit(7)"))
    until(lambda: supervisor.look() or len(told) >= 2)
    assert [one.note.split("anew in ")[1] for one in told[:2]] == ["1 s", "2 s"]


def test_a_part_that_does_not_beat_is_told_of_by_us(
    run: Callable[..., Supervisor], told: list[PartStatus]
) -> None:
    supervisor = run(part("ui", SLEEPER, beats=False), part("worker", SLEEPER))
    supervisor.look()
    assert [(one.name, one.state) for one in told] == [("ui", "running")]
    supervisor.end()
    assert [(one.name, one.state) for one in told][1:] == [("ui", "stopped")]


def test_a_part_that_finishes_is_not_started_anew(
    run: Callable[..., Supervisor], told: list[PartStatus]
) -> None:
    supervisor = run(part("demo", "pass", finishes=True))
    until(lambda: supervisor.look() or told)
    assert [one.state for one in told] == ["stopped"]
    time.sleep(0.1)
    supervisor.look()
    assert supervisor.pids() == {}


def test_wrong_use_at_the_first_start_ends_everything_with_its_last_words(
    run: Callable[..., Supervisor],
) -> None:
    code = 'import sys; sys.stderr.write(\'{"event": "x"}\\nthe port is taken\\n{}\\n\'); sys.exit(2)'
    supervisor = run(part("service", code), part("worker", SLEEPER))
    pid = supervisor.pids()["worker"]
    assert supervisor.run() == supervise.WRONG_USE
    assert supervisor.failed == "service"
    assert supervisor.last_words("service") == "the port is taken"
    assert not alive(pid)


def test_the_end_leaves_nothing_even_of_what_does_not_listen(
    tmp_path: Path,
) -> None:
    supervisor = Supervisor([part("good", SLEEPER), part("stubborn", STUBBORN)], tmp_path / "logs", grace=0.5)
    supervisor.start()
    log = tmp_path / "logs" / "stubborn.log"
    until(lambda: log.read_text().strip())
    pids = [*supervisor.pids().values(), int(log.read_text())]
    begun = time.monotonic()
    supervisor.end()
    assert time.monotonic() - begun < 5
    until(lambda: not any(map(alive, pids)), 3)


def test_parts_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom monitor.runtime.supervise import Part, Supervisor\n"
        f"s = Supervisor([Part('p', [sys.executable, '-c', {SLEEPER!r}])], Path({str(tmp_path)!r}))\n"
        "s.start()\nprint(s.pids()['p'], flush=True)\ns.run()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    until(lambda: not alive(pid), 5)


def test_a_store_that_refuses_the_beat_stops_nobody(tmp_path: Path) -> None:
    def refuse(_part: PartStatus) -> None:
        raise StoreError("the disk is full")

    supervisor = Supervisor([part("ui", SLEEPER, beats=False)], tmp_path, refuse)
    supervisor.start()
    try:
        supervisor.look()
        assert supervisor.pids()
    finally:
        supervisor.end()


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "p.log"
    log.write_bytes(b"x" * (supervise.LOG_LIMIT + 1))
    supervisor = Supervisor([part("p", "pass", finishes=True)], tmp_path)
    supervisor.start()
    supervisor.end()
    assert (tmp_path / "p.log.1").stat().st_size > supervise.LOG_LIMIT
    assert log.stat().st_size < 100


def test_a_lock_names_its_owner_and_dies_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom monitor.runtime.parts import Lock\n"
        f"lock = Lock(Path({str(tmp_path)!r}), 'up')\nlock.take()\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        lock = Lock(tmp_path, "up")
        assert not lock.is_free()
        with pytest.raises(StoreError, match=rf"process {process.pid}"):
            lock.take()
        process.kill()
        process.wait()
    assert lock.is_free()
    with lock:
        assert lock.owner() == str(os.getpid())
    lock.release()
