"""Serve the screens over a seeded store, for tests in a real browser: ``python screens_server.py --data DIR``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import screens_seed

from review_ui import server, session


def main() -> None:
    """Seed the store if it is new, then serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pending", type=int, default=0)
    parser.add_argument("--watch", type=float, default=1.0)
    parser.add_argument("--base", default="")
    chosen = parser.parse_args()
    deps = screens_seed.open_deps(chosen.data)
    if not (chosen.data / "seeded").exists():
        screens_seed.people(deps)
        if chosen.pending:
            screens_seed.pending(deps, chosen.pending)
        else:
            screens_seed.week(deps)
        (chosen.data / "seeded").touch()
    session.use(screens_seed.World(replace(deps)))
    # Streamlit looks for its config beside the script named here.
    sys.argv = [str(Path(server.__file__).parent / "app.py")]
    server.create(chosen.base, watch=chosen.watch).run(
        config={
            "server.port": chosen.port,
            "server.address": "127.0.0.1",
            "server.baseUrlPath": chosen.base.strip("/"),
        }
    )


if __name__ == "__main__":
    main()
