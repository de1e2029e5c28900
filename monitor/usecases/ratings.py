"""What the member says of an answer: solved or not, one to five stars, words. Nobody else can rate (C-05).

The rating is an event of the case; the words become a post of the case, never a part of history or ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from monitor.core.errors import BadInput, BadMove, NotFound
from monitor.core.model import SYSTEM, Case, CaseState
from monitor.core.ports import Store
from monitor.core.roles import require
from monitor.core.states import used_up
from monitor.usecases._member import MEMBER, Answer, add_words, answers_of, checked_words
from monitor.usecases._moves import Step, advance
from monitor.usecases.cases import rating_until
from monitor.usecases.deps import Deps

SOLVED = ("yes", "partly", "no")


@dataclass(frozen=True, slots=True)
class RatingView:
    """What stands behind a rating link; ``until`` is None when the case is not waiting for a rating."""

    reference: str
    answers: tuple[Answer, ...]
    can_rate: bool
    until: datetime | None


def _case_of(store: Store, deps: Deps, token: str) -> Case:
    digest = deps.keys.digest("token", token)
    case_id = store.cases.token(digest, "rate", deps.clock.now())
    if case_id is None:
        raise NotFound("this link leads nowhere; take it again from the answer, all of it")
    return store.cases.get(case_id)


def open_until(store: Store, deps: Deps, case: Case) -> datetime | None:
    """Return until when ``case`` waits for a rating, or None when it does not, or not any more."""
    if case.state is not CaseState.ANSWERED:
        return None
    until = rating_until(store.events.of(case.id), deps.rules)
    return until if until is not None and deps.clock.now() <= until else None


def view(deps: Deps, token: str) -> RatingView:
    """Return what the holder of a rating link sees; raises NotFound for another link."""
    with deps.uow.read() as store:
        case = _case_of(store, deps, token)
        require(MEMBER, "ratings.view", case=case)
        until = open_until(store, deps, case)
        return RatingView(case.reference, answers_of(store, deps, case), until is not None, until)


def _checked(solved: str, stars: int, text: str) -> str:
    if solved not in SOLVED:
        raise BadInput(f"say whether it is solved: {', '.join(SOLVED)}")
    if isinstance(stars, bool) or not isinstance(stars, int) or not 1 <= stars <= 5:
        raise BadInput("give one to five stars")
    return checked_words(text) if text.strip() else ""


def write_rating(store: Store, deps: Deps, case: Case, solved: str, stars: int, text: str) -> Case:
    """Rate the answer to ``case`` inside the caller's transaction, and have it done again where it is not solved.

    After the last repeat a case that is not solved closes. Raises: BadInput, BadMove.
    """
    words = _checked(solved, stars, text)
    if case.state is CaseState.ANSWERED and open_until(store, deps, case) is None:
        raise BadMove("the time to rate this answer is over; ask for the case to be taken up again instead")
    detail = {"solved": solved, "stars": stars}
    rated = advance(store, deps, MEMBER, case, Step("rate", detail=detail))
    if words:
        add_words(store, deps, rated, words)
    if solved != "no":
        return rated
    if used_up("redo", store.events.of(case.id)):
        return advance(store, deps, SYSTEM, rated, Step("close"))
    return advance(store, deps, MEMBER, rated, Step("redo", detail={"cause": "not_solved"}))


def rate(deps: Deps, token: str, solved: str, stars: int, text: str = "") -> Case:
    """Rate an answer by the link that came with it; once per answer.

    Args:
        deps: what every use case is given.
        token: last part of the link.
        solved: ``yes``, ``partly`` or ``no``; ``no`` has the case done again, twice at most.
        stars: 1 to 5.
        text: further words, at most 2,000 characters.

    Raises: NotFound (no such link), BadInput, BadMove (rated already, or too late).
    """
    with deps.uow.begin(MEMBER) as store:
        case = _case_of(store, deps, token)
        require(MEMBER, "ratings.rate", case=case)
        return write_rating(store, deps, case, solved, stars, text)


__all__ = ["SOLVED", "RatingView", "open_until", "rate", "view", "write_rating"]
