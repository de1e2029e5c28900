"""Every installed connector keeps the contract: one class of tests per entry point, made from its rig.

A rig is a file ``rig_NAME.py`` in this folder with a class ``Rig``; a connector without one fails here.
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from monitor.testing.connector_suite import GROUP, contract

NAMES = sorted(point.name for point in entry_points(group=GROUP))
RIGS = {
    name: importlib.import_module(f"rig_{name}").Rig
    for name in NAMES
    if importlib.util.find_spec(f"rig_{name}")
}


@pytest.mark.parametrize("name", NAMES)
def test_every_connector_has_a_rig(name: str) -> None:
    assert name in RIGS, f"write tests/contracts/rig_{name}.py; docs/connectors.md says how"
    assert RIGS[name].type == name


@pytest.mark.parametrize("name", NAMES)
def test_every_connector_stands_in_the_table(name: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "connectors.md"
    assert f"| `{name}` |" in page.read_text(encoding="utf-8"), f"say in {page.name} what `{name}` can do"


globals().update({f"Test_{name}": contract(rig) for name, rig in RIGS.items()})
