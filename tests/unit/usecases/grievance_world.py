"""A small world around grievances for the tests of use cases: people with accounts, cases in every state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from monitor.core.model import Account, Actor, Case, CaseEvent, CaseKind, CaseState, Reply, Role
from monitor.core.ports import CaseFilter
from monitor.core.states import fold
from monitor.testing.builders import HANDLER, LEADER, MODERATOR, OFFICER, person, raw
from monitor.usecases import cases, replies
from monitor.usecases._moves import last_day
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest
from monitor.usecases.understand import process

OFFICER_2 = person("olga", Role.OFFICER)
HANDLER_2 = person("hugo", Role.HANDLER, unit=HANDLER.unit)
STRANGER = person("stan", Role.HANDLER, unit="人事处")
PEOPLE = (OFFICER, OFFICER_2, LEADER, HANDLER, HANDLER_2, STRANGER, MODERATOR)
S = CaseState


def staff(deps: Deps) -> None:
    """Add an account for everybody of :data:`PEOPLE`."""
    with deps.uow.begin() as store:
        for who in PEOPLE:
            account = Account(who.login, who.name, who.title, who.roles, who.unit, True, deps.clock.now())
            store.accounts.add(account, "-")


def feed(deps: Deps, *posts: object, channel: str = "qq") -> None:
    """Take posts in and understand them."""
    ingest(deps, channel, posts)  # type: ignore[arg-type]
    while process(deps, "w1"):
        pass


def newest(deps: Deps, kind: CaseKind = CaseKind.GRIEVANCE) -> Case:
    """Return the case of this kind that was opened last."""
    with deps.uow.read() as store:
        return max(store.cases.page(CaseFilter(kinds=(kind,)), None, 1000), key=lambda case: case.id)


_count = iter(range(10**9))


def grievance(deps: Deps, text: str = "停车难，请想想办法", **fields: object) -> Case:
    """Open a grievance of its own."""
    number = next(_count)
    feed(deps, raw(f"g{number}", f"第{number:06d}件：{text}", **fields))
    return newest(deps)


def look(deps: Deps, case: Case) -> Case:
    """Return ``case`` as stored now, after checking that its history adds up to its state and its date."""
    with deps.uow.read() as store:
        now, events = store.cases.get(case.id), store.events.of(case.id)
    assert fold(now.kind, events) is now.state
    if now.due_at is not None and (dates := [e for e in events if e.kind == "due_changed"]):
        assert dates[-1].detail["due"] == now.due_at.isoformat()
    return now


def events_of(deps: Deps, case: Case, *kinds: str) -> list[CaseEvent]:
    """Return the history of a case, or its events of some kinds."""
    with deps.uow.read() as store:
        return [e for e in store.events.of(case.id) if not kinds or e.kind in kinds]


def ledger_kinds(deps: Deps, reference: str) -> list[str]:
    """Return the kinds of the ledger entries about a case."""
    with deps.uow.read() as store:
        return [entry.kind for entry in store.ledger.entries(0, 10_000) if entry.ref == reference]


def go(deps: Deps, case: Case, action: str, actor: Actor = OFFICER, **given: str) -> Case:
    """Make one move from the present version."""
    return cases.move(deps, actor, case.id, look(deps, case).version, action, **given)


def answered(deps: Deps, case: Case, text: str = "已经协调，下周起增加班车。") -> Case:
    """Answer a case that is in work: drafted by a leader, approved by an officer."""
    held = replies.draft(
        deps, LEADER, case.id, f"{text}（{case.reference} 第 {look(deps, case).version} 版）"
    )
    replies.approve(deps, OFFICER, held.id, held.version)
    return look(deps, case)


def in_work(deps: Deps, case: Case, assignee: str = HANDLER.login) -> Case:
    """Accept and start a registered case."""
    return go(deps, go(deps, case, "accept"), "start", assignee=assignee)


ROADS: dict[CaseState, Sequence[Callable[[Deps, Case], object]]] = {
    S.REGISTERED: (),
    S.ACCEPTED: (lambda d, c: go(d, c, "accept"),),
    S.DECLINED: (lambda d, c: go(d, c, "decline", reason="不属于工会职责，请向财务处反映"),),
    S.TRANSFERRED: (lambda d, c: go(d, c, "transfer", unit="后勤处"),),
    S.RETURNED: (
        lambda d, c: go(d, c, "transfer", unit="后勤处"),
        lambda d, c: go(d, c, "return", HANDLER, reason="不归我们管"),
    ),
    S.IN_WORK: (in_work,),
    S.WAITING: (in_work, lambda d, c: go(d, c, "ask", reason="请说明是哪个校区")),
    S.EXTENDED: (in_work, lambda d, c: go(d, c, "extend", reason="需要等基建处论证")),
    S.ANSWERED: (in_work, answered),
}
"""How to bring a registered case into a state."""


def bring(deps: Deps, case: Case, state: CaseState) -> Case:
    """Bring a registered case into ``state`` by the moves of people."""
    for take in ROADS[state]:
        take(deps, case)
    found = look(deps, case)
    assert found.state is state
    return found


def reply_of(deps: Deps, case: Case) -> Reply:
    """Return the last answer of a case."""
    with deps.uow.read() as store:
        return store.replies.of(case.id)[-1]


def day(at: datetime | None) -> str:
    """Return the last day of a limit."""
    return "" if at is None else last_day(at)
