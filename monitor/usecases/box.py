"""The suggestion box: write without an account, follow by receipt, add, rate, have it done again, withdraw.

A receipt is sixteen digits that only the member holds; we keep its keyed digest. It opens one case and nothing
else, and an unknown one costs the same work and is told nothing.
"""

from __future__ import annotations

import secrets

from monitor.core.errors import BadInput, BadMove, NotAllowed, NotFound
from monitor.core.model import Case, CaseState, RawPost
from monitor.core.ports import Store
from monitor.core.privacy import LIMIT
from monitor.core.roles import require
from monitor.core.states import is_open
from monitor.usecases._attempts import too_many_from
from monitor.usecases._follow import FollowView, case_view, may_reopen, received_view
from monitor.usecases._member import MEMBER, add_words, checked_words
from monitor.usecases._moves import Step, advance
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest
from monitor.usecases.ratings import write_rating

DIGITS = 16
LONGEST_UNIT = 100
LONGEST_CONTACT = 500
_ASCII = {ord("０") + n: str(n) for n in range(10)}


def _short(name: str, value: str | None, most: int) -> str | None:
    text = (value or "").strip()
    if len(text) > most:
        raise BadInput(f"the {name} is longer than {most} characters; shorten it")
    return text or None


def submit(deps: Deps, channel: str, text: str, unit: str | None = None, contact: str | None = None) -> str:
    """Take a member's words in and return the receipt, which is shown once and never stored.

    Args:
        deps: what every use case is given.
        channel: name of the suggestion box as configured.
        text: 1 to 20,000 characters.
        unit: the unit that it is about, if the member named one.
        contact: where the member wants to be answered, if anywhere; sealed.

    Raises: BadInput.
    """
    require(MEMBER, "box.submit")
    receipt = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    digest = deps.keys.digest("receipt", receipt)
    raw = RawPost(
        channel=channel,
        external_id=secrets.token_hex(16),
        text=checked_words(text, LIMIT),
        unit=_short("unit", unit, LONGEST_UNIT),
        contact=_short("contact", contact, LONGEST_CONTACT),
        receipt=digest,
    )
    (post_id,) = [r.post_id for r in ingest(deps, channel, [raw]).results if r.post_id is not None]
    with deps.uow.begin(MEMBER) as store:
        store.cases.add_token(digest, "box", post_id, None)
    return receipt


# --- by receipt ------------------------------------------------------------------------------------


def _digest(deps: Deps, receipt: str) -> str:
    digits = "".join(char for char in receipt.translate(_ASCII) if not char.isspace() and char != "-")
    return deps.keys.digest("receipt", digits)


def _first_post(store: Store, deps: Deps, digest: str) -> int | None:
    """Return the post that a receipt was given out for."""
    case, post_id = store.cases.by_receipt(digest), store.cases.token(digest, "box", deps.clock.now())
    return post_id if case is None else store.cases.post_ids(case.id)[0]


def _entered(deps: Deps, receipt: str, remote: str) -> str:
    """Return the digest of a receipt that we gave out; raises NotFound, or NotAllowed after too many wrong ones."""
    digest, key, now = _digest(deps, receipt), deps.keys.digest("receipts of", remote), deps.clock.now()
    with deps.uow.read() as store:
        known = _first_post(store, deps, digest) is not None
        waits = bool(remote) and too_many_from(store, key, now)
    if waits:
        raise NotAllowed("too many wrong receipts came from this address; wait a minute")
    if known:
        return digest
    if remote:
        with deps.uow.begin(MEMBER) as store:
            store.accounts.note_failure(key, now)
    raise NotFound("no such receipt; it has sixteen digits, look at them again")


def _case(store: Store, digest: str) -> Case:
    case = store.cases.by_receipt(digest)
    if case is None:
        raise BadMove("your words have been received and are being registered; try again in a minute")
    return case


def follow(deps: Deps, receipt: str, remote: str = "") -> FollowView:
    """Return how a matter stands, in words for the member.

    Args:
        deps: what every use case is given.
        receipt: sixteen digits; blanks, hyphens and full-width digits are fine.
        remote: address of who asks, to slow guessing down; empty counts nothing.

    Raises: NotFound, NotAllowed (too many wrong receipts from this address).
    """
    require(MEMBER, "box.follow")
    digest = _entered(deps, receipt, remote)
    with deps.uow.read() as store:
        case = store.cases.by_receipt(digest)
        if case is not None:
            return case_view(store, deps, case)
        post_id = store.cases.token(digest, "box", deps.clock.now())
        return received_view(store.posts.many([] if post_id is None else [post_id]))


def add(deps: Deps, receipt: str, text: str, remote: str = "") -> FollowView:
    """Add words to an open case; what the handler asked for sets the work going again.

    Raises: NotFound, NotAllowed, BadInput, BadMove (the case is over; ask for it to be taken up again).
    """
    digest, words = _entered(deps, receipt, remote), checked_words(text)
    with deps.uow.begin(MEMBER) as store:
        case = _case(store, digest)
        require(MEMBER, "box.add", case=case)
        if not is_open(case.state):
            raise BadMove("this case is over; ask for it to be taken up again and say why")
        add_words(store, deps, case, words)
        if case.state is CaseState.WAITING:
            advance(store, deps, MEMBER, case, Step("resume", detail={"cause": "answered"}))
    return follow(deps, receipt)


def rate(deps: Deps, receipt: str, solved: str, stars: int, text: str = "", remote: str = "") -> FollowView:
    """Rate the answer (see :func:`monitor.usecases.ratings.rate`)."""
    digest = _entered(deps, receipt, remote)
    with deps.uow.begin(MEMBER) as store:
        case = _case(store, digest)
        require(MEMBER, "ratings.rate", case=case)
        write_rating(store, deps, case, solved, stars, text)
    return follow(deps, receipt)


def reopen(deps: Deps, receipt: str, reason: str, remote: str = "") -> FollowView:
    """Have a rated or closed case done again, within 30 days of its closing and twice at most.

    Raises: NotFound, NotAllowed, BadInput, BadMove.
    """
    digest, words = _entered(deps, receipt, remote), checked_words(reason)
    with deps.uow.begin(MEMBER) as store:
        case = _case(store, digest)
        require(MEMBER, "box.reopen", case=case)
        if not may_reopen(store, deps, case):
            raise BadMove(
                "this case cannot be taken up again; write to the box anew, or ask the union office"
            )
        action = "redo" if case.state is CaseState.RATED else "reopen"
        post_id = add_words(store, deps, case, words)
        advance(store, deps, MEMBER, case, Step(action, detail={"cause": "member", "post": post_id}))
    return follow(deps, receipt)


def withdraw(deps: Deps, receipt: str, remote: str = "") -> FollowView:
    """Withdraw an open case; only its member can.

    Raises: NotFound, NotAllowed, BadMove.
    """
    digest = _entered(deps, receipt, remote)
    with deps.uow.begin(MEMBER) as store:
        case = _case(store, digest)
        require(MEMBER, "box.withdraw", case=case)
        advance(store, deps, MEMBER, case, Step("withdraw"))
    return follow(deps, receipt)


__all__ = ["FollowView", "add", "follow", "rate", "reopen", "submit", "withdraw"]
