"""What a decision must say: lengths, the ground and the quoted words of a restriction, and when two people are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.core.errors import BadInput
from monitor.core.model import Action, Case, CaseEvent, ClaimState, Label, Post, RuleCode, Span
from monitor.core.policy import SECOND_PERSON
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.usecases._restraint import NEEDS, standing
from monitor.usecases.deps import Deps

LONGEST_NOTE = 500
LONGEST_EXPLANATION = 2_000
LONGEST_MUTE = 30 * 86_400

_NAMED_PAPER: Mapping[RuleCode, tuple[re.Pattern[str], str]] = {
    RuleCode.ILLEGAL: (re.compile(r"第.{1,9}条"), "name the law and its article (第…条) in the explanation"),
    RuleCode.AUTHORITY_ORDER: (
        re.compile(r"[0-9０-９〇一二三四五六七八九十]"),
        "name the number of the order in the explanation",
    ),
}
"""What the explanation must hold for grounds that rest on a paper, and what to say when it does not (M-09)."""

_FALSE = frozenset({ClaimState.FALSE, ClaimState.PARTLY})


@dataclass(frozen=True, slots=True)
class DecisionRequest:
    """What somebody decides about the version of a case that they saw.

    ``quote`` is (post id, start, end) in code points of the post's text; ``explanation`` is for the author, ``note``
    for colleagues; ``mute_seconds`` is the length of a muting.
    """

    case_id: int
    version: int
    action: Action
    rule: RuleCode | None = None
    quote: tuple[int, int, int] | None = None
    note: str = ""
    explanation: str = ""
    mute_seconds: int = 0


def tidy(request: DecisionRequest) -> DecisionRequest:
    """Return ``request`` with its words cleaned; raises BadInput when they are too long."""
    note, explanation = clean(request.note).strip(), clean(request.explanation).strip()
    if len(note) > LONGEST_NOTE:
        raise BadInput(f"a note has at most {LONGEST_NOTE} characters; shorten it")
    if len(explanation) > LONGEST_EXPLANATION:
        raise BadInput(f"an explanation has at most {LONGEST_EXPLANATION} characters; shorten it")
    return replace(request, note=note, explanation=explanation)


def _quoted(request: DecisionRequest, posts: Sequence[Post]) -> Span:
    if request.quote is None:
        raise BadInput("quote the words that a restriction rests on")
    post_id, start, end = request.quote
    post = next((one for one in posts if one.id == post_id), None)
    if post is None or not 0 <= start < end <= len(post.text) or not post.text[start:end].strip():
        raise BadInput("the quote is not in a post of this case; mark words of the text itself")
    return Span(post_id, start, end, post.text[start:end])


def _check_ground(store: Store, case: Case, request: DecisionRequest) -> None:
    """Check what single grounds ask for beyond the quote."""
    if request.rule is None:
        raise BadInput("a restriction needs a ground of the published list; criticism is none")
    paper = _NAMED_PAPER.get(request.rule)
    if paper is not None and not paper[0].search(request.explanation):
        raise BadInput(paper[1])
    if request.rule is RuleCode.CONFIRMED_FALSEHOOD and not _disproved(store, case):
        raise BadInput(
            "a falsehood is a ground only when the verdict with its sources is recorded; clarify first"
        )


def _disproved(store: Store, case: Case) -> bool:
    """Say whether a verdict of a case over the same posts says that the statement is false (M-12)."""
    near = store.cases.of_posts(store.cases.post_ids(case.id))
    ids = {one.id for cases in near.values() for one in cases}
    claims = [store.claims.of(one) for one in sorted(ids)]
    return any(c is not None and c.state in _FALSE and bool(c.sources.strip()) for c in claims)


def check_restriction(
    store: Store, deps: Deps, case: Case, request: DecisionRequest, posts: Sequence[Post]
) -> Span:
    """Return the quoted words of a restriction.

    Raises: BadInput when ground, quote, explanation, channel or length of a muting do not bear it.
    """
    _check_ground(store, case, request)
    quote = _quoted(request, posts)
    there = standing(posts)
    if not there:
        raise BadInput("every post of this case is gone at its source; there is nothing to restrict")
    if not any(NEEDS[request.action] in deps.can(post.channel, post.thread) for post in there):
        raise BadInput(f"this channel cannot {request.action}; the channel table says what each one can")
    if request.action is Action.MUTE and not 0 < request.mute_seconds <= LONGEST_MUTE:
        raise BadInput("a muting lasts from one second to thirty days")
    return quote


def needs_second(store: Store, case: Case) -> bool:
    """Say whether a restriction here needs two people: the post is, or may be, a grievance as well (M-02)."""
    if SECOND_PERSON in case.policy.split(","):
        return True
    readings = store.readings.many(store.cases.post_ids(case.id))
    return any(reading.flagged(Label.GRIEVANCE) for reading in readings.values())


def proposer(events: Sequence[CaseEvent], request: DecisionRequest) -> str | None:
    """Return who proposed the very same restriction last, if the newest proposal is that one."""
    asked = [event for event in events if event.kind == "proposed"]
    if not asked or any(event.kind == "undo" and event.seq > asked[-1].seq for event in events):
        return None
    same = (str(request.action), str(request.rule))
    told = (str(asked[-1].detail.get("action")), str(asked[-1].detail.get("rule")))
    return asked[-1].actor if same == told else None


__all__ = ["DecisionRequest", "check_restriction", "needs_second", "proposer", "tidy"]
