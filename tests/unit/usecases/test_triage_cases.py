"""Opening cases: gathered by group, one per receipt, followed into recalls and edits."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from monitor.core.model import (
    Case,
    CaseKind,
    CaseState,
    EffectKind,
    EffectState,
    NewEffect,
    PostKind,
    RawPost,
    Reply,
    ReplyState,
)
from monitor.core.ports import CaseFilter, Store
from monitor.core.states import fold
from monitor.testing.builders import FixedClock, raw
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest, to_new_post
from monitor.usecases.understand import process


def feed(deps: Deps, *posts: RawPost) -> None:
    ingest(deps, "qq", posts)
    process(deps, "w1")


def cases(deps: Deps, *kinds: CaseKind) -> list[Case]:
    with deps.uow.read() as store:
        return store.cases.page(CaseFilter(kinds=kinds), None, 100)


def members(deps: Deps, case: Case) -> int:
    with deps.uow.read() as store:
        return len(store.cases.post_ids(case.id))


def history(deps: Deps, case: Case) -> list[str]:
    with deps.uow.read() as store:
        events = store.events.of(case.id)
        assert fold(case.kind, events) is store.cases.get(case.id).state
        return [event.kind for event in events]


def recall(external_id: str) -> RawPost:
    return RawPost("qq", external_id, "", PostKind.REMOVAL)


SPAM = "加微信abc领优惠，第{}份"


def test_one_case_gathers_a_campaign(deps: Deps) -> None:
    feed(deps, *(raw(str(n), SPAM.format(n), thread=f"g{n % 2}") for n in range(5)))
    feed(deps, raw("9", SPAM.format(9)))
    (case,) = cases(deps)
    assert case.kind is CaseKind.MODERATION
    assert members(deps, case) == 6
    assert case.post_count == 6
    assert history(deps, case) == ["opened", "attached", "attached"]


def test_kinds_are_gathered_apart(deps: Deps) -> None:
    feed(deps, raw("1", "听说工资要降，大家怎么看？"), raw("2", "听说工资要降，大家快转发"))
    assert {case.kind: members(deps, case) for case in cases(deps)} == {
        CaseKind.GRIEVANCE: 2,
        CaseKind.CLARIFICATION: 2,
    }


def test_a_case_that_is_over_gathers_nothing_more(deps: Deps) -> None:
    feed(deps, raw("1", SPAM.format(1)))
    (case,) = cases(deps)
    with deps.uow.begin() as store:
        store.cases.save(replace(case, state=CaseState.CLOSED), case.version)
    feed(deps, raw("2", SPAM.format(2)))
    assert [members(deps, c) for c in cases(deps)] == [1, 1]


def test_people_at_risk_are_never_gathered(deps: Deps) -> None:
    feed(deps, raw("1", "真的不想活了，没意思"), raw("2", "真的不想活了，没意思"))
    found = cases(deps, CaseKind.CARE)
    assert [(case.urgency, members(deps, case)) for case in found] == [("high", 1), ("high", 1)]
    assert found[0].due_at == found[0].opened_at + timedelta(hours=2)


def test_a_box_post_has_its_own_case_behind_its_receipt(deps: Deps) -> None:
    feed(deps, raw("q", "食堂太贵了，希望能降一点价"))
    box = [
        raw(n, "食堂太贵了，希望能降一点价", receipt=f"digest-{n}", channel="box", unit="后勤处")
        for n in "ab"
    ]
    feed(deps, *box, raw("c", "没有什么特别的一句话", receipt="digest-c", channel="box"))
    feed(deps, raw("q2", "食堂太贵了，希望能降一点价！"))
    assert sorted(members(deps, case) for case in cases(deps, CaseKind.GRIEVANCE)) == [1, 1, 1, 2]
    with deps.uow.read() as store:
        found = [store.cases.by_receipt(f"digest-{n}") for n in "abc"]
    assert [case.unit if case else "none" for case in found] == ["后勤处", "后勤处", None]
    assert [case.policy if case else "" for case in found] == ["grievance", "grievance", "box"]
    assert len({case.id for case in found if case}) == 3


def test_a_risk_in_the_box_opens_care_and_keeps_the_receipt_with_the_answer(deps: Deps) -> None:
    feed(deps, raw("1", "不想活了", receipt="digest-1", channel="box"))
    with deps.uow.read() as store:
        case = store.cases.by_receipt("digest-1")
    assert case is not None
    assert case.kind is CaseKind.GRIEVANCE
    assert [c.kind for c in cases(deps)] == [CaseKind.CARE, CaseKind.GRIEVANCE]


def test_spam_in_the_box_still_has_a_case_behind_its_receipt(deps: Deps) -> None:
    feed(deps, raw("1", "加微信领券", receipt="digest-1", channel="box"))
    with deps.uow.read() as store:
        case = store.cases.by_receipt("digest-1")
    assert case is not None
    assert case.kind is CaseKind.MODERATION


def test_urgency_comes_before_age(deps: Deps, clock: FixedClock) -> None:
    feed(deps, raw("1", "停车难，能不能想想办法"))
    clock.advance(minutes=1)
    feed(deps, raw("2", SPAM.format(1)), raw("3", "急！工资没到账"), raw("4", "想跳楼"), raw("5", "听说要搬"))
    clock.advance(minutes=1)
    feed(deps, raw("6", "别的地方停车难"))
    assert [case.policy.split(",")[0] for case in cases(deps)] == [
        "risk",
        "grievance_urgent",
        "rumour",
        "grievance",
        "grievance",
        "spam",
    ]
    with deps.uow.read() as store:
        first, second = [store.posts.many(store.cases.post_ids(case.id))[0] for case in cases(deps)[3:5]]
    assert (first.external_id, second.external_id) == ("1", "6")


def test_every_opened_case_is_in_the_ledger(deps: Deps) -> None:
    feed(deps, raw("1", "工资没发"), raw("2", "闲聊"))
    (case,) = cases(deps)
    with deps.uow.read() as store:
        (entry,) = store.ledger.entries(0, 10)
    assert (entry.kind, entry.ref) == ("case.opened", case.reference)
    assert case.reference


def test_silent_rules_are_counted(deps: Deps) -> None:
    feed(deps, raw("1", SPAM.format(1)), raw("2", SPAM.format(2)))
    feed(deps, raw("3", "闲聊"), raw("4", "不想活了"))
    with deps.uow.read() as store:
        assert store.operations.setting("policy.silent.spam_possible") == "2"
        assert store.operations.setting("policy.silent.risk_possible") == "1"


def test_an_edit_joins_the_case_of_the_message(deps: Deps) -> None:
    feed(deps, raw("1", "工资没发"))
    feed(deps, raw("1", "更正：工资没发，还少了绩效", kind=PostKind.EDIT))
    (case,) = cases(deps)
    assert members(deps, case) == 2
    assert history(deps, case) == ["opened", "source_edited"]


def test_an_edit_may_open_what_the_first_words_did_not(deps: Deps) -> None:
    feed(deps, raw("1", "大家好"))
    feed(deps, raw("1", "大家好，加微信领券", kind=PostKind.EDIT))
    assert [case.kind for case in cases(deps)] == [CaseKind.MODERATION]


def test_a_recall_closes_a_pending_moderation_case(deps: Deps) -> None:
    feed(deps, raw("1", SPAM.format(1)), raw("2", SPAM.format(2)))
    feed(deps, recall("1"))
    (case,) = cases(deps)
    assert case.state is CaseState.PENDING
    feed(deps, recall("2"))
    (case,) = cases(deps)
    assert case.state is CaseState.CLOSED
    assert history(deps, case)[-3:] == ["source_removed", "source_removed", "withdrawn_at_source"]
    with deps.uow.read() as store:
        assert [entry.kind for entry in store.ledger.entries(0, 10)] == [
            "case.opened",
            "case.withdrawn_at_source",
        ]
    feed(deps, recall("2"))
    assert history(deps, case)[-1] == "withdrawn_at_source"


def test_a_recall_of_an_edited_post_finds_its_case(deps: Deps) -> None:
    feed(deps, raw("1", SPAM.format(1)))
    feed(deps, raw("1", SPAM.format(1) + "！！", kind=PostKind.EDIT))
    feed(deps, recall("1"))
    (case,) = cases(deps)
    assert case.state is CaseState.CLOSED


def test_a_recall_before_the_worker_came_opens_no_moderation_case(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", SPAM.format(1)), raw("2", "不想活了"), recall("1"), recall("2")])
    process(deps, "w1")
    assert [case.kind for case in cases(deps)] == [CaseKind.CARE]


def _answer(store: Store, deps: Deps, case: Case, state: ReplyState) -> Reply:
    reply = store.replies.add(Reply(0, case.id, "qq", "答复", "lea", "leader", state, deps.clock.now()))
    for post in store.posts.many(store.cases.post_ids(case.id)[:1]):
        effect = NewEffect(
            f"r{reply.id}", EffectKind.REPLY, "qq", case.id, deps.clock.now(), post.thread, post.handle, post.id,
            reply_id=reply.id, text="答复",
        )  # fmt: skip
        store.outbox.add(effect, deps.clock.now())
    return reply


def test_a_recall_stops_an_answer_that_has_not_left(deps: Deps) -> None:
    feed(deps, raw("1", "工资没发"))
    (case,) = cases(deps)
    with deps.uow.begin() as store:
        approved = _answer(store, deps, case, ReplyState.APPROVED)
        sent = _answer(store, deps, case, ReplyState.SENT)
        (taken, *_rest) = store.outbox.lease(1, deps.clock.now(), 60, [EffectState.NEW])
    feed(deps, recall("1"))
    with deps.uow.read() as store:
        states = {effect.reply_id: effect.state for effect in store.outbox.of_case(case.id)}
        stopped = store.replies.get(approved.id).state
    assert states[taken.reply_id] is EffectState.SENDING, "what is on its way is not called back"
    assert taken.reply_id == approved.id
    assert stopped is ReplyState.APPROVED
    assert states[sent.id] is EffectState.CANCELLED, "what has not left is stopped, wherever else it stands"
    assert cases(deps)[0].state is CaseState.REGISTERED, "a grievance is not dropped because its post is gone"


def test_a_recall_withdraws_the_waiting_answer(deps: Deps) -> None:
    feed(deps, raw("1", "工资没发"))
    (case,) = cases(deps)
    with deps.uow.begin() as store:
        reply = _answer(store, deps, case, ReplyState.APPROVED)
    feed(deps, recall("1"))
    with deps.uow.read() as store:
        assert store.replies.get(reply.id).state is ReplyState.WITHDRAWN
        (effect,) = store.outbox.of_case(case.id)
    assert (effect.state, effect.last_error) == (EffectState.CANCELLED, "recalled"), "a person sees why"
    assert history(deps, case)[-3:] == ["source_removed", "effect_cancelled", "reply_withdrawn"]


def test_a_recall_lets_the_answer_go_to_what_still_stands_there(deps: Deps) -> None:
    feed(deps, raw("1", "工资没发", thread="g1"))
    (case,) = cases(deps)
    with deps.uow.begin() as store:
        other = store.posts.add([to_new_post(deps, raw("2", "我的工资也没发", thread="g1"))])[0].post
        assert other is not None
        store.cases.attach(case.id, [other.id])
        reply = _answer(store, deps, case, ReplyState.APPROVED)
    feed(deps, recall("1"))
    with deps.uow.read() as store:
        (effect,) = store.outbox.of_case(case.id)
        assert (effect.state, effect.post_id, effect.handle) == (EffectState.NEW, other.id, other.handle)
        assert store.replies.get(reply.id).state is ReplyState.APPROVED
    feed(deps, recall("2"))
    with deps.uow.read() as store:
        assert store.outbox.get(effect.id).state is EffectState.CANCELLED
        assert store.replies.get(reply.id).state is ReplyState.WITHDRAWN


def test_a_recall_after_the_end_changes_nothing(deps: Deps) -> None:
    feed(deps, raw("1", SPAM.format(1)))
    (case,) = cases(deps)
    with deps.uow.begin() as store:
        store.cases.save(replace(case, state=CaseState.CLOSED), case.version)
    before = cases(deps)
    feed(deps, recall("1"))
    assert cases(deps) == before
