"""What is known of a statement: the verdict, the facts in words for everybody, the sources, until when they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, BadMove, Conflict
from monitor.core.model import Actor, CaseEvent, CaseKind, Claim, ClaimState
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.roles import acting_role, require
from monitor.usecases.deps import Deps

VALID_DAYS = 90
"""How long a verdict holds that names no date of its own: expired facts are never suggested."""

LONGEST_STATEMENT = 300
LONGEST_FACTS = 2_000
MOST = 200
_VERDICTS = frozenset({ClaimState.TRUE, ClaimState.FALSE, ClaimState.PARTLY})


@dataclass(frozen=True, slots=True)
class _Words:
    statement: str
    clarification: str
    sources: str


def _text(name: str, value: str, most: int) -> str:
    text = clean(value).strip()
    if len(text) > most:
        raise BadInput(f"the {name} is longer than {most} characters; shorten it")
    return text


def _words(statement: str, state: ClaimState, clarification: str, sources: str) -> _Words:
    words = _Words(
        _text("statement", statement, LONGEST_STATEMENT),
        _text("clarification", clarification, LONGEST_FACTS),
        _text("sources", sources, LONGEST_FACTS),
    )
    if not words.statement:
        raise BadInput("write the statement in one sentence")
    if state in _VERDICTS and not words.sources:
        raise BadInput("a verdict needs its sources: a document, a meeting, a link that others can check")
    return words


def _valid_until(state: ClaimState, given: datetime | None, now: datetime) -> datetime | None:
    if given is None:
        return now + timedelta(days=VALID_DAYS) if state in _VERDICTS else None
    if given.tzinfo is None or given <= now:
        raise BadInput("facts hold until a moment in the future; give one with its zone")
    return given


def in_force(claim: Claim | None, now: datetime) -> bool:
    """Say whether ``claim`` is a verdict whose facts may be repeated now."""
    if claim is None or claim.state not in _VERDICTS:
        return False
    return claim.valid_until is None or now < claim.valid_until


def _write(store: Store, held: Claim | None, claim: Claim, version: int) -> Claim:
    """Store ``claim`` as the first or the next one of its case; raises Conflict when it was written meanwhile."""
    if (0 if held is None else held.version) != version:
        raise Conflict("somebody wrote a verdict meanwhile; read it and repeat what is still needed")
    if held is None:
        return store.claims.add(claim)
    return store.claims.save(replace(claim, id=held.id, created_at=held.created_at), version)


def save_claim(
    deps: Deps,
    actor: Actor,
    case_id: int,
    statement: str,
    state: ClaimState,
    clarification: str,
    sources: str,
    valid_until: datetime | None,
    version: int,
) -> Claim:
    """Write down what was found out about the statement of a clarification case.

    Args:
        deps: what every use case is given.
        actor: who answers for it.
        case_id: the clarification case whose posts spread the statement.
        statement: the checkable statement, one sentence.
        state: the verdict; ``true``, ``false`` and ``partly`` need sources.
        clarification: the facts, in words for everybody.
        sources: documents, meetings or links behind them.
        valid_until: until when the facts hold; missing, a verdict holds for 90 days.
        version: the version seen, 0 for the first.

    Raises: NotFound, NotAllowed, Conflict, BadMove (another kind of case), BadInput.
    """
    with deps.uow.begin(actor) as store:
        case, now = store.cases.hold(case_id), deps.clock.now()
        require(actor, "claims.save", case=case)
        if case.kind is not CaseKind.CLARIFICATION:
            raise BadMove("only a clarification case has a statement to check; reroute the case first")
        if state == ClaimState.EXPIRED:
            raise BadInput("facts expire by their date; choose the verdict and the date instead")
        words, until = _words(statement, state, clarification, sources), _valid_until(state, valid_until, now)
        new = Claim(
            id=0,
            case_id=case_id,
            statement=words.statement,
            state=state,
            created_at=now,
            clarification=words.clarification,
            sources=words.sources,
            owner=actor.login,
            valid_until=until,
        )
        saved = _write(store, store.claims.of(case_id), new, version)
        role = acting_role(actor, "claims.save", case=case)
        detail = {"claim": saved.id, "state": state, "version": saved.version}
        store.events.add(CaseEvent(case_id, "claim_saved", actor.login, role, now, detail=detail))
        content = detail | {
            "statement": saved.statement,
            "facts": saved.clarification,
            "sources": saved.sources,
        }
        store.ledger.append("claim.saved", case.reference, actor.login, content, now)
    return saved


def page(deps: Deps, actor: Actor, after: int | None, limit: int) -> list[Claim]:
    """Return what is known, newest first; ``after`` is the last id of the page before. Raises NotAllowed."""
    require(actor, "claims.page")
    with deps.uow.read() as store:
        return store.claims.page(after, max(1, min(limit, MOST)))


__all__ = ["VALID_DAYS", "in_force", "page", "save_claim"]
