"""Answers: drafted by one named person, approved by another, marked, sent once to every thread and to no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from grievance_world import (
    HANDLER_2,
    OFFICER_2,
    STRANGER,
    S,
    answered,
    bring,
    events_of,
    feed,
    go,
    grievance,
    ledger_kinds,
    look,
    newest,
    staff,
)

from monitor.core.errors import BadInput, BadMove, Conflict, NotAllowed, NotFound
from monitor.core.model import (
    Actor,
    Case,
    CaseKind,
    CaseState,
    ClaimState,
    Effect,
    EffectKind,
    PostKind,
    RawPost,
    Reply,
    ReplyState,
    Role,
)
from monitor.testing.builders import (
    ADMIN,
    CUSTODIAN,
    HANDLER,
    LEADER,
    MODERATOR,
    OFFICER,
    FixedClock,
    deps_over,
    raw,
)
from monitor.usecases import box, claims, ratings, replies
from monitor.usecases._suggestion import SUGGESTION
from monitor.usecases.deps import Deps, Rules

WORDS = "经核实：下月绩效方案没有变化，以工会公告为准。"


@pytest.fixture(autouse=True)
def _staff(deps: Deps) -> None:
    staff(deps)


def rumour(deps: Deps, *threads: str, start: int = 0) -> Case:
    """Open a clarification whose posts stand in ``threads``, one each."""
    feed(deps, *(raw(f"r{start + n}", f"听说绩效要砍，第{n}手消息", thread=t) for n, t in enumerate(threads)))
    return newest(deps, CaseKind.CLARIFICATION)


def effects_of(deps: Deps, case: Case) -> list[Effect]:
    with deps.uow.read() as store:
        return store.outbox.of_case(case.id)


def drafted(deps: Deps, case: Case, text: str = WORDS, who: Actor = LEADER) -> Reply:
    return replies.draft(deps, who, case.id, text)


def recall(external_id: str) -> RawPost:
    return RawPost("qq", external_id, "", PostKind.REMOVAL)


# --- drafts ----------------------------------------------------------------------------------------


def test_a_draft_is_signed_and_nothing_leaves(deps: Deps) -> None:
    case = rumour(deps, "g1")
    made = drafted(deps, case, f"  {WORDS}\n")
    assert (made.text, made.author, made.role, made.state) == (WORDS, "lea", "leader", ReplyState.DRAFT)
    assert made.signature == "【工会网络意见领袖】Lea leader · 校工会"
    assert (made.channel, made.thread) == ("qq", "g1")
    assert effects_of(deps, case) == []
    assert look(deps, case) == case
    (event,) = events_of(deps, case, "reply_drafted")
    assert event.detail == {"reply": made.id, "version": 1}
    assert ledger_kinds(deps, case.reference)[-1] == "reply.drafted"


def test_officers_and_handlers_sign_for_the_union(deps: Deps) -> None:
    case = grievance(deps, unit="后勤处")
    assert drafted(deps, case, "甲", HANDLER).signature == "【工会答复】Hana handler · 校工会"
    assert drafted(deps, case, "乙", OFFICER).signature == "【工会答复】Otto officer · 校工会"
    both = Actor("both", frozenset({Role.LEADER, Role.OFFICER}), name="", title=" 主席\n")
    assert drafted(deps, case, "丙", both).signature == "【工会网络意见领袖】both 主席 · 校工会"


@pytest.mark.parametrize("who", [MODERATOR, ADMIN, CUSTODIAN, STRANGER, HANDLER], ids=lambda a: a.login)
def test_others_draft_nothing(deps: Deps, who: Actor) -> None:
    with pytest.raises(NotAllowed):
        drafted(deps, rumour(deps, "g1"), who=who)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00\x01", "长" * 2001, f"{SUGGESTION}\n大家好"])
def test_what_a_draft_must_not_be(deps: Deps, text: str) -> None:
    case = rumour(deps, "g1")
    with pytest.raises(BadInput):
        drafted(deps, case, text)
    assert events_of(deps, case, "reply_drafted") == []
    assert drafted(deps, case, "长" * 2000).text == "长" * 2000


def test_the_same_words_pressed_twice_are_one_draft(deps: Deps) -> None:
    case = rumour(deps, "g1")
    assert drafted(deps, case) == drafted(deps, case)
    with pytest.raises(Conflict, match="change that one"):
        drafted(deps, case, "别的话")
    assert drafted(deps, case, "另一位的草稿", OFFICER).author == "otto"
    assert len(events_of(deps, case, "reply_drafted")) == 2


def test_a_draft_is_changed_by_its_author_in_the_version_seen(deps: Deps) -> None:
    case, other = rumour(deps, "g1"), grievance(deps)
    held = drafted(deps, case)
    changed = replies.draft(deps, LEADER, case.id, "第二稿", held.id, held.version)
    assert (changed.text, changed.version, changed.id) == ("第二稿", 2, held.id)
    for version in (held.version, None):
        with pytest.raises(Conflict):
            replies.draft(deps, LEADER, case.id, "第三稿", held.id, version)
    with pytest.raises(NotAllowed, match="its author's"):
        replies.draft(deps, OFFICER, case.id, "改别人的", held.id, changed.version)
    with pytest.raises(BadInput, match="another case"):
        replies.draft(deps, LEADER, other.id, "搬走", held.id, changed.version)
    with pytest.raises(NotFound):
        replies.draft(deps, LEADER, case.id, "没有", 999, 1)
    gone = replies.withdraw(deps, LEADER, held.id, changed.version)
    with pytest.raises(BadMove, match="only a draft"):
        replies.draft(deps, LEADER, case.id, "第三稿", held.id, gone.version)


def test_only_what_waits_for_an_answer_takes_one(deps: Deps) -> None:
    feed(deps, raw("m", "加微信领券"))
    spam = newest(deps, CaseKind.MODERATION)
    assert not replies.answerable(spam)
    with pytest.raises(NotAllowed):
        drafted(deps, spam, who=LEADER)
    with pytest.raises(BadMove, match="takes no answer"):
        drafted(deps, spam, who=OFFICER)
    for state in (S.DECLINED, S.ANSWERED):
        case = bring(deps, grievance(deps), state)
        assert not replies.answerable(case)
        with pytest.raises(BadMove):
            drafted(deps, case)


def test_a_draft_is_turned_down_by_those_who_may_approve(deps: Deps) -> None:
    case = grievance(deps, unit="后勤处")
    own, other = drafted(deps, case, "甲", HANDLER), drafted(deps, case, "乙", HANDLER_2)
    with pytest.raises(NotAllowed, match="another person's"):
        replies.withdraw(deps, HANDLER, other.id, other.version)
    with pytest.raises(NotAllowed):
        replies.withdraw(deps, MODERATOR, other.id, other.version)
    with pytest.raises(Conflict, match="read it again"):
        replies.withdraw(deps, HANDLER, own.id, own.version + 1)
    assert replies.withdraw(deps, HANDLER, own.id, own.version).state is ReplyState.WITHDRAWN
    assert replies.withdraw(deps, OFFICER, other.id, other.version).state is ReplyState.WITHDRAWN
    with pytest.raises(BadMove, match="withdrawn"):
        replies.withdraw(deps, HANDLER, own.id, own.version + 1)
    assert len(events_of(deps, case, "reply_withdrawn")) == 2


# --- approval --------------------------------------------------------------------------------------


def test_an_approved_clarification_goes_to_every_thread_once(deps: Deps, clock: FixedClock) -> None:
    case = rumour(deps, "g1", "g2", "g1", "g3", "g2")
    held = drafted(deps, case)
    at = clock.advance(minutes=5)
    made = replies.approve(deps, OFFICER, held.id, held.version)
    assert (made.state, made.approved_by, made.approved_at) == (ReplyState.APPROVED, "otto", at)
    sent = effects_of(deps, case)
    assert [(effect.channel, effect.thread, effect.handle) for effect in sent] == [
        ("qq", "g1", "r0"),
        ("qq", "g2", "r1"),
        ("qq", "g3", "r3"),
    ]
    for effect in sent:
        assert (effect.kind, effect.reply_id, effect.not_before) == (
            EffectKind.REPLY,
            made.id,
            at + timedelta(seconds=deps.rules.effect_delay),
        )
        assert effect.text == f"{WORDS}\n\n{made.signature}\n编号{effect.mark}"
        assert case.reference in effect.mark
        assert "/rate/" not in effect.text
    after = look(deps, case)
    assert (after.state, after.due_at, after.lease_by) == (S.DECIDED, None, None)
    (event,) = events_of(deps, case, "answer")
    assert event.detail == {"reply": made.id, "threads": 3}
    assert ledger_kinds(deps, case.reference)[-2:] == ["reply.approved", "case.answer"]


def test_a_grievance_is_answered_with_a_link_to_rate(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    held = drafted(deps, case, "已增开班车。", HANDLER_2 if case.unit else LEADER)
    replies.approve(deps, OFFICER, held.id, held.version)
    (effect,) = effects_of(deps, case)
    assert f"{deps.rules.base_url}/rate/" in effect.text
    token = effect.text.rsplit("/", 1)[1]
    with deps.uow.read() as store:
        assert store.cases.token(deps.keys.digest("token", token), "rate", deps.clock.now()) == case.id
    assert look(deps, case).state is S.ANSWERED


def test_the_author_does_not_approve_their_own_words(deps: Deps) -> None:
    case = rumour(deps, "g1")
    held = drafted(deps, case)
    with pytest.raises(NotAllowed, match="another person"):
        replies.approve(deps, LEADER, held.id, held.version)
    assert effects_of(deps, case) == []


def test_a_small_house_may_let_one_person_do_both(deps: Deps, clock: FixedClock) -> None:
    alone = deps_over(deps.uow, clock=clock, rules=Rules(two_person_reply=False))
    case = rumour(alone, "g1")
    held = drafted(alone, case)
    assert replies.approve(alone, LEADER, held.id, held.version).approved_by == "lea"


@pytest.mark.parametrize("who", [MODERATOR, HANDLER, ADMIN, CUSTODIAN], ids=lambda a: a.login)
def test_others_approve_nothing(deps: Deps, who: Actor) -> None:
    case = bring(deps, grievance(deps, unit="后勤处"), S.IN_WORK)
    held = drafted(deps, case, "已增开班车。", HANDLER_2)
    with pytest.raises(NotAllowed):
        replies.approve(deps, who, held.id, held.version)


def test_what_was_changed_after_reading_is_not_approved(deps: Deps) -> None:
    case = rumour(deps, "g1")
    held = drafted(deps, case)
    replies.draft(deps, LEADER, case.id, "偷换的话", held.id, held.version)
    with pytest.raises(Conflict):
        replies.approve(deps, OFFICER, held.id, held.version)
    replies.approve(deps, OFFICER, held.id, held.version + 1)
    with pytest.raises(BadMove, match="approved"):
        replies.approve(deps, OFFICER, held.id, held.version + 2)
    assert len(effects_of(deps, case)) == 1


@pytest.mark.parametrize(
    ("state", "missing"),
    [
        (S.REGISTERED, "accept it and start it"),
        (S.ACCEPTED, "start it with a named handler"),
        (S.TRANSFERRED, "the unit has to start it"),
        (S.RETURNED, "accept or transfer it again"),
        (S.WAITING, "resume it first"),
        (S.EXTENDED, "resume it first"),
    ],
)
def test_a_missing_step_is_named_and_nothing_leaves(deps: Deps, state: CaseState, missing: str) -> None:
    case = bring(deps, grievance(deps), state)
    held = drafted(deps, case)
    with pytest.raises(BadMove, match=missing):
        replies.approve(deps, OFFICER, held.id, held.version)
    assert effects_of(deps, case) == []
    with deps.uow.read() as store:
        assert store.replies.get(held.id) == held


def test_an_answer_to_what_is_over_is_refused(deps: Deps) -> None:
    case = bring(deps, grievance(deps), S.IN_WORK)
    late, first = drafted(deps, case, "晚了的答复", OFFICER_2), drafted(deps, case, "先批的答复")
    replies.approve(deps, OFFICER, first.id, first.version)
    with pytest.raises(BadMove):
        replies.approve(deps, OFFICER, late.id, late.version)
    assert len(effects_of(deps, case)) == 1
    assert replies.withdraw(deps, OFFICER, late.id, late.version).state is ReplyState.WITHDRAWN


def test_nothing_is_said_where_every_post_is_gone(deps: Deps) -> None:
    case = rumour(deps, "g1", "g2", "g2")
    feed(deps, recall("r0"), recall("r1"))
    held = drafted(deps, case)
    replies.approve(deps, OFFICER, held.id, held.version)
    assert [(e.thread, e.handle) for e in effects_of(deps, case)] == [("g2", "r2")]


def test_a_grievance_whose_post_is_gone_is_answered_without_a_word(deps: Deps) -> None:
    feed(deps, raw("gone", "停车难，想想办法"))
    case = bring(deps, newest(deps), S.IN_WORK)
    feed(deps, recall("gone"))
    held = drafted(deps, case)
    replies.approve(deps, OFFICER, held.id, held.version)
    assert effects_of(deps, case) == []
    assert events_of(deps, case, "answer")[0].detail["threads"] == 0


def test_the_answer_to_an_edited_post_takes_its_newest_handle(deps: Deps) -> None:
    case = rumour(deps, "g1")
    feed(deps, raw("r0", "听说绩效要砍，更正一下", kind=PostKind.EDIT, handle="h2"))
    held = drafted(deps, case)
    replies.approve(deps, OFFICER, held.id, held.version)
    (effect,) = effects_of(deps, case)
    assert effect.handle == "h2"


def test_the_mark_of_a_second_answer_is_another_one(deps: Deps) -> None:
    """Read-back must not take the first answer to a case for the second."""
    case = bring(deps, grievance(deps), S.ANSWERED)
    (first,) = effects_of(deps, case)
    ratings.rate(deps, first.text.rsplit("/", 1)[1], "no", 1)
    answered(deps, go(deps, case, "start", assignee="hugo"))
    second = effects_of(deps, case)[-1]
    assert second.id != first.id
    assert case.reference in first.mark
    assert case.reference in second.mark
    assert first.mark not in second.text
    assert second.mark not in first.text


def test_box_answers_stay_in_the_box(deps: Deps) -> None:
    receipts = [box.submit(deps, "box", f"食堂太贵了，第{n}位反映") for n in range(5)]
    feed(deps)
    assert len(set(receipts)) == 5
    with deps.uow.read() as store:
        found = [store.cases.by_receipt(deps.keys.digest("receipt", r)) for r in receipts]
    for case in found:
        assert case is not None
        box.add(deps, receipts[found.index(case)], "再补充一句")
        bring(deps, case, S.IN_WORK)
        held = drafted(deps, case, "您反映的问题已转后勤处，下周起调价。")
        replies.approve(deps, OFFICER, held.id, held.version)
        (effect,) = effects_of(deps, case)
        assert (effect.channel, effect.thread) == ("box", None)


# --- no campaigns (M-16) ---------------------------------------------------------------------------


def _say(deps: Deps, text: str, thread: str) -> list[Effect]:
    case = bring(deps, grievance(deps, thread=thread), S.IN_WORK)
    held = drafted(deps, case, text)
    replies.approve(deps, OFFICER, held.id, held.version)
    return effects_of(deps, case)


def test_the_same_words_stand_once_in_a_thread(deps: Deps, clock: FixedClock) -> None:
    assert len(_say(deps, "已经在处理。", "g1")) == 1
    clock.advance(days=30)
    with pytest.raises(BadInput, match="an answer of its own"):
        _say(deps, "已经 在处理。 ", "g1")
    assert len(_say(deps, "已经在处理！", "g1")) == 1


def test_a_clarification_skips_the_threads_that_have_it(deps: Deps) -> None:
    _say(deps, WORDS, "g1")
    case = rumour(deps, "g1", "g2")
    held = drafted(deps, case)
    replies.approve(deps, OFFICER, held.id, held.version)
    assert [effect.thread for effect in effects_of(deps, case)] == ["g2"]


def test_the_same_words_leave_three_times_a_day(deps: Deps, clock: FixedClock) -> None:
    for n in range(3):
        assert _say(deps, "已经在处理。", f"g{n}")
    with pytest.raises(BadInput, match="three times today"):
        _say(deps, "已经在处理。", "g8")
    clock.advance(hours=15)  # the next day in Shanghai
    assert _say(deps, "已经在处理。", "g8")


# --- reading ---------------------------------------------------------------------------------------


def test_the_inbox_shows_drafts_that_one_may_read(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MOST", 2)
    cases = [grievance(deps) for _n in range(3)]
    held = [drafted(deps, case, f"答复{case.id}") for case in cases]
    replies.withdraw(deps, LEADER, held[1].id, 1)
    held.append(drafted(deps, rumour(deps, "g1")))
    monkeypatch.setattr(replies, "MOST", 5)
    rows = replies.inbox(deps, OFFICER, 10)
    assert [row.reply.id for row in rows] == [held[3].id, held[2].id, held[0].id]
    assert rows[-1].case == look(deps, cases[0])
    assert len(replies.inbox(deps, LEADER, 1)) == 1
    assert len(replies.inbox(deps, OFFICER, 0)) == 1
    for who in (MODERATOR, HANDLER, ADMIN):
        with pytest.raises(NotAllowed):
            replies.inbox(deps, who, 10)


def test_an_empty_inbox(deps: Deps) -> None:
    assert replies.inbox(deps, OFFICER, 10) == []


def test_a_prompt_without_facts_promises_none(deps: Deps) -> None:
    case = rumour(deps, "g1", "g1", "g2")
    prompt = replies.suggest(deps, LEADER, case.id)
    assert prompt.statement.startswith("听说绩效要砍")
    assert (prompt.claim, prompt.facts, prompt.sources) == (None, (), ())
    assert prompt.spread == {"qq · g1": 2, "qq · g2": 1}
    assert prompt.draft.startswith(SUGGESTION)
    assert "正在核实" in prompt.draft
    assert any("还没有核实结论" in hint for hint in prompt.hints)


def test_facts_in_force_make_the_draft_and_expired_ones_never(deps: Deps, clock: FixedClock) -> None:
    case = rumour(deps, "g1")
    until = clock.now() + timedelta(days=2)
    claims.save_claim(
        deps,
        LEADER,
        case.id,
        "绩效要砍三成",
        ClaimState.FALSE,
        "方案没有变化。\n\n照旧发放。",
        "公告 3 号",
        until,
        0,
    )
    prompt = replies.suggest(deps, OFFICER, case.id)
    assert (prompt.statement, prompt.sources) == ("绩效要砍三成", ("公告 3 号",))
    assert prompt.facts == ("方案没有变化。", "照旧发放。")
    assert "方案没有变化。\n照旧发放。" in prompt.draft
    assert "依据：公告 3 号" in prompt.draft
    clock.advance(days=2)
    old = replies.suggest(deps, OFFICER, case.id)
    assert (old.facts, old.sources) == ((), ())
    assert "没有变化" not in old.draft
    assert old.claim is not None
    assert (old.claim.state, old.claim.valid_until) == (ClaimState.EXPIRED, None)
    assert any("已经过期" in hint for hint in old.hints)


def test_an_opinion_gives_no_facts(deps: Deps) -> None:
    case = rumour(deps, "g1")
    claims.save_claim(deps, LEADER, case.id, "绩效不公平", ClaimState.OPINION, "这是看法", "", None, 0)
    prompt = replies.suggest(deps, LEADER, case.id)
    assert (prompt.facts, "正在核实" in prompt.draft) == ((), True)
    claims.save_claim(deps, LEADER, case.id, "绩效要砍", ClaimState.TRUE, "属实", "公告", None, 1)
    assert "依据：公告" in replies.suggest(deps, LEADER, case.id).draft


def test_a_prompt_for_a_grievance(deps: Deps) -> None:
    feed(deps, raw("1", "停车难 " + "很长" * 300, thread=None), raw("2", "别的"))
    case = newest(deps)
    prompt = replies.suggest(deps, OFFICER, case.id)
    assert len(prompt.statement) == 300
    assert prompt.spread == {"qq": 1}
    assert "您的诉求" in prompt.draft
    assert any("写明诉求" in hint for hint in prompt.hints)
    feed(deps, recall("1"))
    gone = replies.suggest(deps, OFFICER, case.id)
    assert gone.spread == {}
    assert any("不会发送" in hint for hint in gone.hints)
    with pytest.raises(NotAllowed):
        replies.suggest(deps, HANDLER, case.id)
    with pytest.raises(NotAllowed):
        replies.suggest(deps, MODERATOR, case.id)
