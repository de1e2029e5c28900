"""The script that every rerun begins with: session, language, navigation by role."""

from __future__ import annotations

import streamlit as st

from review_ui import navigation, session
from review_ui.parts import guard, look


def show() -> None:
    """Draw the frame and the page that was asked for."""
    look.configure()
    actor = session.enter()
    guard.mount()
    page = st.navigation(navigation.sections(actor), position="sidebar", expanded=True)
    with st.sidebar:
        navigation.identity(actor)
    page.run()


show()
