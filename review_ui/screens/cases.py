"""诉求办理: cases by due time; timeline, the moves that the table allows, the answer."""

from __future__ import annotations

import streamlit as st

from monitor.core.model import Actor, Case, CaseKind, Role
from monitor.core.ports import CaseFilter
from monitor.core.roles import visible_kinds
from monitor.core.states import WAITING_FOR_STAFF
from monitor.usecases import cases, replies
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, dossier, outcome, words, writing

LIMIT = 30
_KINDS = (CaseKind.GRIEVANCE, CaseKind.CARE, CaseKind.CLARIFICATION)


def choose(actor: Actor) -> CaseFilter:
    """Let the person narrow the list."""
    seen = [kind for kind in _KINDS if kind in visible_kinds(actor)]
    kind = st.segmented_control(
        _("种类"), seen, default=seen[0], required=True, format_func=words.kind_name, key="cases_kind"
    )
    every = st.toggle(_("包括已办结"), key="cases_all")
    states = () if every else tuple(sorted(WAITING_FOR_STAFF))
    unit = actor.unit if actor.has(Role.HANDLER) and not actor.has(Role.OFFICER) else None
    return CaseFilter(kinds=(kind or seen[0],), states=states, unit=unit)


def _by_due(case: Case) -> tuple[bool, float, int]:
    return (case.due_at is None, case.due_at.timestamp() if case.due_at else 0.0, case.id)


def _move(action: str, case_id: int, version: int) -> None:
    def act(actor: Actor) -> str:
        field = {
            n: str(st.session_state.get(f"{n}_{case_id}", "")).strip() for n in ("reason", "unit", "who")
        }
        cases.move(
            session.deps(),
            actor,
            case_id,
            version,
            action,
            field["reason"],
            field["unit"] or None,
            field["who"] or None,
        )
        return f"#{case_id} · {card.move_name(action)}"

    outcome.attempt(act)


def moves(view: CaseView) -> None:
    """Draw the moves allowed now, with the fields they may need."""
    possible = [name.removeprefix("move:") for name in view.allowed if name.startswith("move:")]
    possible = [name for name in possible if name not in ("answer", "rate")]
    if not possible:
        return
    case = view.case
    card.meta(f"<b>{_('下一步')}</b>")
    left, right = st.columns(2)
    with left:
        st.text_input(_("承办单位（转办时填）"), key=f"unit_{case.id}", value=case.unit or "")
    with right:
        st.text_input(_("承办人账号（办理时填）"), key=f"who_{case.id}", value=case.assignee or "")
    st.text_input(_("理由（不予受理、退回、补充、延期时必填）"), key=f"reason_{case.id}", max_chars=500)
    with st.container(horizontal=True):
        for name in possible:
            st.button(
                card.move_name(name),
                key=f"move_{name}_{case.id}_{case.version}",
                on_click=_move,
                args=(name, case.id, case.version),
            )


def timeline(view: CaseView) -> None:
    """Draw the history of the case and what left for the channels."""
    card.meta(f"<b>{_('经过')}</b>")
    card.history(view)
    if view.effects:
        card.meta(f"<b>{_('发往渠道')}</b>")
        card.effects(view.effects)


def opened(actor: Actor, case_id: int) -> None:
    """Draw one case."""
    view = dossier.opened(actor, case_id)
    if view is None:
        return
    dossier.heading(view.case)
    dossier.posts(view)
    dossier.decisions(view)
    moves(view)
    if "reply" in view.allowed:
        prompt = replies.suggest(session.deps(), actor, case_id)
        writing.box(view, actor, prompt.draft)
    card.meta(f"<b>{_('答复')}</b>")
    dossier.replies(view)
    timeline(view)


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("诉求办理"))
    outcome.show()
    where = choose(actor)
    rows = sorted(dossier.listed(where, LIMIT), key=lambda row: _by_due(row.case))
    left, right = st.columns([1, 2], gap="large")
    with left:
        chosen = dossier.pick(rows, "cases")
    with right:
        if chosen is None:
            card.note("note", _("没有待办的诉求。"))
        else:
            opened(actor, chosen)


if __name__ == "__main__":
    show()
