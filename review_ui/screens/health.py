"""渠道与健康: parts, channels, work that waits, what could not be read and why."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

from monitor.core.model import Actor
from monitor.core.ports import ChannelStatus
from monitor.core.roles import may
from monitor.usecases import effects, health, learning
from monitor.usecases.health import HealthView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, outcome, words


def parts(view: HealthView) -> None:
    """Draw the parts of the service and their heartbeats."""
    st.subheader(_("部件"))
    now = session.deps().clock.now()
    rows = [
        {
            _("部件"): part.name,
            _("状态"): state_word(part.state),
            _("心跳"): words.ago(part.beat_at, now),
            _("启动"): words.moment(part.started_at),
            _("重启次数"): str(part.restarts),
            _("说明"): part.note,
        }
        for part in view.parts
    ]
    _table(rows, _("还没有部件报到。"))


def state_word(state: str) -> str:
    """Return a state of a part or channel in words; an unknown one is shown as it is."""
    names = {
        "running": _("运行中"),
        "ok": _("正常"),
        "starting": _("启动中"),
        "stopped": _("已停止"),
        "stopping": _("正在停止"),
        "failed": _("故障"),
        "failing": _("故障"),
        "error": _("故障"),
        "crashed": _("已崩溃"),
        "paused": _("已暂停"),
        "new": _("等待首条"),
        "idle": _("空闲"),
        "stale": _("失联"),
    }
    return names.get(state, state)


def _table(rows: list[dict[str, str]], empty: str) -> None:
    if rows:
        st.dataframe(rows, hide_index=True)
    else:
        card.meta(escape(empty))


def channels(view: HealthView) -> None:
    """Draw the channels: when the last post came, what went wrong, when we try again."""
    st.subheader(_("渠道"))
    rows = [
        {
            _("渠道"): one.name,
            _("类型"): one.type,
            _("状态"): state_word(one.state),
            _("最近一条"): words.moment(one.last_post_at),
            _("在路上"): "" if one.lag is None else _("{n} 秒").format(n=f"{one.lag.total_seconds():,.0f}"),
            _("错误率"): _rate(one),
            _("收到"): f"{one.received:,}",
            _("隔离"): f"{one.quarantined:,}",
            _("最近错误"): one.last_error or "",
            _("下次重试"): words.moment(one.next_retry_at) if one.next_retry_at else "",
            _("能力"): "、".join(one.capabilities),
        }
        for one in view.channels
    ]
    _table(rows, _("还没有渠道。"))


def notifiers(view: HealthView) -> None:
    """Draw the ways to tell the staff, where there are any: what waits, what arrived, what went wrong."""
    if not view.notifiers:
        return
    st.subheader(_("提醒"))
    rows = [
        {
            _("名称"): one.name,
            _("状态"): state_word("failing" if one.is_failing else "ok"),
            _("等待"): f"{one.waiting:,}",
            _("已送出"): f"{one.sent:,}",
            _("不知是否送到"): f"{one.unknown:,}",
            _("已放弃"): f"{one.failed:,}",
            _("最近送出"): words.moment(one.last_sent_at),
            _("最近错误"): one.last_error or "",
            _("下次重试"): words.moment(one.next_try_at) if one.next_try_at else "",
        }
        for one in view.notifiers
    ]
    _table(rows, "")


def _rate(one: ChannelStatus) -> str:
    """Return the share of tries that failed lately, with its denominator."""
    return "" if one.error_rate is None else f"{one.error_rate:.0%}（{one.failures}/{one.tries}）"


def _counts(title: str, counts: Mapping[str, int], names: Mapping[str, str]) -> None:
    shown = " · ".join(
        f"{escape(names.get(key, key))} {n:,}" for key, n in counts.items() if n or key in names
    )
    card.meta(f"<b>{title}</b> {shown or _('无')}")


def queues(view: HealthView) -> None:
    """Draw the work that waits and what leaves."""
    st.subheader(_("待办与发出"))
    waiting = {"waiting": _("等待阅读"), "leased": _("正在阅读"), "parked": _("搁置")}
    leaving = {
        "new": _("等待发出"),
        "sending": _("正在发出"),
        "unknown": _("结果未知"),
        "sent": _("已发出"),
        "needs_human": _("需要人工"),
    }
    _counts(_("帖文"), view.jobs, waiting)
    _counts(_("发出"), view.outbox, leaving)
    if view.outbox.get("needs_human", 0):
        card.note("halt", _("有 {n} 条发出结果需要人工核对。").format(n=view.outbox["needs_human"]))


def _resolve(effect_id: int, result: str) -> None:
    def act(actor: Actor) -> str:
        note = str(st.session_state.get(f"saw_{effect_id}", "")).strip()
        effects.resolve(session.deps(), actor, effect_id, result, note)
        return _("已记录：第 {n} 条发出").format(n=effect_id)

    outcome.attempt(act)


def unsettled(actor: Actor) -> None:
    """Draw what left with an outcome that nobody knows: a person looks at the channel and says what is there."""
    waiting = effects.unsettled(session.deps(), actor)
    if not waiting:
        return
    card.note("halt", _("请到渠道里看一眼，再选择：已经发出的不要再发。"))
    names = {"sent": _("已在渠道里"), "again": _("没有，再发一次"), "cancel": _("不再发出")}
    for one in waiting:
        effect = one.effect
        with st.container(border=True, key=f"effect_{effect.id}"):
            where = f"{effect.channel} · {effect.thread or ''} · {one.reference} · {effect.kind} · {effect.last_error or ''}"
            card.meta(escape(where))
            st.text(effect.text or "")
            st.text_input(_("看到了什么（必填）"), key=f"saw_{effect.id}", max_chars=500)
            with st.container(horizontal=True):
                for result, label in names.items():
                    st.button(
                        label,
                        key=f"{result}_{effect.id}_{effect.fence}",
                        on_click=_resolve,
                        args=(effect.id, result),
                    )


def _replay() -> None:
    def act(actor: Actor) -> str:
        n = health.replay_parked(session.deps(), actor)
        return _("已把 {n} 条搁置的帖文放回").format(n=n)

    outcome.attempt(act)


def quarantine(view: HealthView) -> None:
    """Draw what could not be read, with its reason; nothing is thrown away."""
    st.subheader(_("隔离区"))
    rows = [
        {
            _("时间"): words.moment(item.at),
            _("渠道"): item.channel,
            _("原因"): item.reason,
            _("说明"): item.message,
            _("位置"): item.position or "",
            _("字节"): f"{item.size:,}",
        }
        for item in view.quarantine
    ]
    _table(rows, _("隔离区是空的。"))


def models(view: HealthView) -> None:
    """Draw the models that serve, the size of the store and the head of the ledger."""
    st.subheader(_("模型与账本"))
    serving = card.tags(f"{label} {version}" for label, version in view.models.items()) or _("没有模型")
    card.meta(f"{_('模型')}：{serving}")
    card.meta(_("帖文 {n} 条 · 账本第 {seq} 条").format(n=f"{view.posts:,}", seq=f"{view.ledger_seq:,}"))


_DAYS = 7


def learning_report(actor: Actor) -> None:
    """Draw how the models are doing when asked: what drifts, and how often people upheld a flag."""
    st.subheader(_("模型近况"))
    card.meta(
        escape(
            _("近 {days} 天与之前相比；指数 0.1 以下没有变化，0.25 以上说明帖文已不同往常。").format(
                days=_DAYS
            )
        )
    )
    if not st.button(_("算一算"), key="learning_report"):
        return
    found = learning.report(session.deps(), actor, _DAYS)
    upheld = {one.label: one for one in found.agreement}
    rows = [
        {
            _("问题"): one.label,
            _("之前标出"): f"{one.flagged_before:,}/{one.before:,}",
            _("近期标出"): f"{one.flagged_now:,}/{one.now:,}",
            _("稳定性指数"): _number(one.index),
            _("标出后被维持"): f"{upheld[one.label].upheld:,}/{upheld[one.label].decided:,}"
            if one.label in upheld
            else "",
            _("校准误差"): _number(upheld[one.label].error) if one.label in upheld else "",
        }
        for one in found.drift
    ]
    _table(rows, _("数据不足"))


def _number(value: float | None) -> str:
    return _("数据不足") if value is None else f"{value:.3f}"


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("渠道与健康"))
    outcome.show()
    view = health.health(session.deps(), actor)
    parts(view)
    channels(view)
    notifiers(view)
    queues(view)
    if may(actor, "effects.resolve"):
        unsettled(actor)
    if view.jobs.get("parked", 0) and may(actor, "health.replay_parked"):
        st.button(_("放回搁置的帖文"), key="replay_parked", on_click=_replay)
    quarantine(view)
    models(view)
    if may(actor, "learning.report"):
        learning_report(actor)


if __name__ == "__main__":
    show()
