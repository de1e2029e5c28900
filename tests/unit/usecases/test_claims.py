"""Verdicts: sources, dates, versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from grievance_world import events_of, feed, grievance, ledger_kinds, newest

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed, NotFound
from monitor.core.model import Actor, Case, CaseKind, Claim, ClaimState
from monitor.testing.builders import ADMIN, HANDLER, LEADER, MODERATOR, OFFICER, FixedClock, raw
from monitor.usecases import claims
from monitor.usecases.claims import VALID_DAYS, in_force
from monitor.usecases.deps import Deps

VERDICTS = (ClaimState.TRUE, ClaimState.FALSE, ClaimState.PARTLY)


@pytest.fixture
def case(deps: Deps) -> Case:
    feed(deps, raw("1", "听说绩效要砍"))
    return newest(deps, CaseKind.CLARIFICATION)


def save(
    deps: Deps, case: Case, state: ClaimState = ClaimState.FALSE, version: int = 0, **given: object
) -> Claim:
    fields = {"statement": "绩效要砍三成", "facts": "没有这样的方案。", "sources": "公告 3 号", "until": None}
    fields |= given
    return claims.save_claim(
        deps,
        fields.get("who", LEADER),  # type: ignore[arg-type]
        case.id,
        fields["statement"],  # type: ignore[arg-type]
        state,
        fields["facts"],  # type: ignore[arg-type]
        fields["sources"],  # type: ignore[arg-type]
        fields["until"],  # type: ignore[arg-type]
        version,
    )


def test_a_verdict_is_kept_with_its_owner_and_its_date(deps: Deps, case: Case, clock: FixedClock) -> None:
    made = save(deps, case, statement="  绩效要砍三成\n")
    assert (made.statement, made.state, made.owner, made.version) == (
        "绩效要砍三成",
        ClaimState.FALSE,
        "lea",
        1,
    )
    assert made.valid_until == clock.now() + timedelta(days=VALID_DAYS)
    (event,) = events_of(deps, case, "claim_saved")
    assert (event.role, event.detail) == ("leader", {"claim": made.id, "state": "false", "version": 1})
    assert ledger_kinds(deps, case.reference)[-1] == "claim.saved"
    assert claims.page(deps, MODERATOR, None, 10) == [made]


def test_a_second_verdict_needs_the_version_of_the_first(deps: Deps, case: Case, clock: FixedClock) -> None:
    first = save(deps, case)
    clock.advance(days=1)
    with pytest.raises(Conflict, match="meanwhile"):
        save(deps, case, ClaimState.TRUE)
    with pytest.raises(Conflict):
        save(deps, case, ClaimState.TRUE, 2)
    second = save(deps, case, ClaimState.TRUE, 1, who=OFFICER)
    assert (second.id, second.version, second.created_at, second.owner) == (
        first.id,
        2,
        first.created_at,
        "otto",
    )
    assert claims.page(deps, OFFICER, None, 10) == [second]


@pytest.mark.parametrize("state", VERDICTS)
def test_a_verdict_needs_sources(deps: Deps, case: Case, state: ClaimState) -> None:
    with pytest.raises(BadInput, match="needs its sources"):
        save(deps, case, state, sources=" \n")
    assert save(deps, case, state).state is state


@pytest.mark.parametrize("state", [ClaimState.UNVERIFIED, ClaimState.OPINION])
def test_what_is_no_verdict_needs_none_and_never_expires(deps: Deps, case: Case, state: ClaimState) -> None:
    made = save(deps, case, state, sources="")
    assert made.valid_until is None
    assert not in_force(made, deps.clock.now())


@pytest.mark.parametrize(
    "given",
    [
        {"statement": " "},
        {"statement": "长" * 301},
        {"facts": "长" * 2001},
        {"sources": "长" * 2001},
        {"until": datetime(2026, 3, 2, 1, 0, tzinfo=UTC)},
        {"until": datetime(2099, 1, 1)},  # noqa: DTZ001
    ],
)
def test_what_is_refused(deps: Deps, case: Case, given: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        save(deps, case, **given)
    assert events_of(deps, case, "claim_saved") == []


def test_nobody_declares_facts_expired(deps: Deps, case: Case) -> None:
    with pytest.raises(BadInput, match="by their date"):
        save(deps, case, ClaimState.EXPIRED)


def test_only_a_clarification_has_a_statement(deps: Deps) -> None:
    with pytest.raises(BadMove, match="reroute"):
        save(deps, grievance(deps), who=OFFICER)
    with pytest.raises(NotFound):
        claims.save_claim(deps, OFFICER, 999, "x", ClaimState.OPINION, "", "", None, 0)


@pytest.mark.parametrize("who", [MODERATOR, HANDLER, ADMIN], ids=lambda a: a.login)
def test_others_write_none(deps: Deps, case: Case, who: Actor) -> None:
    with pytest.raises(NotAllowed):
        save(deps, case, who=who)


def test_facts_hold_until_their_date(deps: Deps, case: Case, clock: FixedClock) -> None:
    until = clock.now() + timedelta(days=3)
    made = save(deps, case, until=until)
    assert made.valid_until == until
    assert in_force(made, until - timedelta(seconds=1))
    assert not in_force(made, until)
    assert not in_force(None, until)


def test_pages(deps: Deps) -> None:
    for n in range(3):
        feed(deps, raw(f"c{n}", f"第{n}个：听说要搬家到{n}号"))
        save(deps, newest(deps, CaseKind.CLARIFICATION), statement=f"说法{n}")
    first = claims.page(deps, LEADER, None, 2)
    assert [claim.statement for claim in first] == ["说法2", "说法1"]
    assert [claim.statement for claim in claims.page(deps, LEADER, first[-1].id, 2)] == ["说法0"]
    assert len(claims.page(deps, LEADER, None, 0)) == 1
    with pytest.raises(NotAllowed):
        claims.page(deps, HANDLER, None, 10)
