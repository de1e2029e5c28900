"""Any bytes at all: every parser reads them or raises a typed error; what once did harm is tried again for ever."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import CRASHERS, PARSERS, Parser
from run import Child, damaged, fuzz

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEPT = sorted(CRASHERS.glob("*/*.bin"))


@pytest.mark.parametrize("name", PARSERS)
def test_any_bytes(name: str) -> None:
    parser = PARSERS[name]

    @quick
    @given(st.binary(max_size=400))
    def check(data: bytes) -> None:
        parser.read(data)

    check()


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_examples(name: str) -> None:
    parser, seeds = PARSERS[name], PARSERS[name].seeds()
    assert seeds

    @quick
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        parser.read(damaged(random.Random(seed), seeds))

    check()


@pytest.mark.parametrize("path", KEPT, ids=[f"{path.parent.name}-{path.stem}" for path in KEPT])
def test_what_once_did_harm(path: Path) -> None:
    with Child(path.parent.name) as child:
        assert child.read(path.read_bytes()) == ""


def test_a_short_run_within_the_limits(tmp_path: Path) -> None:
    for name in ("webhook", "wechat-xml"):
        count, found = fuzz(name, 1.5, 20_261_125, tmp_path)
        assert count > 20
        assert not found, found


HARMFUL = {
    "slow": "while True: pass",
    "greedy": "x = bytearray(600 * 2**20)",
    "untyped": "raise KeyError('x')",
    "deep": "import sys; sys.setrecursionlimit(10**6)\ndef f(): f()\nf()",
}


def test_harm_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser that is slow, greedy, untyped or bottomless is caught, by its child process and not by ours."""
    import run

    script = tmp_path / "run.py"
    script.write_text(Path(run.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "parsers.py").write_text(
        "class Parser:\n    def __init__(self, code): self.code = code\n    def seeds(self): return []\n"
        "    def read(self, data): exec(self.code, {})\n"
        f"PARSERS = {{name: Parser(code) for name, code in {HARMFUL!r}.items()}}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(run, "__file__", str(script))
    found = {}
    for name in HARMFUL:
        with Child(name) as child:
            found[name] = child.read(b"x")
    assert found["slow"] == "TooSlow"
    assert found["greedy"] == "MemoryError"
    assert found["untyped"].startswith("KeyError at")
    assert found["deep"] in ("RecursionError", "MemoryError") or found["deep"].startswith("Died with")


def test_the_registry_names_parsers() -> None:
    assert all(isinstance(one, Parser) for one in PARSERS.values())
    assert sys.version_info >= (3, 11)
