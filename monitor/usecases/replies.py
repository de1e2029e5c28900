"""Answers: drafted by a named person, approved by another, signed with the role, sent where the matter stands.

The words that leave are always draft + role mark and name + case reference (E-04, M-15); nothing but an approval
makes them leave, and a draft belongs to its author: others may withdraw it, nobody may overwrite it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed
from monitor.core.model import Actor, Case, CaseEvent, CaseKind, CaseState, Claim, Reply, ReplyState, Role
from monitor.core.ports import Store
from monitor.core.privacy import clean
from monitor.core.roles import acting_role, may, require
from monitor.usecases._moves import Step, advance
from monitor.usecases._outgoing import MARKS, send
from monitor.usecases._suggestion import SUGGESTION, Prompt, prompt_of
from monitor.usecases.deps import Deps

LONGEST = 2_000
MOST = 200
_S = CaseState
_ANSWERABLE = {
    CaseKind.CLARIFICATION: frozenset({_S.PENDING}),
    CaseKind.GRIEVANCE: frozenset(
        {
            _S.REGISTERED,
            _S.ACCEPTED,
            _S.TRANSFERRED,
            _S.RETURNED,
            _S.IN_WORK,
            _S.WAITING,
            _S.EXTENDED,
            _S.REDO,
        }
    ),
}
_FIRST = {
    _S.REGISTERED: "accept it and start it with a named handler first",
    _S.ACCEPTED: "start it with a named handler first",
    _S.TRANSFERRED: "the unit has to start it first",
    _S.RETURNED: "accept or transfer it again and start it first",
    _S.WAITING: "resume it first; the member has been asked something",
    _S.EXTENDED: "resume it first",
    _S.REDO: "start it with another handler first",
}
"""What is missing before a grievance can be answered, by state."""


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A draft that waits for its approval, with the case that it answers."""

    reply: Reply
    case: Case


def answerable(case: Case) -> bool:
    """Say whether an answer to ``case`` may be drafted now."""
    return case.state in _ANSWERABLE.get(case.kind, frozenset())


# --- drafts ----------------------------------------------------------------------------------------


def _checked(text: str) -> str:
    words = clean(text).strip()
    if not words:
        raise BadInput("there are no words in the answer; write it first")
    if len(words) > LONGEST:
        raise BadInput(f"an answer has at most {LONGEST} characters; shorten it")
    if SUGGESTION in words:
        raise BadInput(f"this is still the suggestion; check it, then take out the mark {SUGGESTION}")
    return words


def _signature(deps: Deps, actor: Actor, role: Role) -> str:
    who = " ".join(f"{actor.name or actor.login} {actor.title}".split())
    return f"{MARKS[role]}{who} · {deps.rules.union_name}"


def _own_draft(store: Store, new: Reply) -> Reply | None:
    """Return the draft that stands already when the same words are sent twice; raises Conflict for other ones."""
    drafts = [reply for reply in store.replies.of(new.case_id) if reply.state is ReplyState.DRAFT]
    own = next((reply for reply in drafts if reply.author == new.author), None)
    if own is not None and own.text != new.text:
        raise Conflict("you have a draft for this case already; change that one")
    return own


def _next_draft(store: Store, held: Reply, new: Reply, version: int | None) -> Reply:
    if held.case_id != new.case_id:
        raise BadInput("this draft belongs to another case")
    if held.author != new.author:
        raise NotAllowed("a draft is its author's; withdraw it, or write one of your own")
    if held.state is not ReplyState.DRAFT:
        raise BadMove(f"this answer is {held.state}; only a draft can be changed")
    if version != held.version:
        raise Conflict("this draft was changed meanwhile; read it again")
    return store.replies.save(
        replace(held, text=new.text, role=new.role, signature=new.signature), held.version
    )


def _event(store: Store, deps: Deps, reply: Reply, kind: str, who: tuple[Actor, Role]) -> None:
    """Append what happened to an answer to the history and the ledger, which holds a digest of the words."""
    (actor, role), now = who, deps.clock.now()
    detail = {"reply": reply.id, "version": reply.version}
    store.events.add(CaseEvent(reply.case_id, kind, actor.login, role, now, detail=detail))
    content = detail | {"text": reply.text, "signature": reply.signature}
    reference = store.cases.get(reply.case_id).reference
    store.ledger.append(kind.replace("_", "."), reference, actor.login, content, now)


def draft(
    deps: Deps,
    actor: Actor,
    case_id: int,
    text: str,
    reply_id: int | None = None,
    version: int | None = None,
) -> Reply:
    """Write or change a draft of an answer.

    Args:
        deps: what every use case is given.
        actor: who writes; name and title sign the answer.
        case_id: the case to answer.
        text: the words, 1 to 2,000 characters.
        reply_id: the own draft to change; None begins one.
        version: the version of that draft that was seen.

    Raises: NotFound, NotAllowed (another person's draft), BadMove (nothing to answer), Conflict, BadInput.
    """
    with deps.uow.begin(actor) as store:
        case = store.cases.hold(case_id)
        role = acting_role(actor, "replies.draft", case=case)
        if not answerable(case):
            raise BadMove(f"a {case.kind} case that is {case.state} takes no answer")
        first = store.posts.get(store.cases.post_ids(case_id)[0])
        new = Reply(
            id=0,
            case_id=case_id,
            channel=first.channel,
            text=_checked(text),
            author=actor.login,
            role=role,
            state=ReplyState.DRAFT,
            created_at=deps.clock.now(),
            thread=first.thread,
            to_post=first.id,
            signature=_signature(deps, actor, role),
        )
        if reply_id is not None:
            saved = _next_draft(store, store.replies.get(reply_id), new, version)
        elif again := _own_draft(store, new):
            return again
        else:
            saved = store.replies.add(new)
        _event(store, deps, saved, "reply_drafted", (actor, role))
    return saved


def _held(store: Store, actor: Actor, verb: str, reply_id: int, version: int) -> tuple[Reply, Case, Role]:
    """Return a draft in the version that the actor saw, its case, and the role that they act in."""
    reply = store.replies.get(reply_id)
    case = store.cases.get(reply.case_id)
    role = acting_role(actor, verb, case=case)
    if reply.state is not ReplyState.DRAFT:
        raise BadMove(f"this answer is {reply.state}; only a draft waits for somebody")
    if reply.version != version:
        raise Conflict("this draft was changed since you read it; read it again")
    return reply, case, role


def withdraw(deps: Deps, actor: Actor, reply_id: int, version: int) -> Reply:
    """Take a draft back or turn it down; a handler only their own.

    Raises: NotFound, NotAllowed, BadMove (it is not a draft any more), Conflict.
    """
    with deps.uow.begin(actor) as store:
        reply, case, role = _held(store, actor, "replies.withdraw", reply_id, version)
        if reply.author != actor.login and not may(actor, "replies.approve", case=case):
            raise NotAllowed("this draft is another person's; an officer or opinion leader can turn it down")
        saved = store.replies.save(replace(reply, state=ReplyState.WITHDRAWN), version)
        _event(store, deps, saved, "reply_withdrawn", (actor, role))
    return saved


# --- approval --------------------------------------------------------------------------------------


def _rate_link(store: Store, deps: Deps, case: Case) -> str:
    token = secrets.token_urlsafe(24)
    store.cases.add_token(deps.keys.digest("token", token), "rate", case.id, None)
    return f"{deps.rules.base_url.rstrip('/')}/rate/{token}"


def approve(deps: Deps, actor: Actor, reply_id: int, version: int) -> Reply:
    """Approve another person's draft: the case is answered, and one effect per channel and thread is written.

    Args:
        deps: what every use case is given.
        actor: who approves, not the author.
        reply_id: which draft.
        version: its version that was read.

    Raises: NotFound, NotAllowed (own draft), Conflict, BadMove (a step of the case is missing, and which), BadInput
        (the same words stand in these threads, or left three times today).
    """
    with deps.uow.begin(actor) as store:
        reply, case, role = _held(store, actor, "replies.approve", reply_id, version)
        if deps.rules.two_person_reply and reply.author == actor.login:
            raise NotAllowed("another person than the author approves an answer")
        if case.kind is CaseKind.GRIEVANCE and case.state in _FIRST:
            raise BadMove(f"this case is {case.state}; {_FIRST[case.state]}, then approve the answer")
        now = deps.clock.now()
        approved = replace(reply, state=ReplyState.APPROVED, approved_by=actor.login, approved_at=now)
        saved = store.replies.save(approved, version)
        link = _rate_link(store, deps, case) if case.kind is CaseKind.GRIEVANCE else None
        # The ledger lets one transaction at a time go on, so what send() counts, nobody else counts meanwhile.
        _event(store, deps, saved, "reply_approved", (actor, role))
        threads = send(store, deps, case, saved, link)
        advance(store, deps, actor, case, Step("answer", detail={"reply": saved.id, "threads": threads}))
    return saved


# --- reading ---------------------------------------------------------------------------------------


def inbox(deps: Deps, actor: Actor, limit: int) -> list[ReplyRow]:
    """Return drafts that wait for an approval and that this actor may read, newest first. Raises NotAllowed."""
    require(actor, "replies.inbox")
    rows: list[ReplyRow] = []
    most, after = max(1, min(limit, MOST)), None
    with deps.uow.read() as store:
        while len(rows) < most and (page := store.replies.page((ReplyState.DRAFT,), after, MOST)):
            after = page[-1].id
            found = [ReplyRow(reply, store.cases.get(reply.case_id)) for reply in page]
            rows += [row for row in found if may(actor, "replies.inbox", case=row.case)]
    return rows[:most]


def suggest(deps: Deps, actor: Actor, case_id: int) -> Prompt:
    """Return what helps to answer a case: the statement, facts in force with their sources, where it runs, a draft.

    Raises: NotFound, NotAllowed.
    """
    with deps.uow.read() as store:
        case = store.cases.get(case_id)
        require(actor, "replies.suggest", case=case)
        posts = store.posts.many(store.cases.post_ids(case_id))
        claim: Claim | None = store.claims.of(case_id)
    return prompt_of(case, posts, claim, deps.clock.now())


__all__ = ["Prompt", "ReplyRow", "answerable", "approve", "draft", "inbox", "suggest", "withdraw"]
