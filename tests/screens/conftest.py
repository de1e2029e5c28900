"""Screens headless (AppTest) and in a real browser, over a seeded store of their own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import screens_seed
from streamlit.testing.v1 import AppTest

from monitor.usecases import accounts
from monitor.usecases.deps import Deps
from review_ui import session

MAIN = Path(__file__).resolve().parents[2] / "review_ui" / "main.py"
SERVER = Path(__file__).resolve().parent / "screens_server.py"
LAUNCH = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """Give the interpreter its own ``__main__`` back: AppTest puts the script there, and spawned processes would run it."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Deps]:
    """A seeded store with accounts and a small week of posts; the clock stands still."""
    deps = screens_seed.open_deps(tmp_path, still=True)
    screens_seed.people(deps)
    screens_seed.week(deps)
    session.use(screens_seed.World(deps))
    yield deps
    session.use(None)
    deps.uow.close()


Opener = Callable[..., AppTest]


@pytest.fixture
def opened(world: Deps) -> Opener:
    """Return a function that signs a person in and opens a page: ``opened("mod.li", "queue")``."""

    def make(login: str, page: str | None = None, lang: str = "zh", **query: str) -> AppTest:
        sid = accounts.sign_in(world, login, screens_seed.PASSWORD, "127.0.0.1")
        at = AppTest.from_file(str(MAIN), default_timeout=30)
        at.user = {"login": login, "sid": sid, "lang": lang, "keys": "on"}
        for name, value in query.items():
            at.query_params[name] = value
        at.run()
        if page is not None:
            at.switch_page(f"screens/{page}.py").run()
        assert not at.exception, at.exception
        return at

    return make


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(data: Path, *options: str, patience: float = 120.0) -> Iterator[str]:
    """Serve the screens in a process of their own and yield their address."""
    port = free_port()
    command = [sys.executable, str(SERVER), "--data", str(data), "--port", str(port), *options]
    with (data / "ui.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _until_up(f"http://127.0.0.1:{port}/healthz", process, patience)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _until_up(url: str, process: subprocess.Popen[bytes], patience: float) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        assert process.poll() is None, "the screens ended before they answered"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer in {patience} s")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of screens over a seeded week, shared by the tests of a module."""
    with serving(tmp_path_factory.mktemp("ui")) as url:
        yield url


@pytest.fixture(scope="module")
def chrome(chromium: str) -> Iterator[Any]:
    """A running Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, args=list(LAUNCH))
        yield running
        running.close()
