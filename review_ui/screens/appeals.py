"""申诉复核: an appeal is decided by another person than the one whose decision it is about."""

from __future__ import annotations

import streamlit as st

from monitor.core.model import Action, Actor, CaseKind, CaseState
from monitor.core.ports import CaseFilter
from monitor.usecases import decide
from monitor.usecases.decide import DecisionRequest
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, dossier, outcome, words

WHERE = CaseFilter(kinds=(CaseKind.APPEAL,), states=(CaseState.PENDING,))


def _decide(action: Action, case_id: int, version: int) -> None:
    def act(actor: Actor) -> str:
        why = str(st.session_state.get(f"why_{case_id}", "")).strip()
        request = DecisionRequest(case_id, version, action, explanation=why)
        decide.decide(session.deps(), actor, request)
        return _("申诉 #{id}：{what}").format(id=case_id, what=words.action_name(action))

    outcome.attempt(act)


def acts(view: CaseView) -> None:
    """Draw the two ways an appeal can end."""
    case = view.case
    st.text_area(_("理由（写给作者）"), key=f"why_{case.id}", max_chars=1000)
    names = {Action.RESTORE: _("申诉成立：恢复帖文"), Action.UPHOLD: _("维持原处置")}
    with st.container(horizontal=True):
        for action, label in names.items():
            st.button(
                label,
                key=f"{action}_{case.id}_{case.version}",
                on_click=_decide,
                args=(action, case.id, case.version),
                disabled=action.value not in view.allowed,
            )
    if not {"restore", "uphold"} & set(view.allowed):
        card.note("note", _("这是你参与过的处置，要由另一位同事复核。"))


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("申诉复核"))
    outcome.show()
    left, right = st.columns([1, 2], gap="large")
    with left:
        rows = dossier.listed(WHERE)
        chosen = dossier.pick(rows, "appeals")
    if not rows or chosen is None or chosen not in {row.case.id for row in rows}:
        card.note("note", _("没有待复核的申诉。"))
        return
    with right:
        view = dossier.opened(actor, chosen)
        if view is None:
            return
        dossier.heading(view.case)
        dossier.posts(view)
        card.meta(f"<b>{_('原处置')}</b>")
        dossier.decisions(view)
        card.meta(f"<b>{_('经过')}</b>")
        card.history(view)
        acts(view)


if __name__ == "__main__":
    show()
