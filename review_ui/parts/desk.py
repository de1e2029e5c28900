"""The queue's memory and its acts: which item, which mode, what just happened.

Every act carries the item's id and the version that was on screen; a stale press changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from typing import cast

import streamlit as st

from monitor.core.errors import HuiyinError
from monitor.core.model import Action, Actor, CaseKind, CaseState, Decision, RuleCode
from monitor.core.ports import CaseFilter
from monitor.usecases import decide, queue
from monitor.usecases.decide import DecisionRequest
from monitor.usecases.views import CaseView
from monitor.words import _
from review_ui import session
from review_ui.parts import refusal, words

DWELL = 0.4
SKIPPED = 200


@dataclass(slots=True)
class Desk:
    """What one tab remembers of the queue."""

    item: int | None = None
    shown: tuple[int, int, float] = (0, 0, 0.0)
    mode: str = ""
    thread: bool = False
    reveal: bool = False
    paused: bool = False
    result: tuple[str, str] = ("", "")
    last: int | None = None
    skipped: list[int] = field(default_factory=list)


def desk() -> Desk:
    """Return this tab's desk."""
    if "desk" not in st.session_state:
        st.session_state["desk"] = Desk()
    return cast(Desk, st.session_state["desk"])


LANES: tuple[tuple[str, tuple[CaseKind, ...]], ...] = (
    ("all", (CaseKind.MODERATION, CaseKind.CARE)),
    ("moderation", (CaseKind.MODERATION,)),
    ("care", (CaseKind.CARE,)),
)


def lane_name(lane: str) -> str:
    """Return the screen name of a lane."""
    return {"all": _("全部"), "moderation": _("内容审核"), "care": _("关怀")}[lane]


def filter_of(lane: str) -> CaseFilter:
    """Return which cases a lane holds."""
    return CaseFilter(kinds=dict(LANES)[lane], states=(CaseState.PENDING,))


def current(actor: Actor, lane: str) -> CaseView | None:
    """Return the item to show: the one in hand while it is still open, else the next free one."""
    mine = desk()
    if mine.paused:
        return None
    view = _in_hand(actor, mine)
    if view is None:
        view = queue.take_next(session.deps(), actor, filter_of(lane), mine.skipped)
        mine.item = view.case.id if view else None
        _fresh(mine)
    if view is not None and mine.shown[:2] != (view.case.id, view.case.version):
        mine.shown = (view.case.id, view.case.version, time.monotonic())
    return view


def _in_hand(actor: Actor, mine: Desk) -> CaseView | None:
    if mine.item is None:
        return None
    try:
        view = queue.view(session.deps(), actor, mine.item)
    except HuiyinError:
        return None
    return view if view.case.state is CaseState.PENDING and view.holder in (None, actor.login) else None


def _fresh(mine: Desk) -> None:
    mine.mode, mine.thread, mine.reveal = "", False, False


def _ready(case_id: int, version: int) -> bool:
    """Say whether the press was meant for what is on screen, and not for the item before it."""
    mine = desk()
    return mine.shown[:2] == (case_id, version) and time.monotonic() - mine.shown[2] >= DWELL


def _say(kind: str, text: str) -> None:
    desk().result = (kind, text)


def _guarded(case_id: int, version: int, act: Callable[[Actor], None]) -> None:
    """Run an act on the item on screen; a refusal is said on the result line and loses nothing."""
    if not _ready(case_id, version):
        return
    try:
        act(session.acting())
    except HuiyinError as refused:
        _say("halt", escape(refusal.words(refused)))
        desk().shown = (0, 0, 0.0)


def _next() -> None:
    mine = desk()
    mine.item = None
    _fresh(mine)


def note_key(case_id: int) -> str:
    """Return the key of the note field of one item."""
    return f"note_{case_id}"


def _note(case_id: int) -> str:
    return str(st.session_state.get(note_key(case_id), "")).strip()


def _settled(case_id: int, made: Decision) -> None:
    mine = desk()
    mine.last = made.id
    what = escape(words.action_name(made.action))
    ground = f"（{escape(words.rule_name(made.rule))}）" if made.rule else ""
    _say("done", _("{what} #{id}{ground}，按 Z 撤销").format(what=what, id=case_id, ground=ground))
    _next()


def on_action(action: str, case_id: int, version: int) -> None:
    """Decide without a ground: keep, escalate or dismiss."""

    def act(actor: Actor) -> None:
        request = DecisionRequest(case_id, version, Action(action), note=_note(case_id))
        _settled(case_id, decide.decide(session.deps(), actor, request))

    _guarded(case_id, version, act)


def on_mode(mode: str, case_id: int, version: int) -> None:
    """Open or close the strip below the item; the same key closes what it opened."""
    mine = desk()
    if mode and not _ready(case_id, version):
        return
    mine.mode = "" if mine.mode == mode else mode


@dataclass(frozen=True, slots=True)
class Ground:
    """What the reason strip has chosen: act, quoted words, words to the author."""

    action: Action
    quote: tuple[int, int, int] | None
    explanation: str = ""
    seconds: int = 0


def on_rule(rule: str, case_id: int, version: int, ground: Ground) -> None:
    """Restrict with a ground and a quote; on a grievance this is a proposal to a second person."""

    def act(actor: Actor) -> None:
        if ground.quote is None:
            _say("halt", _("引文不在原文中：请选一处高亮，或逐字照抄原文。"))
            return
        request = DecisionRequest(
            case_id,
            version,
            ground.action,
            rule=RuleCode(rule),
            quote=ground.quote,
            note=_note(case_id),
            explanation=ground.explanation,
            mute_seconds=ground.seconds if ground.action is Action.MUTE else 0,
        )
        made = decide.decide(session.deps(), actor, request)
        if not _proposed(case_id, actor):
            _settled(case_id, made)

    _guarded(case_id, version, act)


def _proposed(case_id: int, actor: Actor) -> bool:
    """Say so when the case still waits: the act needs a second person."""
    view = queue.view(session.deps(), actor, case_id)
    if view.case.state is not CaseState.PENDING:
        return False
    desk().skipped = [*desk().skipped, case_id][-SKIPPED:]
    queue.release(session.deps(), actor, case_id)
    _say("done", _("已提请第二人确认 #{id}：这是诉求，一个人不能移除。").format(id=case_id))
    _next()
    return True


def on_reroute(kind: str, case_id: int, version: int) -> None:
    """Send the item to the people who answer it."""

    def act(actor: Actor) -> None:
        decide.reroute(session.deps(), actor, case_id, version, CaseKind(kind), _note(case_id))
        desk().last = None
        where = escape(words.kind_name(CaseKind(kind)))
        _say("done", _("#{id} 已转为{where}").format(id=case_id, where=where))
        _next()

    _guarded(case_id, version, act)


def on_skip(case_id: int, version: int) -> None:
    """Leave the item to a colleague; skipping is never counted against anyone."""

    def act(actor: Actor) -> None:
        queue.release(session.deps(), actor, case_id)
        mine = desk()
        mine.skipped = [*mine.skipped, case_id][-SKIPPED:]
        _say("done", _("已跳过 #{id}，留给同事").format(id=case_id))
        _next()

    _guarded(case_id, version, act)


def on_release() -> None:
    """Hand the item back and pause, or take up work again."""
    mine = desk()
    if mine.paused:
        mine.paused = False
        return
    try:
        actor = session.acting()
        if mine.item is not None:
            queue.release(session.deps(), actor, mine.item)
    except HuiyinError as refused:
        _say("halt", escape(refusal.words(refused)))
        return
    mine.paused = True
    _say("done", _("已释放，按 W 继续领取"))
    _next()


def on_undo() -> None:
    """Take back the last decision of this tab and show its item again."""
    mine = desk()
    if mine.last is None:
        _say("halt", _("没有可撤销的处置，更早的请到“我的处理”。"))
        return
    try:
        case = decide.undo(session.deps(), session.acting(), mine.last)
    except HuiyinError as refused:
        _say("halt", escape(refusal.words(refused)))
        return
    _say("done", _("已撤销 #{id}").format(id=case.id))
    mine.item, mine.last, mine.paused = case.id, None, False
    mine.skipped = [i for i in mine.skipped if i != case.id]
    _fresh(mine)


def on_toggle(what: str) -> None:
    """Open or close the thread, the folded text or the key help."""
    mine = desk()
    if what == "thread":
        mine.thread = not mine.thread
    elif what == "reveal":
        mine.reveal = not mine.reveal
    else:
        mine.mode = "" if mine.mode == "help" else "help"
