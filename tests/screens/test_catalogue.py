"""Every word on screen has an English text, and no Chinese word hides outside the catalogue."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor import words
from monitor.core import states
from monitor.core.model import (
    Action,
    CaseKind,
    CaseState,
    ClaimState,
    EffectState,
    Label,
    ReplyState,
    Role,
    RuleCode,
)
from review_ui import catalogue
from review_ui.parts import card
from review_ui.parts import words as names

HAN = re.compile(r"[\u3400-\u9fff]")
# A language and the product are always called by their own names.
OWN_NAMES = {"中文", "回音"}
SCREENS = sorted((catalogue.ROOT / "review_ui").rglob("*.py"))


def _english() -> dict[str, str]:
    return {str(m.id): str(m.string) for m in catalogue.read("en") if m.id}


def test_every_message_has_an_english_text() -> None:
    english = _english()
    missing = sorted(text for text in catalogue.messages() if not english.get(text))
    assert not missing, "run `make catalogue`, then write these in monitor/locale/en: " + " | ".join(missing)


def test_the_catalogue_holds_nothing_that_is_gone() -> None:
    assert set(_english()) == set(catalogue.messages()), "run `make catalogue`"


def _fields(text: str) -> set[str]:
    return {name for _text, name, _spec, _conversion in string.Formatter().parse(text) if name}


def test_translations_keep_the_fields() -> None:
    broken = [text for text, english in _english().items() if _fields(text) != _fields(english)]
    assert not broken


def test_no_english_text_is_still_chinese() -> None:
    """What another program writes on its own buttons stays as it stands there: it is quoted in the Chinese text."""
    for text, english in _english().items():
        for name in re.findall("“(.+?)”", text):
            english = english.replace(name, "")
        assert not HAN.search(english), text


def test_the_compiled_catalogue_is_the_written_one() -> None:
    with words.speaking("en"):
        for text, english in _english().items():
            assert words._(text) == english, "run `make catalogue`"
    with words.speaking("zh"):
        assert words._("审核") == "审核"


def _docstrings(tree: ast.AST) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [n.body[0] for n in ast.walk(tree) if isinstance(n, owners) and n.body]
    return {id(n.value) for n in nodes if isinstance(n, ast.Expr)}


def _translated(tree: ast.AST) -> set[int]:
    calls = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and getattr(n.func, "id", getattr(n.func, "attr", "")) == "_"
    ]
    return {id(arg) for call in calls for arg in call.args}


def _stray(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = _docstrings(tree) | _translated(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in known:
            continue
        if HAN.search(node.value) and node.value not in OWN_NAMES:
            yield f"{path.name}:{node.lineno} {node.value}"


@pytest.mark.parametrize("path", SCREENS, ids=lambda p: p.stem)
def test_no_chinese_literal_outside_the_catalogue(path: Path) -> None:
    assert not list(_stray(path))


def test_everything_with_a_code_has_a_name() -> None:
    tables = (
        (Role, names.role_name),
        (CaseKind, names.kind_name),
        (CaseState, names.state_name),
        (Action, names.action_name),
        (RuleCode, names.rule_name),
        (ReplyState, names.reply_state_name),
        (ClaimState, names.claim_state_name),
        (EffectState, names.effect_state_name),
        (Label, names.label_name),
    )
    for kind, name in tables:
        for member in kind:
            assert HAN.search(name(member)), member


@pytest.mark.parametrize("kind", sorted(states.EVENT_KINDS))
def test_every_kind_of_event_has_a_name(kind: str) -> None:
    assert HAN.search(card.event_name(kind)), kind
