"""The suggestion box: the receipt opens one case, tells the member how it stands, and tells nobody anything else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from grievance_world import (
    S,
    answered,
    bring,
    day,
    events_of,
    feed,
    go,
    grievance,
    in_work,
    look,
    newest,
    staff,
)

from monitor.core.errors import BadInput, BadMove, NotAllowed, NotFound
from monitor.core.model import (
    Action,
    Case,
    CaseEvent,
    CaseKind,
    CaseState,
    Decision,
    EffectKind,
    NewEffect,
    Role,
    RuleCode,
)
from monitor.core.ports import Store
from monitor.testing.builders import HANDLER, FixedClock
from monitor.usecases import box, cases
from monitor.usecases._follow import FollowView, state_words
from monitor.usecases.deps import Deps

TEXT = "食堂太贵了，希望能降一点价"


@pytest.fixture(autouse=True)
def _staff(deps: Deps) -> None:
    staff(deps)


@pytest.fixture
def receipt(deps: Deps) -> str:
    return box.submit(deps, "box", TEXT, unit="后勤处", contact="a@example.org")


@pytest.fixture
def case(deps: Deps, receipt: str) -> Case:
    feed(deps)
    return newest(deps)


def names(view: FollowView) -> list[str]:
    return [step.name for step in view.steps]


# --- writing ---------------------------------------------------------------------------------------


def test_a_receipt_is_sixteen_digits_and_stored_nowhere(deps: Deps, receipt: str, case: Case) -> None:
    assert re.fullmatch(r"\d{16}", receipt)
    with deps.uow.read() as store:
        (post_id,) = store.cases.post_ids(case.id)
        assert store.cases.bind_post_receipt(post_id) == deps.keys.digest("receipt", receipt)
        sealed = store.posts.contact(post_id)
        assert sealed is not None
        assert deps.keys.unseal(sealed) == b"a@example.org"
        post = store.posts.get(post_id)
    assert (post.text, post.unit, case.unit, case.kind) == (TEXT, "后勤处", "后勤处", CaseKind.GRIEVANCE)
    assert receipt not in str(post)
    assert len({box.submit(deps, "box", TEXT) for _n in range(20)}) == 20


@pytest.mark.parametrize(
    ("text", "unit", "contact"),
    [
        ("", None, None),
        (" \n", None, None),
        ("\x00\x01", None, None),
        ("长" * 20_001, None, None),
        (TEXT, "长" * 101, None),
        (TEXT, None, "x" * 501),
    ],
)
def test_what_is_refused_is_not_stored(deps: Deps, text: str, unit: str | None, contact: str | None) -> None:
    with pytest.raises(BadInput):
        box.submit(deps, "box", text, unit, contact)
    with deps.uow.read() as store:
        assert store.posts.count() == 0
        assert store.quarantine.counts() == {}


def test_the_longest_words_are_kept_whole(deps: Deps) -> None:
    box.submit(deps, "box", "长" * 20_000, " ", "")
    feed(deps)
    with deps.uow.read() as store:
        (post_id,) = store.cases.post_ids(newest(deps).id)
        assert store.posts.get(post_id).text == "长" * 20_000


# --- following -------------------------------------------------------------------------------------


def test_a_receipt_works_before_the_worker_came(deps: Deps, receipt: str, clock: FixedClock) -> None:
    view = box.follow(deps, receipt)
    assert (view.state, view.state_name, view.since) == ("received", "已收到，正在登记", clock.now())
    assert (view.reference, view.can, view.steps) == (None, (), ())
    for act in (
        lambda: box.add(deps, receipt, "再补充"),
        lambda: box.rate(deps, receipt, "yes", 5),
        lambda: box.reopen(deps, receipt, "再来"),
        lambda: box.withdraw(deps, receipt),
    ):
        with pytest.raises(BadMove, match="in a minute"):
            act()


def test_a_life_as_the_member_sees_it(deps: Deps, receipt: str, case: Case, clock: FixedClock) -> None:
    view = box.follow(deps, receipt)
    assert (view.state, view.reference, view.unit) == ("registered", case.reference, "后勤处")
    assert (day(view.due_at), view.due_to_confirm) == ("2026-03-04", False)
    assert view.can == ("add", "withdraw")
    go(deps, case, "transfer", unit="后勤处", reason="内部：王处长说先压一压")
    go(deps, case, "return", HANDLER, reason="内部：不想管")
    go(deps, case, "transfer", unit="膳食科")
    with deps.uow.begin() as store:
        store.events.add(
            CaseEvent(case.id, "noted", "otto", "officer", clock.now(), detail={"note": "内部备注"})
        )
    clock.advance(hours=1)
    go(deps, case, "start")
    go(deps, case, "ask", reason="请问是哪个食堂？")
    view = box.follow(deps, receipt)
    assert (view.state_name, view.unit, day(view.due_at)) == ("等您补充", "膳食科", "2026-03-23")
    assert [(step.name, step.reason) for step in view.steps] == [
        ("已登记", ""),
        ("已转交承办单位", "后勤处"),
        ("答复期限", "2026-03-23"),
        ("已转交承办单位", "膳食科"),
        ("开始办理", ""),
        ("请您补充", "请问是哪个食堂？"),
    ]
    for word in ("内部", "otto", "hana", "Otto"):
        assert word not in str(view)


def test_an_answer_is_shown_when_it_can_no_longer_be_stopped(
    deps: Deps, receipt: str, case: Case, clock: FixedClock
) -> None:
    answered(deps, in_work(deps, case, "otto"))
    assert box.follow(deps, receipt).answers == ()
    clock.advance(seconds=deps.rules.effect_delay)
    view = box.follow(deps, receipt)
    (answer,) = view.answers
    assert answer.text.startswith("已经协调")
    assert answer.signature == "【工会网络意见领袖】Lea leader · 校工会"
    assert (view.can, view.due_at) == (("add", "rate", "withdraw"), None)
    assert view.rate_until == clock.now() + timedelta(days=15, seconds=-deps.rules.effect_delay)


def test_a_declined_matter_says_why_and_where_to_go(deps: Deps, receipt: str, case: Case) -> None:
    go(deps, case, "decline", reason="请向财务处反映")
    view = box.follow(deps, receipt)
    assert (view.state_name, view.can) == ("不予受理", ())
    assert ("不予受理", "请向财务处反映") in [(step.name, step.reason) for step in view.steps]
    cases.sweep(deps)
    assert box.follow(deps, receipt).can == ("reopen",)


def test_a_date_beyond_the_published_holidays_is_to_be_confirmed(
    deps: Deps, receipt: str, case: Case, clock: FixedClock
) -> None:
    clock.advance(days=294)  # 2026-12-21
    late = box.submit(deps, "box", TEXT)
    feed(deps)
    fresh = newest(deps)
    go(deps, fresh, "accept")
    view = box.follow(deps, late)
    assert day(view.due_at).startswith("2027-01")
    assert view.due_to_confirm


def test_every_state_has_words_for_the_member() -> None:
    words = {state: state_words(state) for state in (*CaseState, "received")}
    assert all(words.values())
    assert len(set(words.values())) == len(words)


@pytest.mark.parametrize("wrong", ["", "1", "0" * 16, "not a receipt", "\ud800", "9" * 5000])
def test_an_unknown_receipt_opens_nothing(deps: Deps, receipt: str, wrong: str) -> None:
    for act in (
        lambda: box.follow(deps, wrong),
        lambda: box.add(deps, wrong, "x"),
        lambda: box.rate(deps, wrong, "yes", 5),
        lambda: box.reopen(deps, wrong, "x"),
        lambda: box.withdraw(deps, wrong),
    ):
        with pytest.raises(NotFound, match="sixteen digits"):
            act()


def test_a_receipt_may_be_typed_in_groups_and_full_width(deps: Deps, receipt: str) -> None:
    wide = receipt.translate({ord(str(n)): chr(ord("０") + n) for n in range(10)})
    for typed in (f" {receipt[:4]}-{receipt[4:8]} {receipt[8:]}\n", wide):
        assert box.follow(deps, typed).state == "received"


def test_guessing_receipts_is_slowed_and_waiting_helps(deps: Deps, receipt: str, clock: FixedClock) -> None:
    for n in range(10):
        with pytest.raises(NotFound):
            box.follow(deps, f"{n:016d}", remote="10.0.0.1")
    with pytest.raises(NotAllowed, match="wait a minute"):
        box.follow(deps, receipt, remote="10.0.0.1")
    assert box.follow(deps, receipt, remote="10.0.0.2").state == "received"
    assert box.follow(deps, receipt).state == "received"
    clock.advance(seconds=61)
    assert box.follow(deps, receipt, remote="10.0.0.1").state == "received"


# --- doing -----------------------------------------------------------------------------------------


def test_further_words_are_a_post_of_the_case(deps: Deps, receipt: str, case: Case) -> None:
    view = box.add(deps, receipt, "东区食堂尤其贵，电话13812345678")
    assert names(view)[-1] == "您补充了内容"
    feed(deps)
    with deps.uow.read() as store:
        first, second = store.posts.many(store.cases.post_ids(case.id))
        assert store.cases.by_receipt(deps.keys.digest("receipt", receipt)) == store.cases.get(case.id)
    assert (second.text, second.channel, second.thread) == (
        "东区食堂尤其贵，电话[电话]",
        "box",
        case.reference,
    )
    assert first.author != second.author
    assert newest(deps).id == case.id
    with pytest.raises(BadInput):
        box.add(deps, receipt, "  ")


def test_the_words_that_were_asked_for_set_the_work_going(deps: Deps, receipt: str, case: Case) -> None:
    bring(deps, case, S.WAITING)
    view = box.add(deps, receipt, "东区食堂")
    assert view.state == "in_work"
    (event,) = events_of(deps, case, "resume")
    assert (event.role, event.detail, event.reason) == ("member", {"cause": "answered"}, "")


def test_rating_by_receipt(deps: Deps, receipt: str, case: Case) -> None:
    answered(deps, in_work(deps, case, "otto"))
    assert box.rate(deps, receipt, "yes", 5, "谢谢").state == "rated"
    with pytest.raises(BadMove):
        box.rate(deps, receipt, "yes", 5)


def test_a_rated_case_may_be_done_again(deps: Deps, receipt: str, case: Case) -> None:
    answered(deps, in_work(deps, case, "otto"))
    view = box.rate(deps, receipt, "partly", 3)
    assert view.can == ("reopen",)
    view = box.reopen(deps, receipt, "还差一半")
    assert view.state == "redo"
    (event,) = events_of(deps, case, "redo")
    assert (event.reason, set(event.detail)) == ("", {"cause", "post"})
    assert look(deps, case).redo_count == 1


def test_a_closed_case_may_be_reopened_for_thirty_days_and_twice(
    deps: Deps, receipt: str, case: Case, clock: FixedClock
) -> None:
    for who in ("otto", "olga", "otto"):
        if look(deps, case).state is S.REGISTERED:
            in_work(deps, case, who)
        else:
            go(deps, case, "start", assignee=who)
        answered(deps, case)
        box.rate(deps, receipt, "yes", 4)
        cases.sweep(deps)
        clock.advance(days=30)
        if "reopen" in box.follow(deps, receipt).can:
            assert box.reopen(deps, receipt, "又涨价了").state == "redo"
    assert look(deps, case).state is S.CLOSED
    with pytest.raises(BadMove, match="cannot be taken up again"):
        box.reopen(deps, receipt, "第三次")
    assert len(events_of(deps, case, "reopen")) == 2
    with pytest.raises(BadMove, match="is over"):
        box.add(deps, receipt, "还有话说")


def test_too_late_to_reopen(deps: Deps, receipt: str, case: Case, clock: FixedClock) -> None:
    go(deps, case, "decline", reason="不归工会")
    cases.sweep(deps)
    clock.advance(days=30, seconds=1)
    assert box.follow(deps, receipt).can == ()
    with pytest.raises(BadMove):
        box.reopen(deps, receipt, "再看看")
    with pytest.raises(BadInput):
        box.reopen(deps, receipt, " ")
    assert look(deps, case).state is S.CLOSED


def test_only_the_member_withdraws(deps: Deps, receipt: str, case: Case) -> None:
    with pytest.raises(NotAllowed):
        go(deps, case, "withdraw")
    view = box.withdraw(deps, receipt)
    assert (view.state, view.state_name, view.can) == ("withdrawn", "您已撤回", ())
    with pytest.raises(BadMove):
        box.withdraw(deps, receipt)


def test_a_receipt_opens_one_case_only(deps: Deps, receipt: str, case: Case) -> None:
    other = box.submit(deps, "box", "停车难，请加车位")
    feed(deps)
    box.withdraw(deps, other)
    assert box.follow(deps, receipt).state == "registered"
    assert grievance(deps).id not in {case.id}


# --- decisions about the member's own words --------------------------------------------------------


def _restrict(store: Store, case: Case, clock: FixedClock, post_id: int) -> Decision:
    made = Decision(
        0,
        case.id,
        Action.REMOVE,
        "mo",
        Role.MODERATOR,
        clock.now(),
        (post_id,),
        RuleCode.SPAM_AD,
        appeal_until=clock.now() + timedelta(days=184),
    )
    return store.decisions.add(made)


def _notice(store: Store, made: Decision, clock: FixedClock, text: str, channel: str = "box") -> None:
    effect = NewEffect(
        f"notice:{text}",
        EffectKind.NOTICE,
        channel,
        made.case_id,
        clock.now() + timedelta(seconds=20),
        decision_id=made.id,
        text=text,
    )
    store.outbox.add(effect, clock.now())


def test_a_notice_and_the_way_to_appeal_are_behind_the_receipt(deps: Deps, clock: FixedClock) -> None:
    receipt = box.submit(deps, "box", "加微信领券")
    feed(deps)
    case = newest(deps, CaseKind.MODERATION)
    assert box.follow(deps, receipt).can == ("add",)
    with deps.uow.begin() as store:
        (post_id,) = store.cases.post_ids(case.id)
        made, other = _restrict(store, case, clock, post_id), _restrict(store, case, clock, post_id + 999)
        _notice(store, made, clock, "您的帖文已移除，可以申诉：/appeal/x")
        _notice(store, made, clock, "给群里的通知", "qq")
        _notice(store, other, clock, "关于别人帖文的通知")
    assert box.follow(deps, receipt).notices == (), "it may still be undone"
    clock.advance(seconds=20)
    view = box.follow(deps, receipt)
    assert view.notices == ("您的帖文已移除，可以申诉：/appeal/x",)
    assert "appeal" in view.can
    clock.advance(days=185)
    assert "appeal" not in box.follow(deps, receipt).can
    clock.advance(days=-185)
    with deps.uow.begin() as store:
        store.decisions.mark_undone(made.id, clock.now())
        store.outbox.cancel(made.id, None, clock.now())
    view = box.follow(deps, receipt)
    assert (view.notices, "appeal" in view.can) == ((), False)


def test_steps_of_another_shape_are_shown_without_a_date(
    deps: Deps, receipt: str, case: Case, clock: FixedClock
) -> None:
    with deps.uow.begin() as store:
        store.events.add(CaseEvent(case.id, "due_changed", "system", "system", clock.now()))
    assert box.follow(deps, receipt).steps[-1].reason == ""
