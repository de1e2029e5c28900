"""Deciding: who may, what a restriction must say, what leaves for the channels, and who is faster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from grievance_world import feed, newest
from moderation_world import (
    ANGRY,
    MODERATOR_3,
    decided,
    effects_of,
    events_of,
    ledger_kinds,
    look,
    notice_token,
    opened,
    outbox,
    removed_by_two,
    request,
    where_only,
)

from monitor.core.errors import BadInput, BadMove, Conflict, HuiyinError, NotAllowed, NotFound
from monitor.core.model import (
    RESTRICTING,
    SYSTEM,
    Action,
    Actor,
    CaseKind,
    CaseState,
    ClaimState,
    EffectKind,
    PostKind,
    Role,
    RuleCode,
    SourceState,
)
from monitor.core.policy import SECOND_PERSON
from monitor.core.ports import Capability
from monitor.testing.builders import (
    ADMIN,
    CUSTODIAN,
    HANDLER,
    LEADER,
    MEMBER,
    MODERATOR,
    MODERATOR_2,
    OFFICER,
    FixedClock,
    raw,
)
from monitor.usecases import claims, decide, effects, queue
from monitor.usecases._grounds import LONGEST_MUTE
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest, to_new_post

A = Action


# --- what needs no ground --------------------------------------------------------------------------


@pytest.mark.parametrize("action", [A.KEEP, A.DISMISS])
def test_a_plain_decision_settles_the_case_and_does_nothing_outside(deps: Deps, action: Action) -> None:
    case = opened(deps)
    queue.claim(deps, MODERATOR, case.id)
    made = decided(deps, case, action, note="  看过了 ")
    now = look(deps, case)
    assert (now.state, now.version, now.lease_by) == (CaseState.DECIDED, case.version + 1, None)
    assert (made.action, made.actor, made.role, made.note) == (action, "mo", Role.MODERATOR, "看过了")
    assert (made.rule, made.quote, made.appeal_until) == (None, None, None)
    (event,) = events_of(deps, case, "decide")
    assert event.detail == {"action": action, "decision": made.id, "note": "看过了"}
    assert ledger_kinds(deps, case.reference)[-1] == "case.decide"
    assert outbox(deps) == []


def test_a_ground_without_a_restriction_is_not_kept(deps: Deps) -> None:
    made = decided(deps, opened(deps), A.KEEP, rule=RuleCode.FRAUD)
    assert made.rule is None


# --- who -------------------------------------------------------------------------------------------

_DECIDERS = {
    CaseKind.MODERATION: {MODERATOR, OFFICER},
    CaseKind.CARE: {MODERATOR, OFFICER},
    CaseKind.CLARIFICATION: {MODERATOR, OFFICER},
    CaseKind.GRIEVANCE: set(),
}
_EVERYBODY = (MODERATOR, OFFICER, LEADER, HANDLER, CUSTODIAN, ADMIN, MEMBER, SYSTEM)


@pytest.mark.parametrize(("kind", "deciders"), _DECIDERS.items())
def test_who_decides_what_and_the_screen_says_the_same(
    deps: Deps, kind: CaseKind, deciders: set[Actor]
) -> None:
    for who, action in product(_EVERYBODY, (A.KEEP, A.DISMISS, A.ESCALATE)):
        case = opened(deps, kind)
        if who in deciders:
            decided(deps, case, action, who)
            continue
        with pytest.raises((NotAllowed, BadMove)):
            decided(deps, case, action, who)
        assert look(deps, case) == case
    case = opened(deps, kind)
    for who in (MODERATOR, OFFICER):
        with deps.uow.read() as store:
            posts = store.posts.many(store.cases.post_ids(case.id))
            names = set(decide.possible(store, deps, who, case, posts))
        assert ({"keep", "dismiss", "escalate"} <= names) is (who in deciders)
        assert bool(names & {str(a) for a in RESTRICTING}) is (
            kind is CaseKind.MODERATION and who is MODERATOR
        )


@pytest.mark.parametrize("action", sorted(RESTRICTING))
@pytest.mark.parametrize("kind", [CaseKind.CARE, CaseKind.CLARIFICATION, CaseKind.MODERATION])
def test_only_moderators_restrict_and_only_in_moderation(deps: Deps, kind: CaseKind, action: Action) -> None:
    case = opened(deps, kind)
    for who in (OFFICER, LEADER, HANDLER, CUSTODIAN, ADMIN, MEMBER):
        with pytest.raises(NotAllowed):
            decided(deps, case, action, who)
    if kind is CaseKind.MODERATION:
        assert decided(deps, case, action).action is action
    else:
        with pytest.raises(BadMove, match="cannot be settled"):
            decided(deps, case, action)
        assert outbox(deps) == []


def test_an_unknown_case_is_not_found(deps: Deps) -> None:
    asked = replace(request(deps, opened(deps), A.KEEP), case_id=999)
    with pytest.raises(NotFound):
        decide.decide(deps, MODERATOR, asked)


# --- what a restriction must say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule": None}, "criticism is none"),
        ({"quote": None}, "quote the words"),
        ({"quote": (999, 0, 3)}, "not in a post"),
        ({"quote": (1, -1, 3)}, "not in a post"),
        ({"quote": (1, 3, 3)}, "not in a post"),
        ({"quote": (1, 5, 4)}, "not in a post"),
        ({"quote": (1, 0, 10_000)}, "not in a post"),
        ({"quote": (1, 8, 9)}, "not in a post"),
        ({"note": "长" * 501}, "at most 500"),
        ({"explanation": "长" * 2_001}, "at most 2000"),
        ({"rule": RuleCode.ILLEGAL}, "article"),
        ({"rule": RuleCode.ILLEGAL, "explanation": "违法了"}, "article"),
        ({"rule": RuleCode.AUTHORITY_ORDER, "explanation": "上级要求"}, "number of the order"),
        ({"rule": RuleCode.CONFIRMED_FALSEHOOD}, "verdict"),
        ({"action": A.MUTE, "mute_seconds": 0}, "thirty days"),
        ({"action": A.MUTE, "mute_seconds": LONGEST_MUTE + 1}, "thirty days"),
    ],
)
def test_a_restriction_that_says_too_little_is_refused(
    deps: Deps, given: dict[str, object], said: str
) -> None:
    case = opened(deps)
    with pytest.raises(BadInput, match=said):
        decided(deps, case, **given)  # type: ignore[arg-type]
    assert look(deps, case) == case
    assert outbox(deps) == []
    assert [event.kind for event in events_of(deps, case)] == ["opened"]


@pytest.mark.parametrize(
    ("rule", "explanation"),
    [
        (RuleCode.ILLEGAL, "《民法典》第一千零三十二条"),
        (RuleCode.AUTHORITY_ORDER, "校办〔2026〕3 号"),
        (RuleCode.SPAM_AD, "字" * 2_000),
    ],
)
def test_a_restriction_that_says_enough_is_kept_as_said(deps: Deps, rule: RuleCode, explanation: str) -> None:
    case = opened(deps)
    made = decided(deps, case, rule=rule, explanation=explanation, note="字" * 500)
    assert (made.rule, made.explanation, made.second) == (rule, explanation, None)
    assert made.quote is not None
    with deps.uow.read() as store:
        assert store.decisions.get(made.id) == made
        text = store.posts.get(made.quote.post_id).text
    assert text[made.quote.start : made.quote.end] == made.quote.text
    (event,) = events_of(deps, case, "decide")
    assert (event.reason, event.detail["rule"]) == (explanation, rule)


@pytest.mark.parametrize(
    ("state", "sources", "enough"),
    [
        (ClaimState.FALSE, "人事处通知 2026-3", True),
        (ClaimState.PARTLY, "人事处通知 2026-3", True),
        (ClaimState.TRUE, "人事处通知 2026-3", False),
        (ClaimState.UNVERIFIED, "", False),
    ],
)
def test_a_falsehood_is_a_ground_only_after_a_verdict(
    deps: Deps, state: ClaimState, sources: str, enough: bool
) -> None:
    case = opened(deps, text="听说绩效没了，加微信了解")
    claim = newest(deps, CaseKind.CLARIFICATION)
    claims.save_claim(deps, LEADER, claim.id, "绩效取消", state, "绩效没有取消", sources, None, 0)
    if enough:
        assert decided(deps, case, rule=RuleCode.CONFIRMED_FALSEHOOD).rule is RuleCode.CONFIRMED_FALSEHOOD
    else:
        with pytest.raises(BadInput, match="clarify first"):
            decided(deps, case, rule=RuleCode.CONFIRMED_FALSEHOOD)


@pytest.mark.parametrize("action", sorted(RESTRICTING))
def test_a_channel_that_cannot_is_a_clear_refusal(deps: Deps, action: Action) -> None:
    poor = where_only(deps, Capability.LISTEN, Capability.REPLY)
    case = opened(poor)
    with pytest.raises(BadInput, match=f"cannot {action}"):
        decided(poor, case, action)
    assert decided(deps, case, action).id


def test_posts_that_are_gone_are_not_restricted(deps: Deps) -> None:
    case = opened(deps, posts=2)
    with deps.uow.read() as store:
        first, second = store.posts.many(store.cases.post_ids(case.id))
    ingest(deps, "qq", [raw(first.external_id, "", kind=PostKind.REMOVAL)])
    made = decided(deps, case, quote=(second.id, 9, 12))
    assert [e.post_id for e in effects_of(deps, made, EffectKind.REMOVE)] == [second.id]


def test_there_is_nothing_to_restrict_when_every_post_is_gone(deps: Deps) -> None:
    case = opened(deps)
    with deps.uow.begin() as store:
        (post,) = store.posts.many(store.cases.post_ids(case.id))
        notice = raw(post.external_id, "", kind=PostKind.REMOVAL)
        store.posts.add([to_new_post(deps, notice)])
        assert store.posts.get(post.id).source_state is SourceState.REMOVED
    with pytest.raises(BadInput, match="nothing to restrict"):
        decided(deps, case)


# --- what leaves -----------------------------------------------------------------------------------


def test_one_decision_covers_the_cluster_and_each_place_is_told_once(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps, posts=5)
    made = decided(deps, case, explanation="群里不发广告。")
    removals, notices = (effects_of(deps, made, k) for k in (EffectKind.REMOVE, EffectKind.NOTICE))
    with deps.uow.read() as store:
        posts = store.posts.many(store.cases.post_ids(case.id))
    assert made.post_ids == tuple(post.id for post in posts)
    assert [(e.post_id, e.thread, e.handle) for e in removals] == [
        (post.id, post.thread, post.external_id) for post in posts
    ]
    assert sorted((e.channel, e.thread) for e in notices) == [("qq", "g0"), ("qq", "g1")]
    assert len({e.key for e in (*removals, *notices)}) == 7
    assert {e.not_before for e in (*removals, *notices)} == {clock.now() + timedelta(seconds=20)}
    (event,) = events_of(deps, case, "decide")
    assert (event.detail["effects"], event.detail["notices"]) == (5, 2)


def test_a_notice_names_union_ground_reference_and_the_way_to_appeal_and_nobody(deps: Deps) -> None:
    case = opened(deps, author="10086001")
    made = decided(deps, case, explanation="群里不发广告。")
    (notice,) = effects_of(deps, made, EffectKind.NOTICE)
    assert notice.text.startswith("【校工会通知】")
    for part in ("垃圾广告", "移除", "群里不发广告。", case.reference, "/appeal/", "2026-09-02"):
        assert part in notice.text
    assert notice.mark in notice.text
    assert case.reference in notice.mark
    with deps.uow.read() as store:
        (post,) = store.posts.many(list(made.post_ids))
        digest = deps.keys.digest("token", notice_token(deps, made))
        assert store.cases.token(digest, "appeal", deps.clock.now()) == made.id
    for secret in (post.text, made.quote.text if made.quote else "", post.author, "10086001", "mo"):
        assert secret
        assert secret not in notice.text
    assert (notice.handle, notice.thread) == (None, "g0")


def test_what_one_channel_cannot_the_other_does(deps: Deps) -> None:
    able = {"qq": frozenset(Capability), "weibo": frozenset({Capability.LISTEN})}
    mixed = replace(deps, capabilities=lambda channel: able[channel])
    case = opened(mixed)
    with deps.uow.read() as store:
        (post,) = store.posts.many(store.cases.post_ids(case.id))
    feed(mixed, raw("w1", post.text, channel="weibo", thread="t"), channel="weibo")
    assert look(deps, case).post_count == 2
    made = decided(mixed, case)
    assert {e.channel for e in effects_of(deps, made)} == {"qq"}


def test_a_place_that_cannot_be_told_is_recorded(deps: Deps) -> None:
    silent = where_only(deps, Capability.LISTEN, Capability.REMOVE)
    case = opened(silent)
    made = decided(silent, case)
    assert [e.kind for e in effects_of(deps, made)] == [EffectKind.REMOVE]
    assert events_of(deps, case, "decide")[0].detail["notices"] == 0


def test_a_muting_meets_each_author_once_per_thread_and_reaches_the_sender_unsealed(
    deps: Deps, clock: FixedClock
) -> None:
    case = opened(deps, posts=6, thread="g0")
    made = decided(deps, case, A.MUTE, mute_seconds=3_600)
    mutes = effects_of(deps, made, EffectKind.MUTE)
    assert [e.seconds for e in mutes] == [3_600] * 3
    clock.advance(seconds=20)
    taken = [one for one in effects.take(deps) if one.effect.kind is EffectKind.MUTE]
    assert len({one.author for one in taken}) == 3
    assert all(str(one.author).startswith("person-") for one in taken)


def test_two_revisions_of_one_message_are_one_effect(deps: Deps) -> None:
    case = opened(deps)
    with deps.uow.read() as store:
        (post,) = store.posts.many(store.cases.post_ids(case.id))
    feed(deps, raw(post.external_id, post.text + "！", kind=PostKind.EDIT, thread="g0"))
    assert look(deps, case).post_count == 2
    made = decided(deps, case)
    with deps.uow.read() as store:
        current = store.posts.current(post)
    assert [e.post_id for e in effects_of(deps, made, EffectKind.REMOVE)] == [current.id]
    assert events_of(deps, case, "decide")[0].detail["effects"] == 1


# --- criticism guard (M-02) ------------------------------------------------------------------------


def test_one_person_only_proposes_and_a_second_one_completes(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    assert SECOND_PERSON in case.policy
    queue.claim(deps, MODERATOR, case.id)
    asked = decided(deps, case, rule=RuleCode.INSULT_OR_THREAT)
    now = look(deps, case)
    assert (asked.id, asked.action, asked.case_id) == (0, A.REMOVE, case.id)
    assert (now.state, now.version, now.lease_by) == (CaseState.PENDING, case.version + 1, None)
    assert outbox(deps) == []
    (event,) = events_of(deps, case, "proposed")
    assert (event.actor, event.detail["action"], event.detail["rule"]) == ("mo", "remove", "INSULT_OR_THREAT")
    with pytest.raises(BadMove, match="another person"):
        decided(deps, case, rule=RuleCode.INSULT_OR_THREAT)
    made = decided(deps, case, by=MODERATOR_2, rule=RuleCode.INSULT_OR_THREAT)
    assert (made.actor, made.second) == ("mona", "mo")
    assert look(deps, case).state is CaseState.DECIDED
    assert effects_of(deps, made, EffectKind.REMOVE)
    assert ledger_kinds(deps, case.reference)[-2:] == ["case.proposed", "case.decide"]


def test_another_ground_is_another_proposal(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    decided(deps, case, rule=RuleCode.INSULT_OR_THREAT)
    assert decided(deps, case, by=MODERATOR_2, rule=RuleCode.SPAM_AD).id == 0
    assert decided(deps, case, A.HIDE, by=MODERATOR_3, rule=RuleCode.SPAM_AD).id == 0
    made = decided(deps, case, A.HIDE, rule=RuleCode.SPAM_AD)
    assert (made.actor, made.second) == ("mo", "mark")


def test_the_reading_guards_where_the_policy_does_not_say_so(deps: Deps) -> None:
    case = opened(deps, posts=2)
    with deps.uow.begin() as store:
        post_ids = store.cases.post_ids(case.id)
        angry = store.readings.get(post_ids[1])
        assert angry is not None
        assert deps.classifier is not None
        (reading,) = deps.classifier.classify([ANGRY])
        store.readings.add([(post_ids[1], reading)])
    assert SECOND_PERSON not in case.policy
    assert decided(deps, case).id == 0


def test_one_person_may_keep_what_was_proposed(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    decided(deps, case)
    assert decided(deps, case, A.KEEP, by=MODERATOR_2).id
    assert outbox(deps) == []


def test_a_proposal_is_void_after_an_undo(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    made = removed_by_two(deps, case)
    decide.undo(deps, MODERATOR_2, made.id)
    assert decided(deps, case).id == 0, "a new proposal: nobody rides on the old one"
    assert decided(deps, case, by=MODERATOR_3).second == "mo"


def test_three_hundred_harsh_complaints_lose_nothing_to_one_person(deps: Deps) -> None:
    """M-02: whatever one moderator does, no complaint is removed, hidden or muted."""
    texts = [f"{harsh}，{what}" for _n in range(25) for harsh in HARSH for what in COMPLAINTS]
    feed(deps, *(raw(f"h{n}", f"{n:08d} {text}") for n, text in enumerate(texts)))
    with deps.uow.read() as store:
        cases = store.cases.page(queue.CaseFilter(kinds=(CaseKind.MODERATION,)), None, 1_000)
    assert len(cases) == len(texts) == 300
    refused = Counter[str]()
    for n, case in enumerate(cases):
        for action in (sorted(RESTRICTING)[n % 3], A.REMOVE)[: 1 + (n < 60)]:
            try:
                decided(deps, case, action, rule=list(RuleCode)[n % 10], explanation="《条例》第一条 1 号")
            except HuiyinError as error:
                refused[type(error).__name__] += 1
    assert refused == {"BadMove": 18, "BadInput": 36}
    assert outbox(deps) == []


HARSH = ("管事的都是傻子", "后勤领导滚出去", "傻子才信这种通知", "让这些傻子下台")
COMPLAINTS = ("食堂太贵没人管", "工资又被扣了", "投诉三次没有回音")


# --- who is faster ---------------------------------------------------------------------------------


def test_a_stale_version_is_a_conflict_that_names_who_was_faster(deps: Deps) -> None:
    case = opened(deps, text=ANGRY)
    before = request(deps, case)
    decided(deps, case)
    with pytest.raises(Conflict, match="mo changed this case"):
        decide.decide(deps, MODERATOR_2, before)
    other = opened(deps)
    stale = replace(request(deps, other, A.KEEP), version=7)
    with pytest.raises(Conflict, match="somebody changed"):
        decide.decide(deps, MODERATOR, stale)


def test_a_settled_case_says_who_settled_it_and_when(deps: Deps) -> None:
    case = opened(deps)
    asked = request(deps, case, A.KEEP)
    decided(deps, case, A.KEEP)
    with pytest.raises(Conflict, match=r"decided already by mo at 2026-03-02 01:00"):
        decide.decide(deps, MODERATOR_2, asked)


def test_a_withdrawn_case_is_a_conflict_without_a_name(deps: Deps) -> None:
    case = opened(deps)
    with deps.uow.read() as store:
        (post,) = store.posts.many(store.cases.post_ids(case.id))
    ingest(deps, "qq", [raw(post.external_id, "", kind=PostKind.REMOVAL)])
    with pytest.raises(Conflict, match="this case is closed already; take"):
        decided(deps, case, A.KEEP)


def test_what_a_colleague_holds_is_left_to_them_until_the_lease_ends(deps: Deps, clock: FixedClock) -> None:
    case = opened(deps)
    queue.claim(deps, MODERATOR_2, case.id)
    with pytest.raises(Conflict, match="mona is working"):
        decided(deps, case, A.KEEP)
    clock.advance(seconds=deps.rules.lease_seconds)
    assert decided(deps, case, A.KEEP).id


# --- rights in single groups -----------------------------------------------------------------------


def _powerless(*threads: str) -> Callable[[str, str | None], frozenset[Capability]]:
    gone = frozenset({Capability.REMOVE, Capability.MUTE})
    return lambda _channel, thread: gone if thread in threads else frozenset()


def test_nothing_is_offered_or_done_where_our_account_is_no_administrator(deps: Deps) -> None:
    case = opened(deps, thread="g1")
    elsewhere, here = replace(deps, lacking=_powerless("g2")), replace(deps, lacking=_powerless("g1"))
    assert {"remove", "mute"} <= set(queue.view(elsewhere, MODERATOR, case.id).allowed)
    assert not {"remove", "mute"} & set(queue.view(here, MODERATOR, case.id).allowed)
    with pytest.raises(BadInput, match="cannot remove"):
        decided(here, case)


def test_a_removal_goes_only_to_the_groups_where_we_may(deps: Deps) -> None:
    case = opened(deps, posts=2)  # in g0 and g1
    made = decided(replace(deps, lacking=_powerless("g1")), case)
    assert {effect.thread for effect in effects_of(deps, made, EffectKind.REMOVE)} == {"g0"}
