"""What a decision does outside: effects per post, one notice per place with the way to appeal, and the way back (M-04).

A notice names the ground, never the removed words: those stand on the page that its link opens.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
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


def standing(posts: Iterable[Post]) -> list[Post]:
    """Return those posts that are still at their source."""
    return [post for post in posts if post.source_state is not SourceState.REMOVED]


def _base(deps: Deps, case: Case, post: Post, key: str, kind: EffectKind, **given: object) -> NewEffect:
    fields: dict[str, object] = {
        "key": key,
        "kind": kind,
        "channel": post.channel,
        "case_id": case.id,
        "not_before": deps.clock.now() + timedelta(seconds=deps.rules.effect_delay),
        "thread": post.thread,
        "handle": post.handle or post.external_id,
        "post_id": post.id,
        **given,
    }
    return NewEffect(**fields)  # type: ignore[arg-type]


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
    targets = [post for post in standing(posts) if need in deps.capabilities(post.channel)]
    if decision.action is Action.MUTE:
        targets = _once_per_author(targets)
    for post in targets:
        muting = {"seconds": seconds, "author": post.author} if decision.action is Action.MUTE else {}
        key = f"decision:{decision.id}:{post.id}"
        effect = _base(deps, case, post, key, kind, decision_id=decision.id, **muting)
        store.outbox.add(effect, deps.clock.now())
    return len(targets)


# --- notices ---------------------------------------------------------------------------------------


def _mark(case: Case, decision: Decision, what: str) -> str:
    return f"〔{case.reference}-{what}{decision.id}〕"


def _day(at: datetime) -> str:
    return at.astimezone(SHANGHAI).date().isoformat()


def _appeal_link(store: Store, deps: Deps, decision: Decision) -> str:
    token = secrets.token_urlsafe(24)
    digest = deps.keys.digest("token", token)
    store.cases.add_token(digest, "appeal", decision.id, decision.appeal_until)
    return f"{deps.rules.base_url.rstrip('/')}/appeal/{token}"


def _tell(
    store: Store, deps: Deps, case: Case, decision: Decision, posts: Sequence[Post], what: str, text: str
) -> int:
    """Write one notice per place that can be told; returns to how many."""
    places: dict[tuple[str, str | None], Post] = {}
    for post in posts:
        if Capability.REPLY in deps.capabilities(post.channel):
            places.setdefault((post.channel, post.thread), post)
    for post in places.values():
        effect = _base(
            deps,
            case,
            post,
            f"notice:{what}{decision.id}:{post.id}",
            EffectKind.NOTICE,
            decision_id=decision.id,
            handle=None,
            text=text,
            mark=_mark(case, decision, what),
        )
        store.outbox.add(effect, deps.clock.now())
    return len(places)


def notify(store: Store, deps: Deps, case: Case, decision: Decision, posts: Sequence[Post]) -> int:
    """Tell every place of a restriction its ground and how to appeal; returns how many places can be told."""
    link = _appeal_link(store, deps, decision)
    ground = _GROUNDS[decision.rule] if decision.rule else ""
    lines = [
        f"【{deps.rules.union_name}通知】一条消息因“{ground}”被{_DONE_TO[decision.action]}。",
        *([f"说明：{decision.explanation}"] if decision.explanation else []),
        f"依据的原话和条款见：{link}",
        *(
            [f"有异议可在 {_day(decision.appeal_until)} 前由此申诉，由另一人复核。"]
            if decision.appeal_until
            else []
        ),
        f"编号{_mark(case, decision, 'D')}",
    ]
    return _tell(store, deps, case, decision, posts, "D", "\n".join(lines))


# --- the way back ----------------------------------------------------------------------------------


def _undoing(effect: Effect, post: Post, can: frozenset[Capability]) -> dict[str, object] | None:
    """Return what takes an effect back, or None when the channel cannot."""
    if effect.kind is EffectKind.MUTE:
        return {"kind": EffectKind.MUTE, "seconds": 0, "author": post.author}
    if effect.kind in (EffectKind.REMOVE, EffectKind.HIDE) and Capability.RESTORE in can:
        return {"kind": EffectKind.RESTORE}
    return None


def take_back(
    store: Store, deps: Deps, case: Case, decision: Decision, what: str, text: str
) -> dict[str, int]:
    """Cancel what has not left yet; for what has, write the effect that takes it back and tell the place.

    Args:
        store: the transaction.
        deps: what every use case is given.
        case: the case whose outbox rows the new effects belong to.
        decision: the restriction that no longer stands.
        what: one letter for the keys: ``U`` undone, ``A`` overturned on appeal.
        text: what a place is told that had been told of the restriction.

    Returns: ``cancelled``, ``restoring`` and ``lasting`` (done, and the channel cannot take it back).
    """
    now = deps.clock.now()
    cancelled = store.outbox.cancel(decision.id, None, now)
    left = [effect for effect in store.outbox.of_decision(decision.id) if effect.state in _GONE_OUT]
    posts = {post.id: post for post in store.posts.many([e.post_id for e in left if e.post_id is not None])}
    restoring, lasting, told = 0, 0, []
    for effect in left:
        post = posts.get(effect.post_id or 0)
        if post is None:
            continue
        if effect.kind is EffectKind.NOTICE:
            told.append(post)
            continue
        back = _undoing(effect, post, deps.capabilities(post.channel))
        if back is None:
            lasting += 1
            continue
        kind = back.pop("kind")
        key = f"back:{what}{decision.id}:{post.id}"
        store.outbox.add(_base(deps, case, post, key, kind, **back), now)  # type: ignore[arg-type]
        restoring += 1
    if told:
        mark = _mark(case, decision, what)
        _tell(store, deps, case, decision, told, what, f"【{deps.rules.union_name}通知】{text}\n编号{mark}")
    return {"cancelled": cancelled, "restoring": restoring, "lasting": lasting}


__all__ = ["EFFECTS", "NEEDS", "notify", "restrain", "standing", "take_back"]
