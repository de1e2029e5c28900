"""Start the screens: ``python -m review_ui.launch --host 127.0.0.1 --port 8501``.

The data directory and the configuration file come from the environment, as for every other part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from monitor import logs
from review_ui.server import create

HERE = Path(__file__).resolve().parent


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m review_ui.launch", description="Start Huiyin's screens.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on")
    parser.add_argument(
        "--base-path", default="", help="path under which a proxy serves the screens, e.g. /review"
    )
    parser.add_argument(
        "--allowed-host", action="append", default=[], help="name people type in; may be repeated"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stopped."""
    logs.setup("INFO")
    logs.keep_words_of_crashes()
    chosen = parse(sys.argv[1:] if argv is None else argv)
    base = chosen.base_path.strip("/")
    # Streamlit looks for .streamlit/config.toml beside the script named here.
    script = str(HERE / "app.py")
    sys.argv = [script]
    options = {
        "server.address": chosen.host,
        "server.port": chosen.port,
        "server.baseUrlPath": base,
        "browser.serverAddress": chosen.host,
    }
    if chosen.allowed_host:
        options["server.allowedHosts"] = chosen.allowed_host
    create(f"/{base}" if base else "").run(config=options)


if __name__ == "__main__":
    main()
