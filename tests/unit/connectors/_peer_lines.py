"""The inner side of a client process: tells lines on standard output, takes commands from standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

Line = dict[str, Any]
_pending: set[asyncio.Task[None]] = set()


def tell(kind: str, /, **fields: Any) -> None:
    """Write one line."""
    print(json.dumps({"told": kind, **fields}, default=str), flush=True)


def take_commands(loop: asyncio.AbstractEventLoop, obey: Callable[[Line], Awaitable[Any]]) -> None:
    """Carry out each line of standard input in ``loop`` and tell its answer or its error."""

    async def one(command: Line) -> None:
        number = command.pop("number")
        try:
            tell("answer", number=number, result=await obey(command))
        except Exception as error:
            code = getattr(error, "info", {}).get("retcode")
            tell("answer", number=number, error=type(error).__name__, code=code, words=str(error))

    def begin(command: Line) -> None:
        task = loop.create_task(one(command))
        _pending.add(task)
        task.add_done_callback(_pending.discard)

    def read() -> None:
        for text in sys.stdin:
            loop.call_soon_threadsafe(begin, json.loads(text))

    threading.Thread(target=read, daemon=True).start()
