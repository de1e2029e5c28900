"""The ASGI application of the screens, for ``uvicorn review_ui.app:app`` and ``streamlit run review_ui/app.py``."""

from __future__ import annotations

from streamlit import config

from review_ui.server import create


def _base() -> str:
    path = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


app = create(_base())
