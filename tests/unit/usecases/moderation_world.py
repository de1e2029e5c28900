"""A small world around moderation for the tests of use cases: cases of every kind, decisions, what left for outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from grievance_world import feed, newest

from monitor.core.model import (
    Action,
    Actor,
    Case,
    CaseEvent,
    CaseKind,
    Decision,
    Effect,
    EffectKind,
    EffectState,
    Role,
    RuleCode,
)
from monitor.core.ports import Capability
from monitor.core.states import fold
from monitor.testing.builders import MODERATOR, MODERATOR_2, FixedClock, person, raw
from monitor.usecases import decide, effects
from monitor.usecases.decide import DecisionRequest
from monitor.usecases.deps import Deps

MODERATOR_3 = person("mark", Role.MODERATOR)
WORDS = {
    CaseKind.MODERATION: "加微信领教职工福利",
    CaseKind.CARE: "真的不想活了",
    CaseKind.CLARIFICATION: "听说下月绩效砍三成",
    CaseKind.GRIEVANCE: "停车难，请想想办法",
}
ANGRY = "食堂太贵还难吃，承包的人是傻子"
"""Abuse and a grievance in one."""

_count = iter(range(10**9))


def opened(
    deps: Deps,
    kind: CaseKind = CaseKind.MODERATION,
    text: str | None = None,
    posts: int = 1,
    **fields: object,
) -> Case:
    """Take posts in that open one case of this kind; several posts are near-duplicates of one another."""
    number = next(_count)
    words = f"{number:08d} {text or WORDS[kind]}"
    for n in range(posts):
        given = {"thread": f"g{n % 2}", "author": f"person-{number}-{n % 3}", **fields}
        feed(deps, raw(f"m{number}-{n}", words, **given))
    return newest(deps, kind)


def look(deps: Deps, case: Case) -> Case:
    """Return ``case`` as stored now, after checking that its history adds up to its state."""
    with deps.uow.read() as store:
        now = store.cases.get(case.id)
        assert fold(now.kind, store.events.of(case.id)) is now.state
        return now


def request(deps: Deps, case: Case, action: Action = Action.REMOVE, **given: object) -> DecisionRequest:
    """Return a request about the present version; a restriction quotes the first post's words as an advertisement."""
    with deps.uow.read() as store:
        post = store.posts.get(store.cases.post_ids(case.id)[0])
    fields: dict[str, object] = {"case_id": case.id, "version": look(deps, case).version, "action": action}
    if action in (Action.REMOVE, Action.HIDE, Action.MUTE):
        fields |= {"rule": RuleCode.SPAM_AD, "quote": (post.id, 9, len(post.text))}
        fields |= {"mute_seconds": 600} if action is Action.MUTE else {}
    if action in (Action.RESTORE, Action.UPHOLD):
        fields["explanation"] = "已重新核对原文。"
    return DecisionRequest(**{**fields, **given})  # type: ignore[arg-type]


def decided(
    deps: Deps, case: Case, action: Action = Action.REMOVE, by: Actor = MODERATOR, **given: object
) -> Decision:
    """Decide about the present version of a case."""
    return decide.decide(deps, by, request(deps, case, action, **given))


def removed_by_two(deps: Deps, case: Case) -> Decision:
    """Let one moderator propose a removal and another one agree."""
    assert decided(deps, case).id == 0
    return decided(deps, case, by=MODERATOR_2)


def effects_of(deps: Deps, made: Decision, *kinds: EffectKind) -> list[Effect]:
    """Return the effects of a decision, of all kinds or some."""
    with deps.uow.read() as store:
        return [e for e in store.outbox.of_decision(made.id) if not kinds or e.kind in kinds]


def outbox(deps: Deps, *states: EffectState) -> list[Effect]:
    """Return every effect, or those in some states."""
    with deps.uow.read() as store:
        return store.outbox.page(states or tuple(EffectState), None, 10_000)


def events_of(deps: Deps, case: Case, *kinds: str) -> list[CaseEvent]:
    """Return the history of a case, or its events of some kinds."""
    with deps.uow.read() as store:
        return [e for e in store.events.of(case.id) if not kinds or e.kind in kinds]


def ledger_kinds(deps: Deps, reference: str) -> list[str]:
    """Return the kinds of the ledger entries about a case."""
    with deps.uow.read() as store:
        return [entry.kind for entry in store.ledger.entries(0, 10_000) if entry.ref == reference]


def send_all(deps: Deps, clock: FixedClock) -> list[Effect]:
    """Let everything that is due after the delay arrive; returns what arrived."""
    clock.advance(seconds=deps.rules.effect_delay)
    taken = effects.take(deps, 1_000)
    assert all(effects.sent(deps, one.effect, f"receipt-{one.effect.id}") for one in taken)
    return [one.effect for one in taken]


def only(*able: Capability) -> Callable[[str], frozenset[Capability]]:
    """Return the capabilities of channels that can do just this."""
    return lambda _channel: frozenset(able)


def where_only(deps: Deps, *able: Capability) -> Deps:
    """Return ``deps`` in which every channel can do just this."""
    return replace(deps, capabilities=only(*able))


def token_in(text: str) -> str:
    """Return the token of the appeal link in a notice."""
    return text.split("/appeal/")[1].split()[0]


def notice_token(deps: Deps, made: Decision) -> str:
    """Return the token that the notice of a decision carries."""
    return token_in(effects_of(deps, made, EffectKind.NOTICE)[0].text)
