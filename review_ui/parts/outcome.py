"""One line that says what the last press on a page did; refusals are words, never lost work."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from monitor.core.errors import HuiyinError
from monitor.core.model import Actor
from review_ui import session
from review_ui.parts import card, refusal

_KEY = "outcome"


def attempt(act: Callable[[Actor], str]) -> bool:
    """Run ``act`` for the person signed in; its words, or the refusal's, are shown on the next run.

    Args:
        act: does one thing and returns what to say (plain text).
    """
    try:
        said = act(session.acting())
    except HuiyinError as refused:
        st.session_state[_KEY] = ("halt", escape(refusal.words(refused)))
        return False
    st.session_state[_KEY] = ("done", escape(said))
    return True


def show() -> None:
    """Draw the line once."""
    kind, text = st.session_state.pop(_KEY, ("", ""))
    if text:
        card.note(kind, text)
