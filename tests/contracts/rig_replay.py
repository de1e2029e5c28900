"""The replay channel: one file that grows, played to its end."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from monitor.testing import connector_suite as suite

AUTHOR = "20002000"


class Rig(suite.Rig):
    type = "replay"
    ends = True
    listens = True

    async def start(self) -> None:
        self.file = self.folder / "week.jsonl"
        self.file.touch()
        self._said: list[str] = []
        self._write({"id": "gone before", "kind": "removal"})

    def settings(self) -> dict[str, Any]:
        return {"file": str(self.file)}

    def _write(self, *rows: object) -> None:
        with self.file.open("a", encoding="utf-8") as out:
            out.writelines((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)

    async def say(self, text: str) -> None:
        row = {"id": f"p{len(self._said)}", "text": text, "author": AUTHOR}
        self._said.append(json.dumps(row))
        self._write(row)

    async def repeat(self) -> None:
        self._write(*self._said)

    async def garble(self) -> bool:
        self._write('{"id": "p", "text": "天机')
        return True

    def natives(self) -> Collection[str]:
        return [AUTHOR]
