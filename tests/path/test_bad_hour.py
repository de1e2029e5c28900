"""A bad half-minute: the drill of ``bad_hour.py`` in short."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from bad_hour import CHANNELS, run, told


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_while_everything_goes_wrong(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    found = asyncio.run(run(30.0, 20.0, seed, tmp_path, faulty=True))
    print(told("bad", found))
    assert found.said > 300
    assert sum(found.faults.values()) > len(CHANNELS)
    assert (found.lost, found.doubled, found.answers_doubled) == (0, 0, 0)
