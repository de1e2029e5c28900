"""我的处理: one's own last decisions, with undo."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Actor
from monitor.usecases import decide, queue
from monitor.usecases.views import DecisionRow
from monitor.words import _
from review_ui import session
from review_ui.parts import card, outcome, words

LIMIT = 50


def _undo(decision_id: int) -> None:
    def act(actor: Actor) -> str:
        case = decide.undo(session.deps(), actor, decision_id)
        return _("已撤销 #{id}").format(id=case.id)

    outcome.attempt(act)


def line(row: DecisionRow) -> None:
    """Draw one decision and its undo."""
    made = row.decision
    left, right = st.columns([5, 1], vertical_alignment="center")
    with left:
        state = escape(words.state_name(row.case.state))
        st.html(
            f'<p class="hy-line">{words.moment(made.at)} · #{row.case.id} · {card.decision_line(made)}'
            f" · {state}{'<br>' + escape(made.note) if made.note else ''}</p>"
        )
    with right:
        st.button(
            _("撤销"),
            key=f"undo_{made.id}",
            on_click=_undo,
            args=(made.id,),
            disabled=not row.can_undo,
        )


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("我的处理"))
    card.meta(_("只有你自己看得到。十分钟内可以撤销；之后可以在申诉中恢复。"))
    outcome.show()
    rows = queue.mine(session.deps(), actor, LIMIT)
    for row in rows:
        line(row)
    if not rows:
        card.note("note", _("还没有处置记录。"))


if __name__ == "__main__":
    show()
