"""Understanding: readings, groups and cases in one transaction; poison alone is parked, its neighbours go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from grievance_world import feed, newest

from monitor.core.errors import ClassifierError, HuiyinError
from monitor.core.model import Case, CaseKind, CaseState, ClaimState, Label, Reading
from monitor.core.ports import CaseFilter, Likeness, PostFilter
from monitor.core.states import fold
from monitor.testing.builders import LEADER, FixedClock, KeywordClassifier, PrefixGrouping, raw
from monitor.usecases.claims import save_claim
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest
from monitor.usecases.understand import TRIES, process, restore_grouping


def tiers(deps: Deps) -> dict[str, str | None]:
    with deps.uow.read() as store:
        posts = store.posts.page(PostFilter(), None, 100)
        readings = store.readings.many([post.id for post in posts])
        return {post.external_id: readings[post.id].tier if post.id in readings else None for post in posts}


def jobs(deps: Deps) -> dict[str, int]:
    with deps.uow.read() as store:
        return {name: n for name, n in store.jobs.counts().items() if n}


def test_a_post_is_read_grouped_and_brought_to_the_queue(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", "工资三个月没发了，谁来管管"), raw("2", "今天天气不错")])
    assert process(deps, "w1") == 2
    assert process(deps, "w1") == 0
    assert tiers(deps) == {"1": "fast", "2": "fast"}
    assert jobs(deps) == {}
    with deps.uow.read() as store:
        (case,) = store.cases.page(CaseFilter(), None, 10)
        (post_id,) = store.cases.post_ids(case.id)
        post, reading = store.posts.get(post_id), store.readings.get(post_id)
        assert (case.kind, case.state, case.topic) == (CaseKind.GRIEVANCE, CaseState.REGISTERED, "pay")
        assert post.group_id == post.id
        assert reading is not None
        assert reading.flagged(Label.GRIEVANCE)
        assert reading.models["spam"] == "spam@1"


def test_without_a_classifier_posts_go_on_unread(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", "工资没发")])
    assert process(replace(deps, classifier=None, grouping=None), "w1") == 1
    assert tiers(deps) == {"1": "none"}
    assert jobs(deps) == {}


class _Down(KeywordClassifier):
    def classify(self, texts: object) -> list[Reading]:
        raise ClassifierError("the model file is gone")


class _Short(KeywordClassifier):
    def classify(self, texts: object) -> list[Reading]:
        return []


@pytest.mark.parametrize("broken", [_Down(), _Short()])
def test_a_broken_classifier_does_not_stop_the_path(deps: Deps, broken: KeywordClassifier) -> None:
    ingest(deps, "qq", [raw("1", "工资没发"), raw("2", "二")])
    assert process(replace(deps, classifier=broken), "w1") == 2
    assert tiers(deps) == {"1": "none", "2": "none"}


def test_poison_is_tried_thrice_then_parked_and_its_neighbours_go_on(deps: Deps, clock: FixedClock) -> None:
    good = [raw(str(n), f"第{n}条") for n in range(9)]
    ingest(deps, "qq", [*good[:5], raw("bad", "☠ 坏掉的"), *good[5:]])
    assert process(deps, "w1") == 10
    assert tiers(deps)["bad"] is None
    assert all(tier == "fast" for name, tier in tiers(deps).items() if name != "bad")
    assert process(deps, "w1") == 0, "it waits before it is tried again"
    for _again in range(TRIES - 1):
        clock.advance(minutes=5)
        assert process(deps, "w1") == 1
    assert jobs(deps) == {"parked": 1}
    clock.advance(hours=1)
    assert process(deps, "w1") == 0
    with deps.uow.begin() as store:
        assert store.jobs.replay() == 1
    healed = replace(deps, classifier=KeywordClassifier(poison="never"))
    assert process(healed, "w1") == 1
    assert tiers(deps)["bad"] == "fast"


def test_an_expired_lease_is_taken_over_and_nothing_doubles(deps: Deps, clock: FixedClock) -> None:
    """The first worker sleeps through its lease; both finish, one case stands."""
    ingest(deps, "qq", [raw("1", "不想活了")])

    class _Slow(KeywordClassifier):
        def classify(self, texts: object) -> list[Reading]:
            clock.advance(seconds=deps.rules.job_lease_seconds + 1)
            assert process(deps, "w2") == 1
            return super().classify(texts)  # type: ignore[arg-type]

    assert process(replace(deps, classifier=_Slow()), "w1") == 1
    with deps.uow.read() as store:
        assert len(store.cases.page(CaseFilter(), None, 10)) == 1


def test_results_are_all_or_nothing(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", "工资没发")])

    class _Rejecting(PrefixGrouping):
        def add(self, ids: object, texts: object) -> list[object]:  # type: ignore[override]
            raise ClassifierError("the grouping lost its window")

    with pytest.raises(HuiyinError):
        process(replace(deps, grouping=_Rejecting()), "w1")
    assert tiers(deps) == {"1": None}
    assert jobs(deps) == {"leased": 1}


def test_the_grouping_window_comes_back_after_a_start(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", "工资三个月没发了，谁来管"), raw("2", "别的话题在这里说")])
    process(deps, "w1")
    fresh = replace(deps, grouping=PrefixGrouping())
    assert restore_grouping(fresh) == 2
    ingest(deps, "qq", [raw("3", "工资三个月没发了，转发！")])
    process(fresh, "w1")
    with deps.uow.read() as store:
        (case,) = store.cases.page(CaseFilter(), None, 10)
        assert len(store.cases.post_ids(case.id)) == 2
    assert restore_grouping(replace(deps, grouping=None)) == 0
    later = replace(fresh, clock=FixedClock(deps.clock.now()))
    later.clock.advance(days=deps.rules.group_window_days + 1)  # type: ignore[attr-defined]
    assert restore_grouping(later) == 0


def test_the_stored_state_is_the_fold_of_the_events(deps: Deps) -> None:
    ingest(
        deps,
        "qq",
        [raw("1", "工资没发"), raw("2", "加微信兼职"), raw("3", "听说要裁员"), raw("4", "不想活了")],
    )
    process(deps, "w1")
    with deps.uow.read() as store:
        cases = store.cases.page(CaseFilter(), None, 10)
        assert len(cases) == 4
        assert next(case.kind for case in cases) is CaseKind.CARE
        for case in cases:
            assert fold(case.kind, store.events.of(case.id)) is case.state


# --- known claims ----------------------------------------------------------------------------------


class _Likes:
    """Says of every text that it tells the first claim."""

    def __init__(self, same: bool) -> None:
        self.same = same

    def match(self, texts: Sequence[str], claims: Sequence[tuple[int, str]]) -> list[Likeness | None]:
        return [Likeness(claims[0][0], 0.9, self.same) for _text in texts]


def _claimed(deps: Deps) -> Case:
    """Return a clarification case with a claim."""
    feed(deps, raw("r1", "听说绩效要砍三成"))
    case = newest(deps, CaseKind.CLARIFICATION)
    save_claim(deps, LEADER, case.id, "绩效要砍三成", ClaimState.UNVERIFIED, "", "", None, 0)
    return case


def test_a_post_that_surely_tells_a_known_claim_joins_its_case(deps: Deps) -> None:
    case = _claimed(deps)
    feed(replace(deps, matching=_Likes(same=True)), raw("r2", "听说年终奖只给七成"))
    assert newest(deps, CaseKind.CLARIFICATION).id == case.id
    with deps.uow.read() as store:
        assert len(store.cases.post_ids(case.id)) == 2
        assert store.events.of(case.id)[-1].kind == "attached"


def test_a_likely_claim_is_noted_on_a_case_of_its_own(deps: Deps) -> None:
    case = _claimed(deps)
    feed(replace(deps, matching=_Likes(same=False)), raw("r2", "听说年终奖只给七成"))
    other = newest(deps, CaseKind.CLARIFICATION)
    assert other.id != case.id
    with deps.uow.read() as store:
        (noted,) = [event for event in store.events.of(other.id) if event.kind == "claim_suggested"]
    assert (noted.detail["claim"], noted.detail["same"]) == (1, False)


def test_the_case_of_a_claim_that_gathers_no_more_is_only_named(deps: Deps) -> None:
    case = _claimed(deps)
    with deps.uow.begin() as store:
        held = store.cases.get(case.id)
        store.cases.save(replace(held, state=CaseState.CLOSED), held.version)
    feed(replace(deps, matching=_Likes(same=True)), raw("r2", "听说年终奖只给七成"))
    other = newest(deps, CaseKind.CLARIFICATION)
    assert other.id != case.id
    with deps.uow.read() as store:
        assert "claim_suggested" in [event.kind for event in store.events.of(other.id)]
