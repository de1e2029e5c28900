"""Member text has one way onto the screen, and the screens have one way to the store."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from review_ui.catalogue import ROOT
from review_ui.parts import card

FILES = sorted((ROOT / "review_ui").rglob("*.py"))
# Each of these reads Markdown, loads remote images or runs HTML: no foreign text may reach them.
REFUSED = {
    "markdown",
    "caption",
    "write",
    "toast",
    "info",
    "warning",
    "error",
    "success",
    "map",
    "pydeck_chart",
    "link_button",
    "iframe",
    "data_editor",
}
OURS = ("monitor.bootstrap", "monitor.usecases", "monitor.core", "monitor.words", "monitor", "review_ui")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_screen_uses_what_reads_markdown(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "st":
            assert node.attr not in REFUSED, f"{path.name}:{node.lineno} st.{node.attr}"
        if isinstance(node, ast.keyword):
            assert node.arg not in ("unsafe_allow_html", "unsafe_allow_javascript"), (
                f"{path.name}:{node.lineno}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_screens_ask_use_cases_and_nothing_behind_them(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.split(".")[0] in ("monitor", "connectors", "classifiers"):
                assert name == "monitor" or name.startswith(OURS[:4]), f"{path.name} imports {name}"


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("加微信a", [(0, 3)], "<mark>加微信</mark>a"),
        ("<b>&", [], "&lt;b&gt;&amp;"),
        ("<b>&", [(0, 3)], "<mark>&lt;b&gt;</mark>&amp;"),
        ("abcdef", [(0, 3), (2, 5)], "<mark>abcde</mark>f"),
        ("abcdef", [(4, 6), (0, 1)], "<mark>a</mark>bcd<mark>ef</mark>"),
    ],
)
def test_marking_adds_marks_and_nothing_else(text: str, places: list[tuple[int, int]], expected: str) -> None:
    reasons = [card.Reason(start, end, text[start:end], "why") for start, end in places]
    assert card.marked(text, reasons) == expected
