"""The root command: global options anywhere, one sentence per error, exit codes, an example in every help page."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_world import Huiyin

from monitor import words
from monitor.cli import main as command
from monitor.core.errors import BadInput, ConfigError, Unavailable


def test_the_version_is_said_at_once(huiyin: Huiyin) -> None:
    assert huiyin("--version").out.startswith("huiyin 0.")
    best = 9.0
    for _try in range(5):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-m", "monitor.cli", "--version"], check=True, capture_output=True)
        best = min(best, time.monotonic() - begun)
    print(f"huiyin --version: {best:.2f} s")
    assert best < 0.5


def test_every_module_of_commands_is_listed_and_registers_what_it_says() -> None:
    folder = Path(command.__file__).parent
    modules = {p.stem for p in folder.glob("*.py") if "on the root command." in p.read_text(encoding="utf-8")}
    assert modules == set(command.MODULES)
    for module, names in command.MODULES.items():
        root = command.build([names[0]])
        registered = getattr(typer.main.get_command(root), "commands", {})
        assert set(registered) == set(names), module


def _commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in getattr(node, "commands", {}).items():
        yield (*path, name)
        yield from _commands(child, (*path, name))


def test_every_help_page_has_a_sentence_and_an_example(huiyin: Huiyin) -> None:
    root = typer.main.get_command(command.build([]))
    for path in _commands(root):
        node: Any = root
        for word in path:
            node = node.commands[word]
        assert node.help, path
        if not getattr(node, "commands", None):
            assert "huiyin " in (node.epilog or ""), f"huiyin {' '.join(path)} --help shows no example"
    page = huiyin("--help")
    assert page.code == 0
    assert "huiyin --data huiyin-data up --demo" in page.out


def test_global_options_may_stand_behind_the_command(huiyin: Huiyin, tmp_path: Path) -> None:
    for arguments in (
        ["--data", str(tmp_path), "db", "upgrade", "--quiet"],
        ["db", "upgrade", f"--data={tmp_path}", "--quiet"],
        ["db", "--quiet", "upgrade", "--data", str(tmp_path)],
    ):
        answer = huiyin(*arguments)
        assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert (tmp_path / "huiyin.db").exists()


def test_an_option_of_the_command_itself_is_not_taken_for_a_global_one() -> None:
    root = command._root()

    @root.command("train")
    def train(data: str = typer.Option("", "--data"), _rest: str = "") -> None: ...

    @root.command("other")
    def other() -> None: ...

    assert command.hoisted(root, ["train", "--data", "x", "--quiet"]) == ["--quiet", "train", "--data", "x"]
    assert command.hoisted(root, ["other", "--data", "x"]) == ["--data", "x", "other"]
    assert command.hoisted(root, ["other", "--", "--data", "x"]) == ["other", "--", "--data", "x"]
    assert command.hoisted(root, ["--data", "y"]) == ["--data", "y"]


def test_wrong_use_ends_with_two(huiyin: Huiyin) -> None:
    for arguments in (["nonsense"], ["db", "nonsense"], ["check", "--nonsense"], ["--lang", "fr", "check"]):
        answer = huiyin(*arguments)
        assert answer.code == 2
        assert answer.err
        assert not answer.out


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("c"), 2), (BadInput("b"), 2), (Unavailable("u"), 1)]
)
def test_an_error_is_one_sentence_on_stderr(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert command.ended(error) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{error}\n")


def test_the_language_holds_for_help_and_words(huiyin: Huiyin) -> None:
    assert "数据库" in huiyin("db", "--help").out
    english = huiyin("--lang", "en", "db", "--help").out
    assert english == huiyin("db", "--help", "--lang=en").out
    assert words.language() == "en"


def test_quiet_leaves_data_and_errors(huiyin: Huiyin, tmp_path: Path) -> None:
    loud, quiet = huiyin("check", "--data", str(tmp_path)), huiyin("-q", "check", "--data", str(tmp_path))
    assert loud.err
    assert (quiet.out, quiet.err) == (loud.out, "")


def test_the_environment_names_data_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[service]\nport = 9001\n", encoding="utf-8")
    environ = {**os.environ, "HUIYIN_DATA": str(tmp_path), "HUIYIN_CONFIG": str(tmp_path / "a.toml")}
    made = subprocess.run(
        [sys.executable, "-m", "monitor.cli", "check"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "port = 9001" in made.stdout


def test_output_that_nobody_reads_on_is_no_traceback(tmp_path: Path) -> None:
    line = f"{sys.executable} -m monitor.cli check --data {tmp_path} | head -c 1"
    made = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert "Traceback" not in made.stderr
