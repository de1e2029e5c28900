"""审核: one item at a time, decided by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import streamlit as st

from monitor.core.errors import HuiyinError
from monitor.core.model import Actor, CaseKind
from monitor.core.policy import SECOND_PERSON
from monitor.usecases import queue
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import card, desk, strip, words


def lane() -> str:
    """Let the person choose what they look at; kept in the address."""
    names = [name for name, _kinds in desk.LANES]
    chosen = st.segmented_control(
        _("队列"),
        names,
        default=names[0],
        required=True,
        format_func=desk.lane_name,
        key="lane",
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen if chosen in names else names[0]


@st.fragment(key="queue_counts", run_every=10)
def counts() -> None:
    """Draw live counts and keep the lease of the item in hand."""
    actor = session.enter(touch=False)
    held = desk.desk().item
    if held is not None:
        try:
            queue.renew(session.deps(), actor, held)
        except HuiyinError:
            desk.desk().item = None
    found = queue.counts(session.deps(), actor)
    waiting = " · ".join(
        f"{escape(words.kind_name(kind))} {found.get(kind.value, 0)}"
        for kind in (CaseKind.MODERATION, CaseKind.CARE)
    )
    card.meta(
        f'<span class="hy-num">{_("待处理")}：{waiting} · {_("我领取的")} {found.get("mine", 0)}</span>'
    )


def result() -> None:
    """Say what the last press did; the line keeps its place when there is nothing to say."""
    kind, text = desk.desk().result
    card.note(kind or "quiet", text or "&nbsp;")


def cluster(view: CaseView) -> None:
    """Say before the act that one decision covers many posts."""
    if view.case.post_count < 2:
        return
    threads = {(v.post.channel, v.post.thread) for v in view.posts}
    card.note(
        "note",
        _("同文 {n} 条，{m} 个群：一次处置，全部生效").format(n=view.case.post_count, m=len(threads)),
    )


def proposal(view: CaseView) -> None:
    """Say that a removal here needs two people, and show a colleague's proposal that waits for the second."""
    if SECOND_PERSON in view.case.policy.split(","):
        card.note("note", _("这条也是诉求：移除需要两个人同意，一般应转诉求答复。"))
    asked = [event for event in view.events if event.kind == "proposed"]
    if asked:
        who = escape(asked[-1].actor)
        card.note(
            "halt",
            _("{who} 提请移除，涉及诉求，需要第二人确认：同意请做同样的处置，不同意请按 A 通过。").format(
                who=who
            ),
        )


def item(view: CaseView) -> None:
    """Draw the item: where, text with marked reasons, the machine's suggestion after it."""
    first = view.posts[0]
    now = session.deps().clock.now()
    hidden = card.must_fold(first.reading) and not desk.desk().reveal
    card.meta(f"#{view.case.id} · {card.where(first.post, now)}")
    cluster(view)
    card.text(first, folded=hidden)
    if hidden:
        card.meta(_("文字较激烈，已遮住，按 V 显示"))
    card.signals(first.reading)
    proposal(view)


@dataclass(frozen=True, slots=True)
class Press:
    """One button: its name, key, label and what it does."""

    name: str
    key: str
    label: str
    act: Callable[..., None]
    args: tuple[object, ...] = ()
    allowed: bool = True


def _acts(view: CaseView) -> list[Press]:
    here = (view.case.id, view.case.version)
    can = set(view.allowed)
    restrict = bool(can & {"remove", "hide", "mute"})
    plain, send = desk.on_action, desk.on_reroute
    grievance, clarify = CaseKind.GRIEVANCE.value, CaseKind.CLARIFICATION.value
    return [
        Press("keep", "A", _("通过"), plain, ("keep", *here), "keep" in can),
        Press("remove", "D", _("移除"), desk.on_mode, ("remove", *here), restrict),
        Press("grievance", "G", _("转诉求"), send, (grievance, *here), "grievance" in can),
        Press("clarify", "Q", _("转澄清"), send, (clarify, *here), "clarify" in can),
        Press("escalate", "E", _("上报"), plain, ("escalate", *here), "escalate" in can),
        Press("skip", "S", _("跳过"), desk.on_skip, here),
    ]


def actions(view: CaseView, keys: bool) -> None:
    """Draw the row of acts, always in the same order; each key names the item and version on screen."""
    busy = desk.desk().mode == "remove"
    acts = _acts(view)
    with st.container(horizontal=True, key="acts"):
        for press in acts:
            off = busy or not press.allowed
            st.button(
                press.label,
                key=f"{press.name}_{view.case.id}_{view.case.version}",
                on_click=press.act,
                args=press.args,
                disabled=off,
                shortcut=press.key if keys and not off else None,
                type="primary" if press.name == "keep" else "secondary",
            )
    if view.case.kind is CaseKind.CARE:
        card.meta(_("关怀事项：先确认人是否安全、有没有人在身边，再处理；这里不移除。"))
    elif not acts[1].allowed:
        card.meta(_("此渠道不支持移除，或你没有这项权限。"))


def tools(keys: bool, working: bool) -> None:
    """Draw what does not decide: undo, thread, reveal, release, help."""
    rows = [
        Press("undo", "Z", _("撤销"), desk.on_undo),
        Press("release", "W", _("释放·领取"), desk.on_release),
    ]
    if working:
        rows.append(Press("thread", "T", _("上下文"), desk.on_toggle, ("thread",)))
        rows.append(Press("reveal", "V", _("显示"), desk.on_toggle, ("reveal",)))
    rows.append(Press("help", "H", _("按键"), desk.on_toggle, ("help",)))
    with st.container(horizontal=True, key="tools"):
        for press in rows:
            st.button(
                press.label,
                key=f"tool_{press.name}",
                on_click=press.act,
                args=press.args,
                shortcut=press.key if keys else None,
                type="tertiary",
            )


def key_help() -> None:
    """List the keys."""
    keys = (
        ("A", _("通过：保留这条帖文")),
        ("D", _("移除：打开依据，再按 1-9")),
        ("G", _("转诉求：交给工会干部办理")),
        ("Q", _("转澄清：交给意见领袖公开答复")),
        ("E", _("上报")),
        ("S", _("跳过：留给同事，不记过")),
        ("Z", _("撤销上一步")),
        ("T", _("看上下文")),
        ("V", _("显示被遮住的文字")),
        ("W", _("释放手里的，或重新领取")),
        ("H", _("打开或关闭本说明")),
    )
    with st.container(border=True, key="help"):
        for key, meaning in keys:
            card.meta(f"{card.tags([key])} {escape(meaning)}")


def aside(view: CaseView) -> None:
    """Draw the right column: other posts of the cluster, history of this item, what counts as a ground."""
    now = session.deps().clock.now()
    if len(view.posts) > 1:
        card.meta(f"<b>{_('同文的其他帖文')}</b>")
        for other in view.posts[1:6]:
            card.meta(card.where(other.post, now))
            card.text(other, small=True, plain=True)
    card.meta(f"<b>{_('本条的历史')}</b>")
    card.history(view)
    card.meta(_("批评不是移除的理由。诉求要答复，不要移除。"))


@st.fragment(key="queue_body")
def body(chosen: str) -> None:
    """Draw the item in hand and its acts; an act reruns only this."""
    actor: Actor = session.enter()
    keys = session.shortcuts_on()
    view = desk.current(actor, chosen)
    left, right = st.columns([2, 1], gap="large")
    with left:
        result()
        if view is None:
            idle()
        else:
            item(view)
            actions(view, keys)
            if desk.desk().mode == "remove":
                strip.show(view, keys)
            st.text_input(_("备注（只给同事看）"), key=desk.note_key(view.case.id), max_chars=500)
        tools(keys, view is not None)
        if desk.desk().mode == "help":
            key_help()
        if view is not None and desk.desk().thread:
            card.thread(view.thread, view.posts[0].post.id, session.deps().clock.now())
    if view is not None:
        with right:
            aside(view)
    shown = "" if view is None else f"{view.case.id}-{view.case.version}"
    mode = escape(desk.desk().mode)
    st.html(f'<span id="ready" data-item="{shown}" data-mode="{mode}"></span>')


def idle() -> None:
    """Say that nothing waits, or that the person paused."""
    text = _("已暂停，按 W 继续领取。") if desk.desk().paused else _("没有待处理的内容。")
    card.note("note", text)


def show() -> None:
    """Draw the page."""
    st.title(_("审核"))
    chosen = lane()
    counts()
    body(chosen)


if __name__ == "__main__":
    show()
