"""A change asked for twice under one Idempotency-Key happens once and is answered alike.

A mark is written in the very transaction of the change, so that neither a crash nor a second process can make it
happen again; the answer follows after the commit.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import msgspec

from monitor.core.errors import Conflict, NotAllowed, NotFound
from monitor.core.model import SYSTEM, Actor
from monitor.core.ports import Store, UnitOfWork
from monitor.core.roles import sees
from monitor.runtime._web.problems import Refusal
from monitor.usecases.deps import Deps

Check = Callable[[Store], None]
_MARK, _ANSWER = "http:", "http-answer:"


class _Mark(msgspec.Struct, frozen=True):
    asked: str
    by: str


class _Before(Exception):
    """The mark of an earlier request was found: nothing is done now."""

    def __init__(self, asked: str) -> None:
        super().__init__()
        self.asked = asked


class _Marking:
    """A unit of work that checks what was seen and writes the mark before the use case touches anything."""

    def __init__(
        self, inner: UnitOfWork, deps: Deps, name: str, mark: _Mark, login: str, check: Check
    ) -> None:
        self._inner = inner
        self._deps = deps
        self._name = name
        self._mark = mark
        self._login = login
        self._check = check
        self._checked = False

    @contextmanager
    def begin(self, actor: Actor = SYSTEM) -> Iterator[Store]:
        """Open a write transaction that carries the mark."""
        with self._inner.begin(actor) as store:
            text = msgspec.json.encode(self._mark).decode()
            store.operations.remember(self._name, self._login, text, self._deps.clock.now())
            found = msgspec.json.decode(
                store.operations.remembered(self._name, self._login) or text, type=_Mark
            )
            if found.by != self._mark.by:
                raise _Before(found.asked)
            if not self._checked:
                self._check(store)
                self._checked = True
            yield store

    def read(self) -> AbstractContextManager[Store]:
        """Open a read-only view."""
        return self._inner.read()

    def close(self) -> None:
        """Leave the inner one open: it is not ours."""


def fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what tells two requests apart."""
    return hashlib.sha256(b"\x00".join((method.encode(), path.encode("utf-8", "replace"), body))).hexdigest()


def once(
    deps: Deps,
    actor: Actor,
    key: str,
    asked: str,
    change: Callable[[Deps], bytes],
    check: Check = lambda _store: None,
) -> bytes:
    """Make ``change`` unless it was made under this key, and return its answer, the first time's in any case.

    Args:
        deps: what every use case is given.
        actor: whose key it is.
        key: the Idempotency-Key.
        asked: fingerprint of the request; another one under the same key is refused.
        change: runs one use case with the dependencies that it is given and encodes the answer.
        check: looks at the store inside the transaction, before the change.

    Raises: Refusal when the key was used for something else, or when its answer is not there yet; whatever
        ``change`` and ``check`` raise, and then nothing is remembered.
    """
    digest = hashlib.sha256(key.encode()).hexdigest()
    kept = _kept(deps, digest, actor.login, asked)
    if kept is not None:
        return kept
    mark = _Mark(asked, secrets.token_hex(16))
    marking = _Marking(deps.uow, deps, _MARK + digest, mark, actor.login, check)
    try:
        answer = change(replace(deps, uow=marking))
    except _Before as before:
        kept = _kept(deps, digest, actor.login, asked)
        if kept is not None:
            return kept
        raise _refused(before.asked, asked) from None
    with deps.uow.begin(actor) as store:
        store.operations.remember(_ANSWER + digest, actor.login, answer.decode(), deps.clock.now())
    return answer


def _kept(deps: Deps, digest: str, login: str, asked: str) -> bytes | None:
    with deps.uow.read() as store:
        mark = store.operations.remembered(_MARK + digest, login)
        answer = store.operations.remembered(_ANSWER + digest, login)
    if mark is None:
        return None
    before = msgspec.json.decode(mark, type=_Mark).asked
    if before != asked or answer is None:
        raise _refused(before, asked)
    return answer.encode()


def _refused(before: str, asked: str) -> Refusal:
    if before != asked:
        return Refusal("idempotency.reused", "use a new key for every new change; this one was used before")
    return Refusal(
        "idempotency.answer_lost",
        "ask again in a moment; if it stays so, look at the case: the change was made",
        headers={"Retry-After": "1"},
    )


def seen_case(actor: Actor, case_id: int, version: int) -> Check:
    """Return a check that the case is one that ``actor`` may touch and still has the version seen."""

    def check(store: Store) -> None:
        case = store.cases.get(case_id)
        if not sees(actor, case):
            raise NotAllowed("this case belongs to another unit or role")
        if case.version != version:
            raise Conflict(f"the case has version {case.version} now; look at it again before you change it")

    return check


def seen_decision(actor: Actor, case_id: int, version: int, decision_id: int) -> Check:
    """Return a check of the case, and that the decision is one of this case."""
    case = seen_case(actor, case_id, version)

    def check(store: Store) -> None:
        case(store)
        if store.decisions.get(decision_id).case_id != case_id:
            raise NotFound("this case has no such decision")

    return check


__all__ = ["Check", "fingerprint", "once", "seen_case", "seen_decision"]
