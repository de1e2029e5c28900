"""答复台: what an opinion leader is asked to answer, with verified facts, sources and a draft."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Actor, CaseKind, CaseState, Claim, ClaimState
from monitor.core.ports import CaseFilter
from monitor.usecases import claims, replies
from monitor.usecases.replies import Prompt
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, dossier, outcome, words, writing

WHERE = CaseFilter(kinds=(CaseKind.CLARIFICATION,), states=(CaseState.PENDING,))
_STATES = tuple(state for state in ClaimState if state is not ClaimState.EXPIRED)


def spread(prompt: Prompt) -> None:
    """Say where the statement runs: one answer goes to each of these places."""
    if not prompt.spread:
        return
    places = "；".join(
        _("{where}：{n} 条").format(where=escape(str(where)), n=n) for where, n in prompt.spread.items()
    )
    card.note("note", _("传播于 {places}。一次答复，各处都发。").format(places=places))


def facts(prompt: Prompt) -> None:
    """Draw the statement, its verdict, the verified facts and their sources."""
    card.meta(f"<b>{_('说法')}</b>")
    st.html(f'<p class="hy-line">{escape(prompt.statement)}</p>')
    verdict = words.claim_state_name(prompt.claim.state) if prompt.claim else _("待核实")
    card.meta(f"<b>{_('核实结论')}</b> {card.tags([verdict], hot=True)}")
    for title, text in ((_("事实"), prompt.facts), (_("来源"), prompt.sources)):
        shown = "<br>".join(escape(line) for line in text if line) or _("还没有")
        card.meta(f"<b>{title}</b>")
        st.html(f'<p class="hy-line">{shown}</p>')
    for hint in prompt.hints:
        card.meta("· " + escape(str(hint)))


def _save_claim(case_id: int, held: Claim | None) -> None:
    def act(actor: Actor) -> str:
        field = {name: st.session_state.get(f"{name}_{case_id}", "") for name in ("said", "fact", "source")}
        state = st.session_state.get(f"verdict_{case_id}") or ClaimState.UNVERIFIED
        claims.save_claim(
            session.deps(),
            actor,
            case_id,
            field["said"],
            state,
            field["fact"],
            field["source"],
            held.valid_until if held else None,
            held.version if held else 0,
        )
        return _("核实结论已保存")

    outcome.attempt(act)


def verify(prompt: Prompt, view: CaseView) -> None:
    """Draw the form that records what was found out."""
    case = view.case.id
    with st.expander(_("填写核实结论")):
        st.text_input(_("说法（一句话）"), value=prompt.statement, key=f"said_{case}", max_chars=300)
        st.segmented_control(
            _("结论"),
            _STATES,
            default=prompt.claim.state if prompt.claim and prompt.claim.state in _STATES else _STATES[0],
            required=True,
            format_func=words.claim_state_name,
            key=f"verdict_{case}",
        )
        held = prompt.claim
        st.text_area(_("事实（公开用语）"), value=held.clarification if held else "", key=f"fact_{case}")
        st.text_area(_("来源（文件、会议、链接）"), value=held.sources if held else "", key=f"source_{case}")
        st.button(
            _("保存结论"),
            key=f"save_claim_{case}_{held.version if held else 0}",
            on_click=_save_claim,
            args=(case, held),
            disabled="claim_verdict" not in view.allowed,
        )


def desk(actor: Actor, case_id: int) -> None:
    """Draw one prompt: evidence first, then the field for the answer."""
    view = dossier.opened(actor, case_id)
    if view is None:
        return
    prompt = replies.suggest(session.deps(), actor, case_id)
    dossier.heading(view.case)
    spread(prompt)
    facts(prompt)
    verify(prompt, view)
    with st.expander(_("相关帖文")):
        dossier.posts(view)
    writing.box(view, actor, prompt.draft)
    if view.replies:
        card.meta(f"<b>{_('答复')}</b>")
        dossier.replies(view)


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("答复台"))
    outcome.show()
    left, right = st.columns([1, 2], gap="large")
    with left:
        chosen = dossier.pick(dossier.listed(WHERE), "answer")
    with right:
        if chosen is None:
            card.note("note", _("没有等待澄清的说法。"))
        else:
            desk(actor, chosen)


if __name__ == "__main__":
    show()
