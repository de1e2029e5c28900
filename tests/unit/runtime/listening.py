"""A process that listens to a source of numbered posts and notes what it acknowledged; a test kills it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from runtime_world import Source, house_at

from monitor.core.ports import Incoming
from monitor.runtime.intake import Listener
from monitor.testing.builders import raw


class Numbers(Source):
    """Gives posts 0, 1, 2 … in small batches, from just after the cursor."""

    def __init__(self, acked: Path, count: int) -> None:
        super().__init__("qq")
        self.acked, self.count = acked, count

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Give what comes after ``cursor``, overlapping by three as a careful source does."""
        first = max(0, int(cursor or -1) - 2)
        for n in range(first, self.count, 7):
            last = min(n + 7, self.count) - 1
            names = [f"{k}" for k in range(n, last + 1)]

            async def ack(names: list[str] = names) -> None:
                with self.acked.open("a") as file:
                    file.write("".join(f"{name}\n" for name in names))

            yield Incoming(tuple(raw(name, f"第 {name} 条", channel="qq") for name in names), f"{last}", ack)


async def main() -> None:
    """Listen until the source ends."""
    house = house_at(Path(sys.argv[1]), "qq")
    house.adopt(Numbers(Path(sys.argv[2]), int(sys.argv[3])))
    print("listening", flush=True)
    await Listener(house, "qq").run()
    house.close()


if __name__ == "__main__":
    asyncio.run(main())
