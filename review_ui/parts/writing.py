"""Writing an answer: draft, who signs, submit for approval. A machine's draft is only ever a beginning."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Actor, Reply, ReplyState
from monitor.usecases import replies
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, outcome

LONGEST = 2000


def own_draft(view: CaseView) -> Reply | None:
    """Return the draft of this case that is being worked on."""
    return next((r for r in reversed(view.replies) if r.state is ReplyState.DRAFT), None)


def _save(case_id: int, key: str, draft: Reply | None) -> None:
    def act(actor: Actor) -> str:
        text = str(st.session_state.get(key, "")).strip()
        if draft is None:
            replies.draft(session.deps(), actor, case_id, text)
        else:
            replies.draft(session.deps(), actor, case_id, text, draft.id, draft.version)
        return _("#{id} 的答复已提交，等另一位同事批准。").format(id=case_id)

    outcome.attempt(act)


def _withdraw(reply: Reply) -> None:
    def act(actor: Actor) -> str:
        replies.withdraw(session.deps(), actor, reply.id, reply.version)
        return _("草稿已撤回")

    outcome.attempt(act)


def box(view: CaseView, actor: Actor, begin: str = "") -> None:
    """Draw the field and the submit button.

    Args:
        view: the case to answer.
        actor: who writes; their name and role are always shown with the answer.
        begin: a suggested text to start from.
    """
    draft = own_draft(view)
    case = view.case
    key = f"draft_{case.id}_{draft.version if draft else 0}"
    name = actor.name or actor.login
    card.meta(_("署名会一同公开：{name}").format(name=escape(f"{name} {actor.title}".strip())))
    st.text_area(_("答复"), value=draft.text if draft else begin, key=key, height=180, max_chars=LONGEST)
    with st.container(horizontal=True):
        st.button(
            _("提交审批") if draft is None else _("更新草稿"),
            key=f"submit_{case.id}_{case.version}",
            on_click=_save,
            args=(case.id, key, draft),
            type="primary",
            shortcut="Ctrl+Enter",
            disabled="reply" not in view.allowed,
        )
        if draft is not None:
            st.button(
                _("撤回草稿"), key=f"withdraw_{draft.id}_{draft.version}", on_click=_withdraw, args=(draft,)
            )
