"""WeChat is answered after the commit while another channel is flooded; how fast is for ``wechat_under_load.py``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from wechat_under_load import run


@pytest.mark.slow
def test_every_answer_comes_and_everything_is_stored(tmp_path: Path) -> None:
    found = asyncio.run(run(tmp_path, 500.0, 5.0))
    print(found)
    assert found["answers"] == 50
    assert found["other"]["posts"] == 2_500
    assert found["lost"] == 0
