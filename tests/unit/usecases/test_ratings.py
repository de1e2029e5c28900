"""Ratings: by the member alone, once per answer, inside the window, and the words kept apart."""

from __future__ import annotations

import pytest
from grievance_world import (
    S,
    answered,
    bring,
    events_of,
    feed,
    go,
    grievance,
    in_work,
    ledger_kinds,
    look,
    newest,
    staff,
)

from monitor.core.errors import BadInput, BadMove, NotFound
from monitor.core.model import Case, CaseKind, Role
from monitor.core.roles import PERMISSIONS
from monitor.core.states import MOVES
from monitor.testing.builders import FixedClock, deps_over
from monitor.usecases import cases, ratings
from monitor.usecases.deps import Deps, Rules


@pytest.fixture(autouse=True)
def _staff(deps: Deps) -> None:
    staff(deps)


@pytest.fixture
def case(deps: Deps) -> Case:
    return bring(deps, grievance(deps), S.ANSWERED)


def token_of(deps: Deps, case: Case) -> str:
    """Return the last part of the link in the last answer."""
    with deps.uow.read() as store:
        return store.outbox.of_case(case.id)[-1].text.rsplit("/rate/", 1)[1]


def test_a_rating_is_an_event_of_the_member(deps: Deps, case: Case) -> None:
    rated = ratings.rate(deps, token_of(deps, case), "yes", 5)
    assert (rated.state, rated.due_at) == (S.RATED, None)
    (event,) = events_of(deps, case, "rate")
    assert (event.actor, event.role, event.detail) == ("member", "member", {"solved": "yes", "stars": 5})
    assert ledger_kinds(deps, case.reference)[-1] == "case.rate"
    assert cases.sweep(deps) == 1
    assert look(deps, case).state is S.CLOSED


def test_only_members_rate() -> None:
    """C-05, in the table of moves and in the table of verbs."""
    assert {role for move in MOVES if move.action == "rate" for role in move.roles} == {Role.MEMBER}
    assert PERMISSIONS["ratings.rate"] == PERMISSIONS["ratings.view"] == {Role.MEMBER}


def test_the_words_become_a_post_of_the_case(deps: Deps, case: Case) -> None:
    ratings.rate(deps, token_of(deps, case), "partly", 3, "  谢谢，但是周末还是没车，电话13812345678 ")
    (added,) = events_of(deps, case, "added")
    with deps.uow.read() as store:
        post = store.posts.get(int(str(added.detail["post"])))
        assert post.id in store.cases.post_ids(case.id)
    assert (post.text, post.channel, post.thread) == (
        "谢谢，但是周末还是没车，电话[电话]",
        "box",
        case.reference,
    )
    assert added.reason == ""
    feed(deps)
    assert newest(deps).id == case.id, "no case of its own"


def test_words_that_tell_of_danger_reach_a_person(deps: Deps, case: Case) -> None:
    ratings.rate(deps, token_of(deps, case), "partly", 1, "我真的不想活了")
    feed(deps)
    assert newest(deps, CaseKind.CARE).urgency == "high"


def test_a_second_rating_is_refused(deps: Deps, case: Case) -> None:
    token = token_of(deps, case)
    ratings.rate(deps, token, "yes", 5)
    for _time in range(2):
        with pytest.raises(BadMove):
            ratings.rate(deps, token, "no", 1)
        cases.sweep(deps)
    assert len(events_of(deps, case, "rate")) == 1


def test_not_solved_is_done_again_twice_and_then_closes(deps: Deps, case: Case) -> None:
    for n, handler in enumerate(("hugo", "hana"), 1):
        again = ratings.rate(deps, token_of(deps, case), "no", 1)
        assert (again.state, again.redo_count) == (S.REDO, n)
        go(deps, again, "start", assignee=handler)
        answered(deps, case)
    closed = ratings.rate(deps, token_of(deps, case), "no", 1, "还是没有解决")
    assert (closed.state, closed.redo_count) == (S.CLOSED, 2)
    kinds = [event.kind for event in events_of(deps, case, "rate", "redo", "close")]
    assert kinds == ["rate", "redo", "rate", "redo", "rate", "close"]
    assert [e.detail for e in events_of(deps, case, "redo")] == [{"cause": "not_solved"}] * 2


@pytest.mark.parametrize(
    ("solved", "stars", "text"),
    [
        ("maybe", 3, ""),
        ("", 3, ""),
        ("yes", 0, ""),
        ("yes", 6, ""),
        ("yes", True, ""),
        ("yes", 4.5, ""),
        ("yes", "5", ""),
        ("yes", 5, "长" * 2001),
        ("yes", 5, "\x00"),
    ],
)
def test_what_is_not_a_rating(deps: Deps, case: Case, solved: str, stars: int, text: str) -> None:
    with pytest.raises(BadInput):
        ratings.rate(deps, token_of(deps, case), solved, stars, text)
    assert look(deps, case) == case


def test_the_window(deps: Deps, case: Case, clock: FixedClock) -> None:
    token = token_of(deps, case)
    clock.advance(days=15)
    assert ratings.view(deps, token).can_rate
    clock.advance(seconds=1)
    assert not ratings.view(deps, token).can_rate
    with pytest.raises(BadMove, match="time to rate"):
        ratings.rate(deps, token, "yes", 5)
    assert look(deps, case) == case


def test_a_late_reminder_leaves_time_after_it(deps: Deps, case: Case, clock: FixedClock) -> None:
    clock.advance(days=40)
    cases.sweep(deps)
    view = ratings.view(deps, token_of(deps, case))
    assert view.until is not None
    assert (view.until - clock.now()).days == 5
    assert ratings.rate(deps, token_of(deps, case), "yes", 4).state is S.RATED


def test_the_window_is_a_figure_of_the_house(deps: Deps, case: Case, clock: FixedClock) -> None:
    short = deps_over(deps.uow, clock=clock, rules=Rules(rating_days=3))
    clock.advance(days=4)
    with pytest.raises(BadMove):
        ratings.rate(short, token_of(deps, case), "yes", 5)


def test_a_link_leads_to_its_case_and_tells_no_office(deps: Deps, case: Case, clock: FixedClock) -> None:
    view = ratings.view(deps, token_of(deps, case))
    assert (view.reference, view.can_rate) == (case.reference, True)
    assert view.answers == (), "the answer may still be stopped"
    clock.advance(seconds=deps.rules.effect_delay)
    (answer,) = ratings.view(deps, token_of(deps, case)).answers
    assert answer.text.startswith("已经协调")
    assert answer.signature.startswith("【工会网络意见领袖】")


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 5000, "\ud800"])
def test_another_link_leads_nowhere(deps: Deps, case: Case, token: str) -> None:
    with pytest.raises(NotFound):
        ratings.view(deps, token)
    with pytest.raises(NotFound):
        ratings.rate(deps, token, "yes", 5)


def test_what_is_not_answered_waits_for_no_rating(deps: Deps) -> None:
    case = in_work(deps, grievance(deps))
    with deps.uow.read() as store:
        assert ratings.open_until(store, deps, case) is None
    with deps.uow.begin() as store:
        store.cases.add_token(deps.keys.digest("token", "t"), "rate", case.id, None)
    view = ratings.view(deps, "t")
    assert (view.can_rate, view.until) == (False, None)
    with pytest.raises(BadMove):
        ratings.rate(deps, "t", "yes", 5)


def test_an_answer_that_history_does_not_know_cannot_be_rated(deps: Deps) -> None:
    assert cases.rating_until([], deps.rules) is None
