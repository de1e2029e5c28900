"""Charts of counts over time; every chart has words beside it and a table under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import altair as alt
import streamlit as st

from monitor.core.ports import TrendCell
from monitor.words import _
from review_ui.parts.words import HERE

PICK = "pick"
# Ordered so that neighbours differ in lightness too, for people who do not tell hues apart.
_COLOURS = ("#9f2b33", "#2f6f9f", "#c98a1b", "#3f7d58", "#7a5195", "#5b5650", "#d45087", "#1b9e9e")
SENTIMENT_COLOURS = {"negative": "#9f2b33", "neutral": "#8d867d", "positive": "#2f6f9f"}


def slot(at: datetime, step: str) -> str:
    """Return the label of a step on the time axis, in our own time whatever the browser's zone is."""
    return at.astimezone(HERE).strftime("%m-%d %H:%M" if step == "hour" else "%m-%d")


def rows(cells: Sequence[TrendCell], name: Callable[[str], str], step: str) -> list[dict[str, object]]:
    """Return visible cells as rows for a chart, oldest first; hidden ones are said beside it, never drawn."""
    return [
        {"slot": slot(cell.at, step), "key": cell.key, "name": name(cell.key), "n": cell.n}
        for cell in sorted(cells, key=lambda cell: cell.at)
        if not cell.hidden
    ]


def _inline(data: list[dict[str, object]]) -> Any:
    make: Any = alt.Data
    return make(values=data)


def _colour(data: Sequence[Mapping[str, object]], fixed: Mapping[str, str] | None) -> Any:
    names = {str(row["key"]): str(row["name"]) for row in data}
    keys = sorted(names)
    shades = [(fixed or {}).get(key, _COLOURS[place % len(_COLOURS)]) for place, key in enumerate(keys)]
    return alt.Color(
        "name:N",
        title=None,
        scale=alt.Scale(domain=[names[key] for key in keys], range=shades),
        legend=alt.Legend(orient="bottom", columns=4, labelLimit=160),
    )


def over_time(
    cells: Sequence[TrendCell],
    key: str,
    name: Callable[[str], str],
    step: str,
    alt_text: str,
    fixed: Mapping[str, str] | None = None,
) -> tuple[datetime, str] | None:
    """Draw stacked bars over time and return the (time, key) of the bar that was clicked.

    Args:
        cells: counts; hidden ones are left out of the drawing.
        key: widget key.
        name: screen name of a cell's key.
        step: ``hour``, ``day`` or ``week``.
        alt_text: what the chart shows, for those who do not see it.
        fixed: colours by key where the key has a meaning.
    """
    data = rows(cells, name, step)
    if not data:
        return None
    # Every step of the period stands on the axis, also one of which every cell is hidden.
    axis = list(dict.fromkeys(slot(cell.at, step) for cell in sorted(cells, key=lambda cell: cell.at)))
    pick = alt.selection_point(name=PICK, fields=["slot", "key"])
    chart = (
        alt.Chart(_inline(data))
        .mark_bar()
        .encode(
            x=alt.X(
                "slot:O",
                title=None,
                scale=alt.Scale(domain=axis),
                axis=alt.Axis(labelAngle=-40, labelOverlap=True),
            ),
            y=alt.Y("n:Q", title=_("帖文数"), axis=alt.Axis(tickMinStep=1)),
            color=_colour(data, fixed),
            opacity=alt.condition(pick, alt.value(1.0), alt.value(0.35)),
            tooltip=[
                alt.Tooltip("slot:O", title=_("时间")),
                alt.Tooltip("name:N", title=_("分类")),
                alt.Tooltip("n:Q", title=_("帖文数")),
            ],
        )
        .add_params(pick)
        .properties(height=260)
    )
    event: Any = st.altair_chart(chart, key=key, on_select="rerun", alt=alt_text)
    return _picked(event, {slot(cell.at, step): cell.at for cell in cells})


def _picked(event: Any, moments: Mapping[str, datetime]) -> tuple[datetime, str] | None:
    chosen = event["selection"].get(PICK) if event else None
    if not chosen:
        return None
    at, group = moments.get(str(chosen[0].get("slot"))), chosen[0].get("key")
    return None if at is None or group is None else (at, str(group))


def hidden_note(cells: Sequence[TrendCell], floor: int) -> None:
    """Say how many cells are withheld, and why."""
    hidden = sum(cell.hidden for cell in cells)
    if hidden:
        text = _("另有 {n} 格不足 {floor} 人，为保护个人不显示。").format(n=hidden, floor=floor)
        st.html(f'<p class="hy-meta">{text}</p>')
