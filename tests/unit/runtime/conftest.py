"""An application over a real SQLite file for the tests of the loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from runtime_world import House, house_at


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An application with the channels qq and box."""
    made = house_at(tmp_path, "qq", "box")
    yield made
    made.close()
