"""Turning pages by key, never by offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import streamlit as st

from monitor.core.model import Label
from monitor.words import _
from review_ui.parts import words


def _trail(name: str) -> list[Any]:
    return cast(list[Any], st.session_state.setdefault(f"page_{name}", []))


def position(name: str, filters: object = None) -> Any:
    """Return the key after which the page begins; a changed filter starts over."""
    seen = f"page_{name}_filters"
    if st.session_state.get(seen) != filters:
        st.session_state[seen] = filters
        st.session_state[f"page_{name}"] = []
    trail = _trail(name)
    return trail[-1] if trail else None


def _forward(name: str, key: Any) -> None:
    _trail(name).append(key)


def _back(name: str) -> None:
    if _trail(name):
        _trail(name).pop()


def buttons(name: str, keys: Sequence[Any], size: int) -> None:
    """Draw previous and next; ``keys`` are those of the rows on this page, in order."""
    with st.container(horizontal=True, key=f"pager_{name}"):
        st.button(
            _("上一页"),
            key=f"back_{name}",
            on_click=_back,
            args=(name,),
            disabled=not _trail(name),
            shortcut="Left",
        )
        st.button(
            _("下一页"),
            key=f"forward_{name}",
            on_click=_forward,
            args=(name, keys[-1] if keys else None),
            disabled=len(keys) < size,
            shortcut="Right",
        )


def strongest(scores: Mapping[str, float]) -> str:
    """Return the strongest score of a post in words, or nothing when none stands out."""
    shown = {
        Label(k): v
        for k, v in scores.items()
        if k in set(Label) and k not in ("sentiment", "topic", "urgency")
    }
    best = max(shown, key=lambda label: shown[label], default=None)
    if best is None or shown[best] < 0.5:
        return ""
    return f"{words.label_name(best)} {shown[best]:.0%}"
