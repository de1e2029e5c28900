"""Feed damaged input to every parser: each may take one second of CPU and 256 MiB, and raise typed errors only.

``python tests/fuzz/run.py --seconds 600`` (or ``--parsers webhook,qqbot``) works in a child process with limits of its
own; what crashes, takes too long or too much is kept in ``tests/golden/crashers/PARSER/`` and played again by the
tests. Inputs are made from good examples by changing, cutting, doubling and mixing bytes: there is no guidance by
coverage. The seed is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import secrets
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

CPU_SECONDS: Final = 1.0
WALL_SECONDS: Final = 20.0
"""A child that is silent for so long hangs in code that no signal interrupts, or the machine is busy indeed."""

MEMORY: Final = 256 * 2**20
_TOKENS: Final = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\xbd", b"\\ud83d", b"\r\n", b'"', b"'", b"<", b">", b"&", b"]]>",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", b"[" * 200, b"{" * 200, b"[CQ:", b",", b"=", b"]",
    b"-1", b"0", b"9" * 400, b"1e999", b"NaN", b"null", b"true", b"{}", b"[]", "\u202e".encode(), "好".encode(),
    "👨‍👩‍👧".encode(), b"0001-01-01 0:00:00", b"9999-12-31", b"\t", b" " * 300, b"a" * 5000,
)  # fmt: skip


class TooSlow(BaseException):
    """One input took more CPU time than it may."""


# --- the child -------------------------------------------------------------------------------------


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow


def _resident() -> int:
    size = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    return int(size) * resource.getpagesize()


def _outcome(read: object, data: bytes) -> str:
    """Read one input within its time; returns an empty string, or what went wrong."""
    assert callable(read)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        read(data)
    except TooSlow:
        return "TooSlow"
    except MemoryError:
        return "MemoryError"
    except RecursionError:
        return "RecursionError"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def work(name: str) -> None:
    """Read inputs from stdin (length in a line, then bytes) and answer each with a line."""
    from parsers import PARSERS

    parser = PARSERS[name]
    for seed in parser.seeds()[:20]:
        parser.read(seed)
    signal.signal(signal.SIGPROF, _interrupt)
    limit = _resident() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("ready", flush=True)
    while line := sys.stdin.buffer.readline():
        data = sys.stdin.buffer.read(int(line))
        print(json.dumps(_outcome(parser.read, data)), flush=True)


# --- the parent ------------------------------------------------------------------------------------


class Child:
    """A process that reads inputs for one parser; it is started anew when it dies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, __file__, "--work", self.name]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            if self._process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"the parser {self.name} fails on its own examples")
        return self._process

    def read(self, data: bytes) -> str:
        """Let one input be read; returns an empty string, or what went wrong."""
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        watch = _watch(process)
        try:
            process.stdin.write(b"%d\n" % len(data) + data)
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            fired = watch()
        if line:
            return str(json.loads(line))
        process.wait()
        return "Hang" if fired else f"Died with {process.returncode}"

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()


def _watch(process: subprocess.Popen[bytes]) -> object:
    """Kill a child that stays silent; what is returned ends the watch and says whether it had to."""
    import threading

    fired = threading.Event()

    def kill() -> None:
        fired.set()
        process.kill()

    timer = threading.Timer(WALL_SECONDS, kill)
    timer.start()

    def end() -> bool:
        timer.cancel()
        return fired.is_set()

    return end


def damaged(chance: random.Random, seeds: list[bytes]) -> bytes:
    """Return one good example with some of it changed, cut, doubled, mixed with another or filled with odd bytes."""
    data = bytearray(chance.choice(seeds))
    for _time in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 1, 4, 16, 64, 512)))
        kind = chance.randrange(6)
        if kind == 0:
            data[at:end] = b""
        elif kind == 1:
            data[at:end] = data[at:end] * chance.choice((2, 3, 40))
        elif kind == 2:
            data[at:end] = chance.choice(_TOKENS)
        elif kind == 3:
            data[at:end] = chance.randbytes(max(1, end - at))
        elif kind == 4:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[at:end] = other[begin : begin + chance.choice((8, 64, 1024))]
        elif at < len(data):
            data[at] ^= 1 << chance.randrange(8)
    return bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.1 else data)


def inputs(chance: random.Random, seeds: list[bytes]) -> Iterator[bytes]:
    """Yield the good examples, then damaged ones for ever."""
    yield from seeds
    while True:
        yield damaged(chance, seeds)


def keep(folder: Path, name: str, data: bytes) -> Path:
    """Keep an input that did harm."""
    path = folder / name / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def fuzz(name: str, seconds: float, seed: int, folder: Path | None) -> tuple[int, Counter[str]]:
    """Feed one parser for some seconds; returns how many inputs it read and what went wrong how often.

    Args:
        name: of the parser.
        seconds: how long.
        seed: of the damage.
        folder: where harmful inputs are kept; nowhere when None.
    """
    from parsers import PARSERS

    chance, found, count = random.Random(f"{seed}{name}"), Counter[str](), 0
    seeds = PARSERS[name].seeds()
    with Child(name) as child:
        child.read(seeds[0])  # starting is no part of its time
        ends = time.monotonic() + seconds
        for data in inputs(chance, seeds):
            if time.monotonic() >= ends:
                break
            count += 1
            wrong = child.read(data)
            if wrong:
                found[wrong] += 1
                if folder is not None and found[wrong] <= 3:
                    print(f"{name}: {wrong}: {keep(folder, name, data)}", flush=True)
    return count, found


def main() -> None:
    """Feed the chosen parsers; exit code 1 when one did not keep its promise."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all parsers together")
    parser.add_argument("--parsers", default="", help="names with commas; all when empty")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--work", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return
    from parsers import CRASHERS, PARSERS

    print("seed", given.seed, flush=True)
    names = [name for name in given.parsers.split(",") if name] or list(PARSERS)
    total, bad = 0, 0
    for name in names:
        count, found = fuzz(name, given.seconds / len(names), given.seed, CRASHERS)
        total, bad = total + count, bad + sum(found.values())
        print(f"{name}: {count} inputs, {dict(found) or 'no fault'}", flush=True)
    print(f"{total} inputs, {bad} faults")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
