"""What every test may use: the golden switch, and servers and browsers that are named when they are missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("monitor.testing")

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-golden", action="store_true", help="rewrite the golden files from the present answers"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare ``text`` with a golden file, or write the file when --write-golden is given."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--write-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path.name} is missing: run `make golden` and read what it wrote"
        assert text == path.read_text(encoding="utf-8")

    return compare


def missing(what: str, mend: str) -> None:
    """Skip for want of a server or browser, naming the mend; in CI that is a failure."""
    message = f"{what} is not there: {mend}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the system's Chromium."""
    found = CHROMIUM if Path(CHROMIUM).exists() else shutil.which("chromium")
    if not found:
        missing("Chromium", "apt-get install chromium fonts-noto-cjk")
    return str(found)


@pytest.fixture(scope="session")
def postgres() -> str:
    """Address of a PostgreSQL server that lets us make our own databases."""
    import psycopg

    url = os.environ.get("HUIYIN_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        missing("PostgreSQL", "start it at 127.0.0.1:5432 (trust), or name it in HUIYIN_TEST_POSTGRES")
    return url
