"""列表: what waits, filtered, with clusters; and a search over texts."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Actor, CaseKind, CaseState
from monitor.core.ports import CaseFilter
from monitor.usecases import queue
from monitor.words import _
from review_ui import session
from review_ui.parts import card, paging, words

PAGE = 50
_KINDS = (CaseKind.MODERATION, CaseKind.CARE, CaseKind.CLARIFICATION)


def _filter() -> CaseFilter:
    kind = st.segmented_control(
        _("种类"), _KINDS, default=_KINDS[0], required=True, format_func=words.kind_name, key="browse_kind"
    )
    channel = st.text_input(_("渠道（留空为全部）"), key="browse_channel").strip() or None
    return CaseFilter(kinds=(kind or _KINDS[0],), states=(CaseState.PENDING,), channel=channel)


def waiting(actor: Actor) -> None:
    """Draw one page of the cases that wait, in the order of the queue."""
    where = _filter()
    after = paging.position("browse", (str(where.kinds), str(where.channel)))
    rows = queue.page(session.deps(), actor, where, after, PAGE)
    now = session.deps().clock.now()
    table = [
        {
            _("编号"): row.case.id,
            _("内容"): row.first_text[:120],
            _("同文"): row.case.post_count,
            _("渠道"): row.case.channel,
            _("等了"): words.ago(row.case.opened_at, now),
            _("机器判断"): paging.strongest(row.scores),
            _("谁在处理"): row.holder or "",
        }
        for row in rows
    ]
    if not table:
        card.note("note", _("没有待处理的内容。"))
        return
    st.dataframe(table, hide_index=True, key=f"grid_{after}", column_config={_("内容"): {"width": "large"}})
    paging.buttons("browse", [(row.case.rank, row.case.id) for row in rows], PAGE)


def search(actor: Actor) -> None:
    """Search the texts of posts; never by author."""
    query = st.text_input(_("在帖文中查找"), key="browse_query", max_chars=100).strip()
    if not query:
        return
    found = queue.search(session.deps(), actor, query, None, PAGE)
    card.meta(_("最新的 {n} 条").format(n=len(found)))
    now = session.deps().clock.now()
    for view in found:
        card.meta(card.where(view.post, now) + f" · {escape(view.post.external_id)}")
        card.text(view, small=True)


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("列表"))
    listed, searched = st.tabs([_("待处理"), _("查找")])
    with listed:
        waiting(actor)
    with searched:
        search(actor)


if __name__ == "__main__":
    show()
