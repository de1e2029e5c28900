"""The page on writing connectors says what works: its blocks are taken out and put under the contract suite."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.errors import Malformed
from monitor.core.ports import ChannelConfig, Connector
from monitor.testing.connector_suite import contract

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "writing-a-connector.md"
FENCE = re.compile(r"^```(python|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> dict[str, str]:
    """Return the files of the page: blocks that begin with the same ``# path`` belong together."""
    files: defaultdict[str, str] = defaultdict(str)
    for kind, text in FENCE.findall(PAGE.read_text(encoding="utf-8")):
        first, _end, rest = text.partition("\n")
        if kind == "python":
            assert first.startswith("# "), f"a block of the page names no file: {first}"
            files[first.removeprefix("# ")] += "\n" * bool(files.get(first.removeprefix("# "))) + rest
        else:
            files["pyproject.toml"] += text
    return dict(files)


def module(path: str, name: str) -> ModuleType:
    """Run a file of the page as a module, under the file's own name for messages and tracebacks."""
    made = ModuleType(name)
    made.__file__ = str(PAGE)
    sys.modules[name] = made
    exec(compile(FILES[path], f"{PAGE.name}:{path}", "exec"), made.__dict__)
    return made


FILES = blocks()
BOARD = module("connectors/board.py", "connectors.board")
RIG = module("tests/contracts/rig_board.py", "rig_board")


class PageRig(RIG.Rig):  # type: ignore[name-defined, misc]
    """The page's rig; its entry point is not installed, so the factory is taken from the page."""

    def factory(self) -> Callable[[ChannelConfig], Connector]:
        return cast(Callable[[ChannelConfig], Connector], BOARD.connector)


TestBoard = contract(PageRig)


def test_a_connector_takes_one_module_and_one_line() -> None:
    assert set(FILES) == {"connectors/board.py", "tests/contracts/rig_board.py", "pyproject.toml"}
    (line,) = FILES["pyproject.toml"].strip().splitlines()
    entry = tomllib.loads(line)
    assert entry == {"board": "connectors.board:connector"}
    where, _colon, what = entry["board"].partition(":")
    assert getattr(sys.modules[where], what) is BOARD.connector
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(declared["project"]["entry-points"]["huiyin.connectors"]).isdisjoint(entry), (
        "the example is only one"
    )


def test_the_page_uses_what_exists_and_imports_what_connectors_may() -> None:
    for node in ast.walk(ast.parse(FILES["connectors/board.py"])):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("monitor"):
            assert node.module.startswith(("monitor.core", "monitor.words")), node.module


@pytest.mark.parametrize(
    "name", re.findall(r"`((?:tests|connectors|docs)/[\w./-]+)`", PAGE.read_text(encoding="utf-8"))
)
def test_every_file_that_the_page_names_is_there(name: str) -> None:
    invented = {"docs/connectors-board.md"}
    assert name in invented or (ROOT / name).exists()


@given(
    row=st.recursive(
        st.none() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["n", "text", "who", "at"]), inner)
        ),
    )
)
@settings(deadline=None)
def test_the_reader_of_the_page_says_malformed_and_nothing_else(row: Any) -> None:
    try:
        post = BOARD.read_row("board", row)
    except Malformed:
        return
    assert post.external_id.isdecimal()
