"""What a decision does outside: effects per post, one notice per place with the way to appeal, and the way back (M-04).

A notice names the ground, never the removed words: those stand on the page that its link opens. Notices speak the
language of the channels, whatever language the moderator's screen speaks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.model import (
    Action,
    Case,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    NewEffect,
    Post,
    RuleCode,
    SourceState,
)
from monitor.core.ports import Capability, Store
from monitor.core.workdays import SHANGHAI
from monitor.usecases.deps import Deps

EFFECTS: Mapping[Action, EffectKind] = {
    Action.REMOVE: EffectKind.REMOVE,
    Action.HIDE: EffectKind.HIDE,
    Action.MUTE: EffectKind.MUTE,
}
NEEDS: Mapping[Action, Capability] = {
    Action.REMOVE: Capability.REMOVE,
    Action.HIDE: Capability.HIDE,
    Action.MUTE: Capability.MUTE,
}
_DONE_TO = {Action.REMOVE: "移除", Action.HIDE: "隐藏", Action.MUTE: "禁言"}
_GROUNDS = {
    RuleCode.SPAM_AD: "垃圾广告",
    RuleCode.FRAUD: "欺诈",
    RuleCode.FLOOD_DUPLICATE: "重复刷屏",
    RuleCode.DOXXING: "泄露他人隐私",
    RuleCode.INSULT_OR_THREAT: "辱骂或威胁",
    RuleCode.ILLEGAL: "违反法律",
    RuleCode.CONFIRMED_FALSEHOOD: "已核实为不实",
    RuleCode.AUTHORITY_ORDER: "主管机关要求",
    RuleCode.COPYRIGHT: "侵犯著作权",
    RuleCode.AUTHOR_REQUEST: "作者本人要求",
}
_GONE_OUT = frozenset({EffectState.SENT, EffectState.SENDING, EffectState.UNKNOWN, EffectState.NEEDS_HUMAN})

UNMUTE_SECONDS = 1
"""A muting of one second takes the place of the longer one; connectors refuse a length of zero as a mistake."""


@dataclass(frozen=True, slots=True)
class Back:
    """How a restriction is taken back.

    Attributes:
        case: the case whose outbox rows the new effects belong to.
        decision: the restriction that no longer stands.
        what: one letter for keys and marks: ``U`` undone, ``A`` overturned on appeal.
        text: what a place is told that had been told of the restriction.
        answer: id of the decision that overturned it, if one did.
    """

    case: Case
    decision: Decision
    what: str
    text: str
    answer: int | None = None


def standing(posts: Iterable[Post]) -> list[Post]:
    """Return those posts that are still at their source."""
    return [post for post in posts if post.source_state is not SourceState.REMOVED]


def stands(store: Store, decision: Decision) -> bool:
    """Say whether a decision is in force: neither undone nor overturned on appeal."""
    events = store.events.of(decision.case_id)
    overturned = any(e.kind == "overturned" and e.detail.get("about") == decision.id for e in events)
    return decision.undone_at is None and not overturned


def _effect(deps: Deps, case: Case, post: Post, key: str, kind: EffectKind) -> NewEffect:
    return NewEffect(
        key=key,
        kind=kind,
        channel=post.channel,
        case_id=case.id,
        not_before=deps.clock.now() + timedelta(seconds=deps.rules.effect_delay),
        thread=post.thread,
        handle=post.handle or post.external_id,
        post_id=post.id,
    )


def _once_per_author(posts: Sequence[Post]) -> list[Post]:
    firsts: dict[tuple[str, str | None, str], Post] = {}
    for post in posts:
        firsts.setdefault((post.channel, post.thread, post.author), post)
    return list(firsts.values())


def restrain(
    store: Store, deps: Deps, case: Case, decision: Decision, posts: Sequence[Post], seconds: int
) -> int:
    """Write one effect per post that stands and whose channel can, inside the caller's transaction; returns how many.

    Args:
        store: the transaction.
        deps: what every use case is given.
        case: what was decided.
        decision: a restriction, stored already.
        posts: every post of the case in its newest revision.
        seconds: length of a muting.
    """
    kind, need = EFFECTS[decision.action], NEEDS[decision.action]
    targets = [post for post in standing(posts) if need in deps.can(post.channel, post.thread)]
    if decision.action is Action.MUTE:
        targets = _once_per_author(targets)
    for post in targets:
        effect = replace(
            _effect(deps, case, post, f"decision:{decision.id}:{post.id}", kind), decision_id=decision.id
        )
        if decision.action is Action.MUTE:
            effect = replace(effect, seconds=seconds, author=post.author)
        store.outbox.add(effect, deps.clock.now())
    return len(targets)


# --- notices ---------------------------------------------------------------------------------------


def _mark(case: Case, decision: Decision, what: str) -> str:
    return f"〔{case.reference}-{what}{decision.id}〕"


def _day(at: datetime) -> str:
    return at.astimezone(SHANGHAI).date().isoformat()


def appeal_link(store: Store, deps: Deps, decision: Decision, until: datetime | None) -> str:
    """Return a fresh link to the statement of reasons; only a keyed digest of its token is stored."""
    token = secrets.token_urlsafe(24)
    store.cases.add_token(deps.keys.digest("token", token), "appeal", decision.id, until)
    return f"{deps.rules.base_url.rstrip('/')}/appeal/{token}"


def _tell(store: Store, deps: Deps, notice: NewEffect, posts: Iterable[Post]) -> int:
    """Write a notice once per place that can be told (``notice`` is the pattern); returns to how many."""
    places: dict[tuple[str, str | None], Post] = {}
    for post in posts:
        if Capability.REPLY in deps.can(post.channel, post.thread):
            places.setdefault((post.channel, post.thread), post)
    for post in places.values():
        here = replace(
            notice,
            key=f"{notice.key}:{post.id}",
            channel=post.channel,
            thread=post.thread,
            handle=None,
            post_id=post.id,
        )
        store.outbox.add(here, deps.clock.now())
    return len(places)


def _notice(
    deps: Deps, case: Case, decision: Decision, what: str, lines: Sequence[str], place: Post
) -> NewEffect:
    mark = _mark(case, decision, what)
    text = "\n".join([f"【{deps.rules.union_name}通知】{lines[0]}", *lines[1:], f"编号{mark}"])
    key = f"notice:{what}{decision.id}"
    return replace(_effect(deps, case, place, key, EffectKind.NOTICE), text=text, mark=mark)


def notify(store: Store, deps: Deps, case: Case, decision: Decision, posts: Sequence[Post]) -> int:
    """Tell every place of a restriction its ground and how to appeal; returns how many places can be told."""
    link = appeal_link(store, deps, decision, decision.appeal_until)
    ground = _GROUNDS[decision.rule] if decision.rule else ""
    until = _day(decision.appeal_until or decision.at)
    lines = [
        f"一条消息因“{ground}”被{_DONE_TO[decision.action]}。",
        *([f"说明：{decision.explanation}"] if decision.explanation else []),
        f"依据的原话和条款见：{link}",
        f"有异议可在 {until} 前由此申诉，由另一人复核。",
    ]
    notice = _notice(deps, case, decision, "D", lines, posts[0])
    return _tell(store, deps, replace(notice, decision_id=decision.id), posts)


def notify_upheld(store: Store, deps: Deps, appeal: Case, about: Decision, answer: int) -> int:
    """Tell the places that know of a restriction that its appeal was heard; the reason stands behind the link."""
    told = _gone_out(store, about, EffectKind.NOTICE)
    if not told:
        return 0
    until = deps.clock.now() + timedelta(days=deps.rules.appeal_days)
    link = appeal_link(store, deps, about, until)
    lines = ["对一项处置的申诉已由另一人复核，维持原处置。", f"理由见：{link}"]
    posts = [post for _effect_, post in told]
    notice = _notice(deps, appeal, about, "A", lines, posts[0])
    return _tell(store, deps, replace(notice, decision_id=answer), posts)


# --- the way back ----------------------------------------------------------------------------------


def _gone_out(store: Store, decision: Decision, *kinds: EffectKind) -> list[tuple[Effect, Post]]:
    """Return the effects of a decision that left, or may have left, with the posts that they are about."""
    left = [e for e in store.outbox.of_decision(decision.id) if e.state in _GONE_OUT and e.kind in kinds]
    posts = {post.id: post for post in store.posts.many([e.post_id for e in left if e.post_id is not None])}
    return [(effect, posts[effect.post_id]) for effect in left if effect.post_id in posts]


def _undoing(deps: Deps, back: Back, effect: Effect, post: Post) -> NewEffect | None:
    """Return what takes an effect back, or None when the channel cannot."""
    key = f"back:{back.what}{back.decision.id}:{post.id}"
    if effect.kind is EffectKind.MUTE:
        undoing = replace(
            _effect(deps, back.case, post, key, EffectKind.MUTE), seconds=UNMUTE_SECONDS, author=post.author
        )
    elif Capability.RESTORE in deps.can(post.channel, post.thread):
        undoing = _effect(deps, back.case, post, key, EffectKind.RESTORE)
    else:
        return None
    if effect.state is not EffectState.SENT:  # it may still be on its way: let it arrive first
        on_its_way = deps.clock.now() + timedelta(seconds=2 * deps.rules.send_timeout)
        undoing = replace(undoing, not_before=max(undoing.not_before, on_its_way))
    return replace(undoing, decision_id=back.answer)


def take_back(store: Store, deps: Deps, back: Back) -> dict[str, int]:
    """Cancel what has not left yet; for what has, write the effect that takes it back and tell the place.

    Returns: ``cancelled``, ``restoring``, ``lasting`` (done, and the channel cannot take it back) and ``notices``.
    """
    now = deps.clock.now()
    cancelled = store.outbox.cancel(back.decision.id, None, now)
    done = _gone_out(store, back.decision, *EFFECTS.values())
    undoing = [found for effect, post in done if (found := _undoing(deps, back, effect, post))]
    for effect in undoing:
        store.outbox.add(effect, now)
    lasting = len(done) - len(undoing)
    told = [post for _effect_, post in _gone_out(store, back.decision, EffectKind.NOTICE)]
    notices = _correct(store, deps, back, told, lasting) if told else 0
    return {"cancelled": cancelled, "restoring": len(undoing), "lasting": lasting, "notices": notices}


def _correct(store: Store, deps: Deps, back: Back, told: Sequence[Post], lasting: int) -> int:
    more = ["平台不能恢复已撤回的消息，以本条更正为准。"] if lasting else []
    notice = _notice(deps, back.case, back.decision, back.what, [back.text, *more], told[0])
    return _tell(store, deps, replace(notice, decision_id=back.answer), told)


__all__ = [
    "EFFECTS",
    "NEEDS",
    "Back",
    "appeal_link",
    "notify",
    "notify_upheld",
    "restrain",
    "standing",
    "stands",
    "take_back",
]
