"""Fixtures for tests of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import Answer, Huiyin

from monitor import words
from monitor.cli import main as command

_VARIABLES = ("HUIYIN_DATA", "HUIYIN_CONFIG", "HUIYIN_LANG", "HUIYIN_DEMO", "HUIYIN_CAREFUL", "HUIYIN_LOGIN")


@pytest.fixture
def huiyin(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Huiyin]:
    """Run a command line in this process; what it leaves in the environment is taken away again."""
    for name in _VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as ended:
            command.main([str(word) for word in arguments])
        said = capsys.readouterr()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, said.out, said.err)

    yield run
    words.use("zh")


@pytest.fixture
def data(tmp_path: Path, huiyin: Huiyin, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with a database, named by the environment."""
    folder = tmp_path / "data"
    monkeypatch.setenv("HUIYIN_DATA", str(folder))
    assert huiyin("db", "upgrade", "-q").code == 0
    return folder
