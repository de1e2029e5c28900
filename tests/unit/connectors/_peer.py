"""An independent client in its own process: commands go in and what it saw comes out, one JSON line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onebot_scene import until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LONG = 180.0
"""Seconds that a loaded machine is given for what usually takes one."""

Line = dict[str, Any]


class Peer:
    """One client process; ``lines`` holds what it has told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[Line] = []
        self._process = process
        self._asked = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            if text.startswith("{"):
                self.lines.append(json.loads(text))

    def told(self, kind: str, /, **fields: Any) -> list[Line]:
        """Return the lines of one kind in which ``fields`` stand so."""
        found = [line for line in list(self.lines) if line["told"] == kind]
        return [line for line in found if all(line.get(key) == value for key, value in fields.items())]

    async def tells(self, kind: str, count: int = 1, /, **fields: Any) -> list[Line]:
        """Wait until ``count`` such lines were told, and return them."""
        await until(lambda: len(self.told(kind, **fields)) >= count or self._process.poll() is not None, LONG)
        found = self.told(kind, **fields)
        assert len(found) >= count, f"the client ended with {self._process.poll()}"
        return found

    async def ask(self, **command: Any) -> Line:
        """Give a command and return its answer."""
        self._asked += 1
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**command, "number": self._asked}) + "\n")
        self._process.stdin.flush()
        return (await self.tells("answer", number=self._asked))[0]


@contextmanager
def peer(script: str, settings: Mapping[str, Any], folder: Path) -> Iterator[Peer]:
    """Run ``script`` of this folder with ``settings`` in ``folder`` until the block ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    with (folder / "client.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / script), json.dumps(settings)],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        client = Peer(process)
        try:
            yield client
        finally:
            process.kill()
            process.wait()
            client._reader.join(10)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
