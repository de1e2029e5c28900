"""The strip that opens under an item when a restriction is chosen: ground by number, quote, words to the author."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Action, Post, Reason, RuleCode
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui.parts import card, desk, words

_WHOLE, _OWN = "whole", "own"
_MUTES = (600, 3600, 86400)


def quotable(view: CaseView) -> list[Reason]:
    """Return the highlighted places that may be quoted as a ground, strongest first."""
    first = view.posts[0]
    return card.spans(first.post, first.reading, card.QUOTABLE)[:6]


def _quote(post: Post, reasons: list[Reason], choice: str, own: str) -> tuple[int, int, int] | None:
    """Return (post id, start, end) of the chosen words, or None when they are not in the text."""
    if choice == _WHOLE:
        return (post.id, 0, len(post.text))
    if choice == _OWN:
        start = post.text.find(own) if own else -1
        return None if start < 0 else (post.id, start, start + len(own))
    reason = reasons[int(choice)]
    return (post.id, reason.start, reason.end)


def _choose_quote(view: CaseView) -> tuple[int, int, int] | None:
    post, reasons = view.posts[0].post, quotable(view)
    case = view.case.id
    options = [*map(str, range(len(reasons))), _WHOLE, _OWN]

    def name(option: str) -> str:
        if option in (_WHOLE, _OWN):
            return {_WHOLE: _("全文"), _OWN: _("自定引文")}[option]
        return _("引文 {n}").format(n=int(option) + 1)

    choice = st.segmented_control(
        _("引文（依据的原话）"),
        options,
        default=options[0],
        required=True,
        format_func=name,
        key=f"quote_{case}",
    )
    own = ""
    if choice == _OWN:
        own = st.text_input(_("逐字照抄原文"), key=f"own_{case}", max_chars=500)
    found = _quote(post, reasons, choice or options[0], own)
    if found is not None:
        st.html(f'<p class="hy-line">“{escape(post.text[found[1] : found[2]])}”</p>')
    return found


def _choose_action(view: CaseView) -> Action:
    possible = [a for a in (Action.REMOVE, Action.HIDE, Action.MUTE) if a.value in view.allowed]
    if len(possible) < 2:
        return possible[0] if possible else Action.REMOVE
    chosen = st.segmented_control(
        _("做法"),
        possible,
        default=possible[0],
        required=True,
        format_func=words.action_name,
        key=f"how_{view.case.id}",
    )
    return chosen or possible[0]


def _choose_seconds(view: CaseView, action: Action) -> int:
    if action is not Action.MUTE:
        return 0
    names = {600: _("10 分钟"), 3600: _("1 小时"), 86400: _("1 天")}
    chosen = st.segmented_control(
        _("禁言时长"),
        _MUTES,
        default=_MUTES[0],
        required=True,
        format_func=lambda s: names[s],
        key=f"mute_{view.case.id}",
    )
    return int(chosen or _MUTES[0])


def show(view: CaseView, keys: bool) -> None:
    """Draw the strip: 1-9 give the ground and act at once, Esc leaves.

    Args:
        view: the item on screen.
        keys: single-key shortcuts are on.
    """
    case = view.case
    with st.container(border=True, key="strip"):
        st.html(f'<p class="hy-meta"><b>{_("依据哪一条移除？按数字键即执行，Esc 返回")}</b></p>')
        numbers = st.container(horizontal=True, key="rules")
        action = _choose_action(view)
        quote = _choose_quote(view)
        seconds = _choose_seconds(view, action)
        explanation = st.text_input(
            _("给作者的说明（可选，随通知发出）"), key=f"explain_{case.id}", max_chars=500
        )
        with numbers:
            _rules(view, desk.Ground(action, quote, explanation, seconds), keys)


def _rules(view: CaseView, ground: desk.Ground, keys: bool) -> None:
    """Draw the closed list of grounds and the way back."""
    place = (view.case.id, view.case.version)
    for number, rule in enumerate(RuleCode, 1):
        st.button(
            words.rule_name(rule),
            key=f"rule_{rule}_{view.case.id}_{view.case.version}",
            on_click=desk.on_rule,
            args=(rule.value, *place, ground),
            shortcut=str(number % 10) if keys else None,
        )
    st.button(
        _("返回"),
        key=f"leave_{view.case.id}_{view.case.version}",
        on_click=desk.on_mode,
        args=("", *place),
        shortcut="Esc",
        type="tertiary",
    )
