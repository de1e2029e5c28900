"""A process that sends what is due to a file that plays the platform; a test kills it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from runtime_world import House, Source, house_at

from monitor.core.model import Effect
from monitor.runtime.dispatch import Dispatcher


class Platform(Source):
    """Carries out a send by writing a line; can be read back."""

    def __init__(self, file: Path) -> None:
        super().__init__("qq")
        self.file = file

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Write the effect's line at once, and answer a little later, as a platform does."""
        with self.file.open("a") as file:
            file.write(f"{effect.id}\n")
        await asyncio.sleep(0.01)
        return "told"

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether the line is there."""
        return "found" if f"{effect.id}" in self.file.read_text().split() else None


async def main() -> None:
    """Send until nothing is left or somebody kills us."""
    made = house_at(Path(sys.argv[1]), "qq")
    house = House(made.config, replace(made.deps, rules=replace(made.deps.rules, send_timeout=0.05)))
    house.adopt(Platform(Path(sys.argv[2])))
    print("sending", flush=True)
    await Dispatcher(house).run()


if __name__ == "__main__":
    asyncio.run(main())
