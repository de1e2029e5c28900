"""Put the screens together: Streamlit behind our own sign-in and gate."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from review_ui import session
from review_ui.gate import Gate
from review_ui.signin import routes

HERE = Path(__file__).resolve().parent


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[dict[str, Any] | None]:
    """Import what every rerun needs, then take it out of the garbage collector's sight.

    Streamlit collects after each rerun; with pandas and altair loaded that costs most of a rerun's time.
    """
    for name in ("pandas", "pyarrow", "altair"):
        import_module(name)
    gc.collect()
    gc.freeze()
    yield None


def create(base: str = "", watch: float = 5.0) -> st.App:
    """Build the application.

    Args:
        base: path under which a proxy serves the screens, e.g. ``/review``; ``""`` for the root.
        watch: seconds between two looks at the session behind an open socket.
    """
    return st.App(
        HERE / "main.py",
        routes=routes(base),
        middleware=[Middleware(Gate, who=session.who, base=base, watch=watch, home=session.home)],
        lifespan=_lifespan,
    )
