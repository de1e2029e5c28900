"""One case opened: its posts, what was decided, its answers, its history."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from monitor.core.errors import HuiyinError
from monitor.core.model import Actor, Case, Reply
from monitor.core.ports import CaseFilter
from monitor.usecases import queue
from monitor.usecases.views import CaseRow, CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, refusal, words


def opened(actor: Actor, case_id: int) -> CaseView | None:
    """Return one case as this person may see it; says why when they may not."""
    try:
        return queue.view(session.deps(), actor, case_id)
    except HuiyinError as refused:
        card.note("halt", escape(refusal.words(refused)))
        return None


def heading(case: Case) -> None:
    """Draw number, kind, state, unit and due time of a case."""
    now = session.deps().clock.now()
    facts = [words.kind_name(case.kind), words.state_name(case.state)]
    if case.topic:
        facts.append(words.topic_name(case.topic))
    if case.urgency:
        facts.append(words.urgency_name(case.urgency))
    if case.unit:
        facts.append(case.unit)
    if case.assignee:
        facts.append(_("承办：{who}").format(who=case.assignee))
    if case.redo_count:
        facts.append(_("重办 {n} 次").format(n=case.redo_count))
    due = ""
    if case.due_at:
        late = case.due_at < now
        left = _("期限 {at}（{left}）").format(
            at=words.moment(case.due_at), left=words.until(case.due_at, now)
        )
        due = card.tags([left], hot=late)
    reference = f" · {escape(case.reference)}" if case.reference else ""
    st.html(f'<p class="hy-meta"><b>#{case.id}</b>{reference} {card.tags(facts)}{due}</p>')


def posts(view: CaseView, most: int = 5) -> None:
    """Draw the posts of a case; the first one whole, the others small."""
    now = session.deps().clock.now()
    for place, one in enumerate(view.posts[:most]):
        card.meta(card.where(one.post, now))
        card.text(one, small=place > 0)
    if view.case.post_count > most:
        card.meta(_("还有 {n} 条同类帖文").format(n=view.case.post_count - most))


def reply_block(reply: Reply) -> None:
    """Draw one answer as it stands."""
    state = escape(words.reply_state_name(reply.state))
    who = escape(f"{reply.author}（{words.role_word(reply.role)}）")
    approved = " · " + _("批准：{who}").format(who=escape(reply.approved_by)) if reply.approved_by else ""
    card.meta(
        f"{card.tags([words.reply_state_name(reply.state)])} {who}{approved} · {words.moment(reply.created_at)}"
    )
    signature = f"\n{escape(reply.signature)}" if reply.signature else ""
    st.html(f'<p class="hy-post hy-small hy-plain" data-state="{state}">{escape(reply.text)}{signature}</p>')


def replies(view: CaseView) -> None:
    """Draw the answers of a case."""
    if not view.replies:
        card.meta(_("还没有答复。"))
    for reply in view.replies:
        reply_block(reply)


def decisions(view: CaseView) -> None:
    """Draw what was decided in this case."""
    for made in view.decisions:
        explanation = f"<br>{escape(made.explanation)}" if made.explanation else ""
        who = escape(made.actor)
        st.html(
            f'<p class="hy-line">{words.moment(made.at)} · {who} · {card.decision_line(made)}{explanation}</p>'
        )


def row_name(row: CaseRow) -> str:
    """Return one line for a list of cases: number, state, due (never member text: this is a label)."""
    case = row.case
    now = session.deps().clock.now()
    due = f" · {words.until(case.due_at, now)}" if case.due_at else ""
    return f"#{case.id} · {words.state_name(case.state)}{due}"


def asked_for() -> int | None:
    """Return the item that the address names (``?item=7``), once."""
    raw = st.query_params.get("item")
    if raw is None:
        return None
    del st.query_params["item"]
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 16 else None


def pick(rows: Sequence[CaseRow], name: str) -> int | None:
    """Let the person open one case of a list; the text of each stands beside its button."""
    key = f"open_{name}"
    wanted = asked_for()
    if wanted is not None:
        st.session_state[key] = wanted

    def choose(case_id: int) -> None:
        st.session_state[key] = case_id

    chosen = st.session_state.get(key)
    ids = [row.case.id for row in rows]
    if chosen is None and ids:
        chosen = ids[0]
    for row in rows:
        here = row.case.id == chosen
        st.button(
            row_name(row),
            key=f"{key}_{row.case.id}_{row.case.version}",
            on_click=choose,
            args=(row.case.id,),
            type="primary" if here else "secondary",
            width="stretch",
        )
        topic = f"<b>{escape(words.topic_name(row.case.topic))}</b> · " if row.case.topic else ""
        holder = " · " + _("{who} 正在处理").format(who=escape(row.holder)) if row.holder else ""
        st.html(f'<p class="hy-line">{topic}{escape(row.first_text[:90])}{holder}</p>')
    return None if chosen is None else int(chosen)


def listed(where: CaseFilter, limit: int = 20) -> list[CaseRow]:
    """Return the cases of a list in queue order."""
    return queue.page(session.deps(), session.enter(), where, None, limit)
