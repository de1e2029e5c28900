"""Who is looking, and the one application behind all screens.

Every rerun and every fragment calls :func:`enter` first: it checks the session again and chooses the language.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

import streamlit as st

from monitor import words
from monitor.bootstrap import App, from_environment
from monitor.core.errors import HuiyinError, NotAllowed
from monitor.core.model import Actor
from monitor.usecases import accounts
from monitor.usecases.deps import Deps

_lock = threading.Lock()


@dataclass(slots=True)
class _Held:
    app: App | None = None


_held = _Held()


def application() -> App:
    """Return the application of this process, opened once."""
    with _lock:
        if _held.app is None:
            _held.app = from_environment()
        return _held.app


def use(app: App | None) -> None:
    """Serve the screens from ``app`` (tests, and programs that opened one already)."""
    with _lock:
        _held.app = app


def deps() -> Deps:
    """Return what every use case needs."""
    return application().deps


def who(sid: str) -> str | None:
    """Return the login behind a session id without prolonging it; None when it is over."""
    try:
        found = accounts.actor_of(deps(), sid, touch=False)
    except HuiyinError:
        return None
    return None if found is None else found.login


def home(sid: str) -> str | None:
    """Return the name of the page that the person of a session begins with; None when it is over."""
    from review_ui.navigation import home_of

    try:
        found = accounts.actor_of(deps(), sid, touch=False)
    except HuiyinError:
        return None
    return None if found is None else home_of(found)


def _user() -> Mapping[str, Any]:
    return cast(Mapping[str, Any], st.user)


def sid() -> str:
    """Return the session id that the gate vouches for."""
    return str(_user().get("sid", ""))


def shortcuts_on() -> bool:
    """Say whether the person wants single-key shortcuts."""
    return _user().get("keys") != "off"


def enter(*, touch: bool = True) -> Actor:
    """Return the actor of this rerun and speak their language; stops the script when the session is over.

    Args:
        touch: count this as activity; background refreshes pass False so that an idle tab ends.
    """
    words.use(str(_user().get("lang", "zh")))
    found = accounts.actor_of(deps(), sid(), touch=touch) if sid() else None
    if found is None or found.login != unquote(str(_user().get("login", ""))):
        st.html(f'<p><a href="{_base()}/login">{words._("登录已结束，请重新登录")}</a></p>')
        st.stop()
    return found


def acting() -> Actor:
    """Return the actor for a callback.

    Raises:
        NotAllowed: the session ended since the screen was drawn.
    """
    words.use(str(_user().get("lang", "zh")))
    found = accounts.actor_of(deps(), sid(), touch=True) if sid() else None
    if found is None:
        raise NotAllowed(words._("登录已结束，请重新登录"))
    return found


def _base() -> str:
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def link(path: str) -> str:
    """Return the address of one of our own routes, e.g. ``/logout``."""
    return f"{_base()}{path}"
