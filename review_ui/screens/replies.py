"""回复审批: another named person reads a draft before it leaves."""

from __future__ import annotations

import streamlit as st

from monitor.core.model import Actor, Reply
from monitor.usecases import queue, replies
from monitor.usecases.replies import ReplyRow
from monitor.words import _
from review_ui import session
from review_ui.parts import card, dossier, outcome

LIMIT = 30


def _approve(reply: Reply) -> None:
    def act(actor: Actor) -> str:
        replies.approve(session.deps(), actor, reply.id, reply.version)
        return _("已批准，正在发往各渠道")

    outcome.attempt(act)


def _withdraw(reply: Reply) -> None:
    def act(actor: Actor) -> str:
        replies.withdraw(session.deps(), actor, reply.id, reply.version)
        return _("已退回，草稿撤下")

    outcome.attempt(act)


def line(actor: Actor, row: ReplyRow) -> None:
    """Draw one draft with the case it answers."""
    reply = row.reply
    with st.container(border=True, key=f"reply_{reply.id}"):
        view = queue.view(session.deps(), actor, reply.case_id)
        dossier.heading(view.case)
        dossier.posts(view, 1)
        dossier.reply_block(reply)
        own = reply.author == actor.login and session.deps().rules.two_person_reply
        with st.container(horizontal=True):
            st.button(
                _("批准并发出"),
                key=f"approve_{reply.id}_{reply.version}",
                on_click=_approve,
                args=(reply,),
                type="primary",
                disabled=own,
            )
            st.button(_("退回"), key=f"back_{reply.id}_{reply.version}", on_click=_withdraw, args=(reply,))
        if own:
            card.meta(_("自己起草的答复要由另一位同事批准。"))


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("回复审批"))
    outcome.show()
    rows = replies.inbox(session.deps(), actor, LIMIT)
    for row in rows:
        line(actor, row)
    if not rows:
        card.note("note", _("没有待审批的回复。"))


if __name__ == "__main__":
    show()
