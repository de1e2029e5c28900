"""The file channel: a watched folder into which files are put."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from monitor.testing import connector_suite as suite

AUTHOR = "20002000"


class Rig(suite.Rig):
    type = "file"
    listens = True

    async def start(self) -> None:
        self.inbox = self.folder / "inbox"
        self.inbox.mkdir()
        self._count = 0
        self._said: list[dict[str, Any]] = []

    def settings(self) -> dict[str, Any]:
        return {"folder": str(self.inbox), "poll_seconds": 0.01, "settle_seconds": 0}

    def _put(self, text: str) -> None:
        """Put a file there at once, as a careful program does."""
        self._count += 1
        partial = self.folder / "partial"
        partial.write_text(text, encoding="utf-8")
        partial.rename(self.inbox / f"{self._count:04}.jsonl")

    async def say(self, text: str) -> None:
        self._said.append({"id": f"p{len(self._said)}", "text": text, "author": AUTHOR})
        self._put(json.dumps(self._said[-1]))

    async def repeat(self) -> None:
        self._put("\n".join(map(json.dumps, self._said)))

    async def garble(self) -> bool:
        self._put('{"id": "p", "text": "天机')
        return True

    def natives(self) -> Collection[str]:
        return [AUTHOR]
