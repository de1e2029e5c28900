"""The paths for programs: each is one plain function over a use case, called in a thread.

:data:`OPERATIONS` is the one table from which both the routes and the OpenAPI document are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from monitor.bootstrap import App
from monitor.core.model import Actor
from monitor.core.ports import CaseFilter, PostFilter
from monitor.core.privacy import clean
from monitor.runtime._web import asks, figures, wire
from monitor.runtime._web.once import Check, fingerprint, once, seen_case, seen_decision
from monitor.runtime._web.reading import (
    body_of,
    given,
    key_of,
    name_of,
    number_of,
    query_of,
    token_of,
    unauthorized,
)
from monitor.usecases import accounts, cases, claims, decide, ledger, queue, replies, trends
from monitor.usecases.deps import Deps

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and checked: the id or name in the path, the query or the body as a struct."""

    app: App
    actor: Actor
    at: Any = None
    given: Any = None


Run = Callable[[Deps, Call], msgspec.Struct]
Seen = Callable[[Call], Check]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        method: GET or POST.
        path: the template.
        summary: one sentence for the documents.
        answer: struct of the 200 answer.
        run: does it; with the dependencies to use and the call.
        query: struct of the query, for reading.
        body: struct of the body: then it is a change, with Idempotency-Key.
        seen: makes the check that runs inside the transaction of a change.
        at: ``id`` for a number in the path, ``ref`` for a name.
        refusals: codes of the problems it may answer besides those of every path.
    """

    method: str
    path: str
    summary: str
    answer: type[msgspec.Struct]
    run: Run
    query: type[asks.Asked] | None = None
    body: type[asks.Asked] | None = None
    seen: Seen | None = None
    at: str = ""
    refusals: tuple[str, ...] = ()


def picked(value: object, kind: type[T]) -> T:
    """Return the fields of ``kind`` out of a view of a use case, and nothing else of it."""
    return msgspec.convert(value, kind, from_attributes=True)


# --- reading ---------------------------------------------------------------------------------------


def _queue(deps: Deps, call: Call) -> wire.QueuePage:
    asked: asks.QueueQuery = call.given
    where = CaseFilter(
        asked.kind, asked.state, given(asked.channel), given(asked.unit), topic=given(asked.topic)
    )
    rank, _dot, number = (given(asked.after) or "").partition(".")
    after = (int(rank), int(number)) if number else None
    rows = queue.page(deps, call.actor, where, after, asked.limit)
    last = rows[-1].case if len(rows) == asked.limit else None
    return wire.QueuePage(
        [picked(row, wire.QueueRow) for row in rows], None if last is None else f"{last.rank}.{last.id}"
    )


def _case(deps: Deps, call: Call) -> wire.CaseFull:
    return picked(queue.view(deps, call.actor, call.at), wire.CaseFull)


def _claims(deps: Deps, call: Call) -> wire.ClaimPage:
    asked: asks.PageQuery = call.given
    found = claims.page(deps, call.actor, given(asked.after), asked.limit)
    last = found[-1].id if len(found) == asked.limit else None
    return wire.ClaimPage([picked(claim, wire.ClaimOut) for claim in found], last)


def _trends(deps: Deps, call: Call) -> wire.TrendsOut:
    asked: asks.TrendQuery = call.given
    label = given(asked.label)
    where = PostFilter(
        given(asked.since),
        given(asked.until),
        given(asked.channel),
        given(asked.unit),
        None if label is None else label.value,
        given(asked.topic),
    )
    cells = trends.series(deps, call.actor, where, asked.by, asked.group)
    totals = trends.totals(deps, call.actor, where)
    return wire.TrendsOut(asked.by, asked.group, [picked(cell, wire.TrendCellOut) for cell in cells], totals)


def _report(_deps: Deps, call: Call) -> wire.ReportOut:
    return figures.of(call.app)


def _ledger_head(deps: Deps, _call: Call) -> wire.LedgerHead:
    head = ledger.head(deps)
    return wire.LedgerHead(None if head is None else picked(head, wire.LedgerEntryOut))


def _ledger_verify(deps: Deps, _call: Call) -> wire.LedgerVerified:
    return picked(ledger.verify(deps), wire.LedgerVerified)


def _ledger_prove(deps: Deps, call: Call) -> wire.LedgerProof:
    entries = [picked(entry, wire.LedgerEntryOut) for entry in ledger.prove(deps, call.at)]
    return wire.LedgerProof(call.at, entries, _ledger_head(deps, call).head)


# --- changing --------------------------------------------------------------------------------------


def _seen(call: Call) -> Check:
    return seen_case(call.actor, call.at, call.given.version)


def _seen_undo(call: Call) -> Check:
    return seen_decision(call.actor, call.at, call.given.version, call.given.decision_id)


def _claim(deps: Deps, call: Call) -> wire.ClaimedCase:
    return picked(queue.claim(deps, call.actor, call.at), wire.ClaimedCase)


def _release(deps: Deps, call: Call) -> wire.Released:
    queue.release(deps, call.actor, call.at)
    return wire.Released(call.at, True)


def _decide(deps: Deps, call: Call) -> wire.DecisionMade:
    asked: asks.DecisionBody = call.given
    quote = None if asked.quote is None else (asked.quote.post_id, asked.quote.start, asked.quote.end)
    request = decide.DecisionRequest(
        call.at,
        asked.version,
        asked.action,
        asked.rule,
        quote,
        note=clean(asked.note),
        explanation=clean(asked.explanation),
        mute_seconds=asked.mute_seconds,
    )
    made = decide.decide(deps, call.actor, request)
    return wire.DecisionMade(
        made.id or None,
        not made.id,
        made.case_id,
        made.action,
        made.actor,
        made.role,
        made.at,
        made.rule,
        made.appeal_until,
        made.undo_until,
    )


def _undo(deps: Deps, call: Call) -> wire.CaseOut:
    return picked(decide.undo(deps, call.actor, call.given.decision_id), wire.CaseOut)


def _move(deps: Deps, call: Call) -> wire.CaseOut:
    asked: asks.MoveBody = call.given
    moved = cases.move(
        deps,
        call.actor,
        call.at,
        asked.version,
        clean(asked.action),
        clean(asked.reason),
        None if asked.unit is None else clean(asked.unit),
        None if asked.assignee is None else clean(asked.assignee),
    )
    return picked(moved, wire.CaseOut)


def _reply(deps: Deps, call: Call) -> wire.ReplyMade:
    asked: asks.ReplyBody = call.given
    reply = replies.draft(deps, call.actor, call.at, clean(asked.text), asked.reply_id, asked.reply_version)
    return picked(reply, wire.ReplyMade)


def _approve(deps: Deps, call: Call) -> wire.ReplyMade:
    reply = replies.approve(deps, call.actor, call.at, call.given.version)
    return picked(reply, wire.ReplyMade)


_CASE: Final = "/v1/cases/{id}"
_RULES: Final = (
    "policy.not_allowed",
    "store.not_found",
    "store.conflict",
    "policy.bad_move",
    "policy.bad_input",
)


def _get(
    path: str, summary: str, answer: type[msgspec.Struct], run: Run, *refusals: str, **more: Any
) -> Operation:
    return Operation("GET", path, summary, answer, run, refusals=refusals, **more)


def _post(
    path: str,
    summary: str,
    answer: type[msgspec.Struct],
    run: Run,
    body: type[asks.Asked],
    seen: Seen | None = _seen,
) -> Operation:
    return Operation("POST", path, summary, answer, run, body=body, seen=seen, at="id", refusals=_RULES)


OPERATIONS: Final = (
    _get(
        "/v1/queue",
        "Cases that wait for a person, the most urgent first.",
        wire.QueuePage,
        _queue,
        "policy.not_allowed",
        query=asks.QueueQuery,
    ),
    _get(
        _CASE,
        "A case with its posts, their readings, its history, and what may be done now.",
        wire.CaseFull,
        _case,
        "policy.not_allowed",
        "store.not_found",
        at="id",
    ),
    _post(
        f"{_CASE}/claim",
        "Take a case, so that nobody else decides it meanwhile; asking again renews it.",
        wire.ClaimedCase,
        _claim,
        asks.Seen,
    ),
    _post(f"{_CASE}/release", "Give a case back.", wire.Released, _release, asks.Seen),
    _post(
        f"{_CASE}/decisions",
        "Decide about the posts of a case.",
        wire.DecisionMade,
        _decide,
        asks.DecisionBody,
    ),
    _post(
        f"{_CASE}/undo",
        "Take back an own decision while that is possible.",
        wire.CaseOut,
        _undo,
        asks.UndoBody,
        _seen_undo,
    ),
    _post(
        f"{_CASE}/moves",
        "Make one step in the life of a case: accept, transfer, start, ask and so on.",
        wire.CaseOut,
        _move,
        asks.MoveBody,
    ),
    _post(
        f"{_CASE}/replies",
        "Write the draft of an answer, or other words for one.",
        wire.ReplyMade,
        _reply,
        asks.ReplyBody,
    ),
    _post(
        "/v1/replies/{id}/approve",
        "Approve the draft of another person: it leaves after the delay for undoing.",
        wire.ReplyMade,
        _approve,
        asks.Seen,
        None,
    ),
    _get(
        "/v1/claims",
        "Checkable statements with their clarifications.",
        wire.ClaimPage,
        _claims,
        "policy.not_allowed",
        query=asks.PageQuery,
    ),
    _get(
        "/v1/trends",
        "Counts of posts over time; figures of too few people are hidden.",
        wire.TrendsOut,
        _trends,
        "policy.not_allowed",
        "policy.bad_input",
        query=asks.TrendQuery,
    ),
    _get(
        "/v1/reports",
        "The public figures of the present moment, with their denominators.",
        wire.ReportOut,
        _report,
    ),
    _get("/v1/ledger/head", "The last entry of the ledger.", wire.LedgerHead, _ledger_head),
    _get("/v1/ledger/verify", "Whether the hash chain holds.", wire.LedgerVerified, _ledger_verify),
    _get(
        "/v1/ledger/prove/{ref}",
        "The entries about one thing, by its reference.",
        wire.LedgerProof,
        _ledger_prove,
        at="ref",
    ),
)


# --- serving ---------------------------------------------------------------------------------------


def _authenticated(app: App, token: str) -> Actor:
    actor = accounts.actor_of_token(app.deps, token)
    if actor is None:
        raise unauthorized()
    return actor


async def actor_of(app: App, request: web.Request) -> Actor:
    """Return who a program acts as; raises Refusal without a valid token."""
    return await asyncio.to_thread(_authenticated, app, token_of(request))


def _at(operation: Operation, request: web.Request) -> int | str | None:
    if operation.at == "id":
        return number_of(request, "id")
    return name_of(request, operation.at) if operation.at else None


async def _read(app: App, operation: Operation, request: web.Request) -> bytes:
    actor = await actor_of(app, request)
    asked = None if operation.query is None else query_of(request, operation.query)
    call = Call(app, actor, _at(operation, request), asked)
    return await asyncio.to_thread(lambda: msgspec.json.encode(operation.run(app.deps, call)))


async def _change(app: App, operation: Operation, request: web.Request, body: type[asks.Asked]) -> bytes:
    actor = await actor_of(app, request)
    key, at = key_of(request), _at(operation, request)
    raw = await request.read()
    call = Call(app, actor, at, body_of(raw, body))
    check = (lambda _store: None) if operation.seen is None else operation.seen(call)
    asked = fingerprint(request.method, request.path, raw)

    def change(deps: Deps) -> bytes:
        return msgspec.json.encode(operation.run(deps, call))

    return await asyncio.to_thread(once, app.deps, actor, key, asked, change, check)


def handler(app: App, operation: Operation) -> Callable[[web.Request], Any]:
    """Return the aiohttp handler of an operation."""

    async def handle(request: web.Request) -> web.Response:
        if operation.body is None:
            answer = await _read(app, operation, request)
        else:
            answer = await _change(app, operation, request, operation.body)
        return web.Response(body=answer, content_type="application/json")

    return handle


def add_routes(web_app: web.Application, app: App) -> None:
    """Open every path of :data:`OPERATIONS`."""
    for operation in OPERATIONS:
        web_app.router.add_route(operation.method, operation.path, handler(app, operation))


__all__ = ["OPERATIONS", "Operation", "actor_of", "add_routes", "picked"]
