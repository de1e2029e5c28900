"""What tests of commands share: running a command line in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def rows(self) -> list[Any]:
        """Return the JSON objects on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


Huiyin = Callable[..., Answer]
