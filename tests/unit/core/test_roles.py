"""The permission matrix (S-01), the object rules (S-02), and that no use case asks for a verb without a row."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from monitor.core.errors import NotAllowed
from monitor.core.model import Actor, Case, CaseKind, CaseState, Role
from monitor.core.roles import (
    PERMISSIONS,
    SEES,
    acting_role,
    may,
    own_unit_only,
    require,
    sees,
    visible_kinds,
)

USECASES = Path(__file__).resolve().parents[3] / "monitor" / "usecases"
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def actor(*roles: Role, unit: str | None = None, login: str = "x") -> Actor:
    return Actor(login, frozenset(roles), unit)


def case(kind: CaseKind, unit: str | None = None) -> Case:
    return Case(1, kind, CaseState.PENDING, 1, 1, NOW, NOW, "qq", unit=unit)


@pytest.mark.parametrize(("verb", "role"), list(product(PERMISSIONS, Role)))
def test_matrix_denies_what_is_not_listed(verb: str, role: Role) -> None:
    who = actor(role, unit="后勤处")
    assert may(who, verb) is (role in PERMISSIONS[verb])
    for kind in CaseKind:
        expected = role in PERMISSIONS[verb] and kind in SEES[role]
        assert may(who, verb, case=case(kind, "后勤处")) is expected


@pytest.mark.parametrize("role", Role)
def test_a_verb_without_a_row_is_refused_for_everybody(role: Role) -> None:
    with pytest.raises(NotAllowed, match="no row"):
        require(actor(role), "decide.everything")
    assert not may(actor(role), "decide.everything")


def _verbs_asked_for() -> list[tuple[str, str]]:
    asked = []
    for path in sorted(USECASES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in {"require", "may", "acting_role"} or len(node.args) < 2:
                continue
            verb = node.args[1]
            if isinstance(verb, ast.Constant) and isinstance(verb.value, str):
                asked.append((path.name, verb.value))
    return asked


def test_every_verb_that_a_use_case_asks_for_has_a_row() -> None:
    asked = _verbs_asked_for()
    assert asked, "no use case asks for anything: the search is broken"
    assert not [(name, verb) for name, verb in asked if verb not in PERMISSIONS]


def test_a_handler_touches_only_the_own_unit() -> None:
    handler = actor(Role.HANDLER, unit="后勤处")
    assert may(handler, "queue.view", case=case(CaseKind.GRIEVANCE, "后勤处"))
    assert not may(handler, "queue.view", case=case(CaseKind.GRIEVANCE, "人事处"))
    assert not may(handler, "queue.view", case=case(CaseKind.GRIEVANCE, None))
    assert not may(actor(Role.HANDLER), "queue.view", case=case(CaseKind.GRIEVANCE, None))
    assert own_unit_only(handler)
    assert not own_unit_only(actor(Role.HANDLER, Role.OFFICER))
    assert not own_unit_only(actor(Role.MODERATOR))


def test_one_role_must_grant_the_verb_and_see_the_case() -> None:
    """The verb of one role and the sight of another do not add up to a permission."""
    both = actor(Role.CUSTODIAN, Role.LEADER)
    assert may(both, "replies.draft", case=case(CaseKind.CLARIFICATION))
    assert not may(both, "replies.draft", case=case(CaseKind.CARE))
    assert sees(both, case(CaseKind.CARE))
    assert not sees(both, case(CaseKind.MODERATION))


def test_separation_of_duty() -> None:
    leader, admin, officer = actor(Role.LEADER), actor(Role.ADMIN), actor(Role.OFFICER)
    assert not may(leader, "decide.restrict")
    assert not may(leader, "posts.pseudonym")
    assert not may(leader, "identity.reveal")
    assert not [
        verb
        for verb in PERMISSIONS
        if verb.startswith(("queue.", "decide.", "replies.")) and may(admin, verb)
    ]
    assert may(actor(Role.ADMIN, Role.MODERATOR), "queue.take_next")
    assert not may(officer, "decide.restrict")
    for role in Role:
        assert may(actor(role), "ratings.rate") is (role is Role.MEMBER), "only a member rates"


def test_the_acting_role_is_the_one_that_grants() -> None:
    both = actor(Role.OFFICER, Role.HANDLER, unit="后勤处")
    assert acting_role(both, "trends.drill") is Role.OFFICER
    handler = actor(Role.LEADER, Role.HANDLER, unit="后勤处")
    assert acting_role(handler, "queue.view", case=case(CaseKind.GRIEVANCE, "后勤处")) is Role.LEADER
    with pytest.raises(NotAllowed, match="on this case"):
        acting_role(handler, "queue.view", case=case(CaseKind.CARE))
    with pytest.raises(NotAllowed, match="this account may not"):
        require(handler, "health.health")


def test_visible_kinds_follow_the_roles() -> None:
    assert visible_kinds(actor(Role.ADMIN)) == ()
    assert visible_kinds(actor(Role.OFFICER)) == tuple(CaseKind)
    assert visible_kinds(actor(Role.CUSTODIAN, Role.HANDLER)) == (CaseKind.GRIEVANCE, CaseKind.CARE)
