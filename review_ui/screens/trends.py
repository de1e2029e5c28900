"""趋势: volume, sentiment and topics over time, down to the posts; small groups stay hidden."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import streamlit as st

from monitor.core.errors import NotAllowed
from monitor.core.model import Actor
from monitor.core.ports import PostFilter, TrendCell
from monitor.core.roles import may
from monitor.usecases import trends
from monitor.words import _
from review_ui import session
from review_ui.parts import card, charts, words

SPANS = {"day": 1, "week": 7, "month": 30, "quarter": 91}
STEP_OF = {"day": "hour", "week": "day", "month": "day", "quarter": "week"}
WIDTH = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
DRILL = 30


def period() -> tuple[PostFilter, str]:
    """Let the person choose the period; returns the filter and the step of its bars."""
    names = {"day": _("24 小时"), "week": _("7 天"), "month": _("30 天"), "quarter": _("一季度")}
    chosen = st.segmented_control(
        _("时间"),
        list(SPANS),
        default="week",
        required=True,
        format_func=lambda key: names[key],
        key="span",
        bind="query-params",
    )
    chosen = chosen if chosen in SPANS else "week"
    until = session.deps().clock.now()
    return PostFilter(since=until - timedelta(days=SPANS[chosen]), until=until), STEP_OF[chosen]


def figures(actor: Actor, where: PostFilter) -> None:
    """Draw the totals of the period."""
    names = {
        "posts": _("帖文"),
        "authors": _("发言人数"),
        "grievance": _("诉求"),
        "rumour": _("待核说法"),
        "spam": _("广告"),
        "abuse": _("辱骂"),
        "risk": _("人身风险"),
    }
    found = trends.totals(session.deps(), actor, where)
    if "hidden" in found:
        floor = session.deps().rules.inside_floor
        card.note("note", _("没有数据，或不足 {n} 人发言：不显示。").format(n=floor))
        return
    with st.container(horizontal=True, key="totals"):
        for key, label in names.items():
            if key in found:
                st.metric(label, f"{found[key]:,}", width=120)


def _channel(key: str) -> str:
    return key or _("未知渠道")


def chart(
    actor: Actor, where: PostFilter, step: str, group: str, name: Callable[[str], str]
) -> tuple[datetime, str] | None:
    """Draw one chart with its table and return the bar that was clicked."""
    cells: list[TrendCell] = trends.series(session.deps(), actor, where, step, group)
    titles = {"channel": _("各渠道的帖文数"), "sentiment": _("情绪"), "topic": _("主题")}
    st.subheader(titles[group])
    fixed = charts.SENTIMENT_COLOURS if group == "sentiment" else None
    stamp = where.since.date().isoformat() if where.since else ""
    picked = charts.over_time(cells, f"chart_{group}_{step}_{stamp}", name, step, titles[group], fixed)
    floor = session.deps().rules.inside_floor
    if not any(not cell.hidden for cell in cells):
        card.note("note", _("没有数据，或每格都不足 {n} 人。").format(n=floor))
    charts.hidden_note(cells, floor)
    with st.expander(_("数据表")):
        st.table(_table(cells, name))
    return picked


def _table(cells: list[TrendCell], name: Callable[[str], str]) -> list[dict[str, object]]:
    return [
        {
            _("时间"): words.moment(cell.at),
            _("分类"): name(cell.key),
            _("帖文数"): _("不显示") if cell.hidden else str(cell.n),
            _("发言人数"): _("不显示") if cell.hidden else str(cell.authors),
        }
        for cell in cells
    ]


def narrowed(where: PostFilter, group: str, step: str, picked: tuple[datetime, str]) -> PostFilter:
    """Return the filter of one bar of a chart."""
    at, key = picked
    return PostFilter(
        since=at,
        until=at + WIDTH[step],
        channel=key if group == "channel" else where.channel,
        topic=key if group == "topic" else where.topic,
        sentiment=key if group == "sentiment" else where.sentiment,
    )


def posts(actor: Actor, where: PostFilter, title: str) -> None:
    """Draw the posts behind a bar, with its frequent words; refused where few people spoke."""
    st.subheader(_("构成：{what}").format(what=title))
    if not may(actor, "trends.drill"):
        card.note("note", _("只有工会干部可以看到具体帖文。"))
        return
    try:
        found = trends.drill(session.deps(), actor, where, None, DRILL)
    except NotAllowed:
        floor = session.deps().rules.inside_floor
        card.note("note", _("不足 {n} 人发言，为保护个人不展开。").format(n=floor))
        return
    hot = getattr(session.application(), "hot_words", None)
    if hot is not None and found:
        frequent = hot([view.post.text for view in found])
        named = [str(word[0]) if isinstance(word, tuple) else str(word) for word in frequent[:20]]
        card.meta(f"{_('常见词')}：{card.tags(named)}")
    now = session.deps().clock.now()
    for view in found:
        card.meta(card.where(view.post, now))
        card.text(view, small=True)


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("趋势"))
    where, step = period()
    figures(actor, where)
    groups: dict[str, Callable[[str], str]] = {
        "channel": _channel,
        "sentiment": words.sentiment_name,
        "topic": words.topic_name,
    }
    chosen: tuple[str, tuple[datetime, str]] | None = None
    wide = st.container()
    left, right = st.columns(2, gap="large")
    for (group, name), place in zip(groups.items(), (wide, left, right), strict=True):
        with place:
            picked = chart(actor, where, step, group, name)
        if picked is not None:
            chosen = (group, picked)
    if chosen is None:
        card.meta(_("点一根柱子，看它由哪些帖文构成。"))
        return
    group, (at, key) = chosen
    title = f"{words.moment(at)} · {groups[group](key)}"
    posts(actor, narrowed(where, group, step, (at, key)), title)


if __name__ == "__main__":
    show()
