"""A short drill of sudden ends on both databases; ``kill_drill.py`` runs the long one."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from pathlib import Path

import kill_drill
import pytest


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_sudden_ends_lose_nothing_and_double_nothing(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = (
        kill_drill.postgres_database(request.getfixturevalue("postgres"))
        if store == "postgres"
        else nullcontext(None)
    )
    with database as url:
        found = asyncio.run(kill_drill.run(tmp_path, url, kills=4, answers=25, seed=20_261_125))
    print(found)
    assert kill_drill.passed(found), found
    assert found["acknowledged"] > 20
    assert found["answers_sent_once"] > 5
