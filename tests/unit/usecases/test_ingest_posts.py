"""Taking posts in: the counts add up, nothing personal is stored, the bad never stops the good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.errors import Malformed
from monitor.core.model import Broken, EffectState, PostKind, RawPost, SourceState
from monitor.core.ports import Outcome, PostFilter
from monitor.testing.builders import START, FixedClock, deps_over, raw
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import IngestReport, ingest, to_new_post


def counts(report: IngestReport) -> tuple[int, int, int, int, int]:
    return report.read, report.new, report.duplicate, report.updated, report.quarantined


def texts(deps: Deps) -> list[str]:
    with deps.uow.read() as store:
        return [post.text for post in reversed(store.posts.page(PostFilter(), None, 100))]


def test_twice_is_once_and_an_edit_is_a_revision(deps: Deps) -> None:
    batch = [raw("1", "食堂今天不错"), raw("2", "班车晚点")]
    assert counts(ingest(deps, "qq", batch)) == (2, 2, 0, 0, 0)
    assert counts(ingest(deps, "qq", batch)) == (2, 0, 2, 0, 0)
    edited = raw("2", "班车又晚点", kind=PostKind.EDIT)
    report = ingest(deps, "qq", [edited, raw("1", "食堂今天不错")])
    assert [r.outcome for r in report.results] == [Outcome.UPDATED, Outcome.DUPLICATE]
    with deps.uow.read() as store:
        first = store.posts.many([report.results[1].post_id or 0])[0]
        newest = store.posts.get(report.results[0].post_id or 0)
        assert (newest.revision, newest.text) == (2, "班车又晚点")
        assert len(store.posts.revisions(newest)) == 2
        assert store.posts.revisions(first) == [first.id]


def test_other_text_under_a_known_id_is_a_revision_not_a_loss(deps: Deps) -> None:
    report = ingest(deps, "qq", [raw("1", "一"), raw("1", "二"), raw("1", "二")])
    assert counts(report) == (3, 1, 1, 1, 0)


def test_only_the_masked_number_changed_is_still_an_edit(deps: Deps) -> None:
    """The digest is over what was written, not over what is left after masking."""
    report = ingest(deps, "qq", [raw("1", "打13812345678"), raw("1", "打13812345679")])
    assert [r.outcome for r in report.results] == [Outcome.NEW, Outcome.UPDATED]
    assert texts(deps)[-1] == "打[电话]"


def test_results_stand_in_the_order_of_the_items(deps: Deps) -> None:
    broken = Broken("qq", "json", "this is not JSON", b"{", "line 2")
    items = [raw("1", "一"), broken, raw("2", ""), raw("3", "三"), raw("", "四"), raw("1", "一")]
    report = ingest(deps, "qq", items, cursor="c6")
    assert counts(report) == (6, 2, 1, 0, 3)
    assert [(r.outcome, r.external_id, r.reason) for r in report.results] == [
        (Outcome.NEW, "1", None),
        (Outcome.QUARANTINED, None, "json"),
        (Outcome.QUARANTINED, None, "empty"),
        (Outcome.NEW, "3", None),
        (Outcome.QUARANTINED, None, "no_id"),
        (Outcome.DUPLICATE, "1", None),
    ]
    with deps.uow.read() as store:
        assert store.channels.cursor("qq") == "c6"
        assert store.quarantine.counts() == {("qq", "json"): 1, ("qq", "empty"): 1, ("qq", "no_id"): 1}
        assert store.jobs.counts()["waiting"] == 2


def test_the_cursor_stays_when_none_is_given(deps: Deps) -> None:
    ingest(deps, "qq", [], cursor="c1")
    assert counts(ingest(deps, "qq", [raw("1", "一")])) == (1, 1, 0, 0, 0)
    with deps.uow.read() as store:
        assert store.channels.cursor("qq") == "c1"


def test_the_quarantine_keeps_what_came_sealed(deps: Deps) -> None:
    ingest(deps, "qq", [raw("1", "x" * 10, thread="t" * 201)])
    with deps.uow.read() as store:
        (item,) = store.quarantine.page(None, 10)
        payload = store.quarantine.payload(item.id)
    assert (item.reason, item.position) == ("too_long", "1")
    assert "x" * 10 not in item.message
    assert b"xxxxxxxxxx" not in payload
    assert b"xxxxxxxxxx" in deps.keys.unseal(payload)


def test_nothing_personal_is_stored_in_the_clear(deps: Deps) -> None:
    post = raw("1", "我是张三，13812345678", author="10001", contact="a@b.cn", quoted="打13900001111")
    new = to_new_post(deps, post)
    assert (new.text, new.quoted) == ("我是张三，[电话]", "打[电话]")
    assert new.author == deps.keys.pseudonym("qq", "10001")
    assert "10001" not in new.author
    assert deps.keys.unseal(new.identity or b"") == b"10001"
    assert deps.keys.unseal(new.contact or b"") == b"a@b.cn"


def test_an_anonymous_writer_is_nobody_twice(deps: Deps) -> None:
    one, two = (to_new_post(deps, raw(name, "一", author=None)) for name in "12")
    assert one.author != two.author
    assert one.identity is None
    named = to_new_post(deps, raw("3", "一", author="1"))
    assert named.author != one.author, "nobody can take the place of an anonymous writer by their native id"


NOW = START
TIMES = [
    (None, NOW),
    (datetime(1970, 1, 1, tzinfo=UTC), NOW),
    (datetime(2004, 12, 31, 23, 59, tzinfo=UTC), NOW),
    (datetime(2005, 1, 1, tzinfo=UTC), datetime(2005, 1, 1, tzinfo=UTC)),
    (datetime(9999, 12, 31, tzinfo=UTC), NOW),
    (NOW + timedelta(minutes=10), NOW + timedelta(minutes=10)),
    (NOW + timedelta(minutes=10, seconds=1), NOW),
    (NOW.replace(tzinfo=None), NOW),
]


@pytest.mark.parametrize(("posted", "expected"), TIMES)
def test_impossible_times_become_the_time_of_arrival(
    deps: Deps, posted: datetime | None, expected: datetime
) -> None:
    assert to_new_post(deps, raw("1", "一", posted_at=posted)).posted_at == expected


LIMITS = [
    ({"external_id": "x" * 201}, "too_long"),
    ({"url": "x" * 2001}, "too_long"),
    ({"author": "x" * 501}, "too_long"),
    ({"text": " \x00\n "}, "empty"),
    ({"external_id": ""}, "no_id"),
    ({"external_id": "", "kind": PostKind.REMOVAL}, "no_id"),
]


@pytest.mark.parametrize(("change", "reason"), LIMITS)
def test_what_breaks_a_limit_is_refused_with_its_reason(
    deps: Deps, change: dict[str, object], reason: str
) -> None:
    with pytest.raises(Malformed) as refused:
        to_new_post(deps, replace(raw("1", "一"), **change))  # type: ignore[arg-type]
    assert refused.value.reason == reason


def test_a_removal_needs_no_words_and_may_name_a_handle(deps: Deps) -> None:
    removal = RawPost("qq", "", "", PostKind.REMOVAL, handle="77")
    assert to_new_post(deps, removal).handle == "77"
    assert to_new_post(deps, raw("1", "一")).handle == "1"


def test_a_recall_marks_the_post_and_counts_as_updated(deps: Deps) -> None:
    report = ingest(deps, "qq", [raw("1", "一")])
    recall = RawPost("qq", "1", "", PostKind.REMOVAL)
    assert counts(ingest(deps, "qq", [recall])) == (1, 0, 0, 1, 0)
    assert counts(ingest(deps, "qq", [recall])) == (1, 0, 1, 0, 0)
    with deps.uow.read() as store:
        assert store.posts.get(report.results[0].post_id or 0).source_state is SourceState.REMOVED


def test_a_recall_before_its_message_is_remembered(deps: Deps) -> None:
    ingest(deps, "qq", [RawPost("qq", "1", "", PostKind.REMOVAL)])
    report = ingest(deps, "qq", [raw("1", "一")])
    with deps.uow.read() as store:
        assert store.posts.get(report.results[0].post_id or 0).source_state is SourceState.REMOVED


def test_messy_words_are_stored_clean(deps: Deps) -> None:
    nick = raw("a\ud800", "好\x00\ud83d的\x1b[31m", thread="组\x00一", unit="后勤\x07处")
    report = ingest(deps, "qq", [nick, raw("2", "长" * 30_000)])
    assert counts(report)[:2] == (2, 2)
    assert texts(deps)[0] == "好\ufffd的[31m"
    assert len(texts(deps)[1]) == 20_000


_anything = st.builds(
    RawPost,
    channel=st.just("qq"),
    external_id=st.text(st.characters(), max_size=6),
    text=st.text(st.characters(), max_size=20),
    kind=st.sampled_from(PostKind),
    author=st.none() | st.text(st.characters(), max_size=5),
    posted_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    thread=st.none() | st.text(st.characters(), max_size=5),
    handle=st.none() | st.text(st.characters(), max_size=5),
    quoted=st.none() | st.text(st.characters(), max_size=5),
    contact=st.none() | st.text(st.characters(), max_size=5),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_anything, max_size=6))
def test_whatever_comes_the_counts_add_up(deps: Deps, items: list[RawPost]) -> None:
    report = ingest(deps, "qq", items)
    assert report.read == len(items) == len(report.results)
    assert report.read == report.new + report.duplicate + report.updated + report.quarantined
    again = ingest(deps, "qq", [item for item in items if item.kind is PostKind.POST])
    assert again.read == again.new + again.duplicate + again.updated + again.quarantined


def test_the_moment_of_arrival_is_the_clock_s(deps: Deps) -> None:
    late = deps_over(deps.uow, clock=FixedClock(START + timedelta(days=1)))
    assert to_new_post(late, raw("1", "一")).received_at == START + timedelta(days=1)


def test_the_words_before_masking_lie_sealed_and_only_where_something_was_masked(deps: Deps) -> None:
    from monitor.usecases.ingest import opened

    report = ingest(deps, "qq", [raw("1", "打我电话13812345678"), raw("2", "工资没发")])
    one, other = (result.post_id or 0 for result in report.results)
    with deps.uow.read() as store:
        sealed = store.posts.original(one)
        assert store.posts.original(other) is None
        assert "13812345678" not in store.posts.get(one).text
    assert sealed is not None
    assert b"13812345678" not in sealed
    assert opened(deps, sealed) == "打我电话13812345678"
    keeps_none = replace(deps, rules=replace(deps.rules, original_days=0))
    (result,) = ingest(keeps_none, "qq", [raw("3", "打我电话13812345678")]).results
    with deps.uow.read() as store:
        assert store.posts.original(result.post_id or 0) is None


def _removal(external_id: str, by: str | None) -> RawPost:
    return raw(external_id, "", kind=PostKind.REMOVAL, by=by)


@pytest.mark.parametrize("by", ["author", "moderator", "self", None])
@pytest.mark.parametrize("before", [True, False])
def test_who_removed_a_post_is_known_whatever_came_first(deps: Deps, by: str | None, before: bool) -> None:
    post, gone = raw("1", "工资没发"), _removal("1", by)
    ingest(deps, "qq", [gone, post] if before else [post, gone])
    with deps.uow.read() as store:
        (found,) = store.posts.page(PostFilter(), None, 9)
    assert (found.source_state, found.removed_by) == (SourceState.REMOVED, by)


def test_what_we_removed_ourselves_is_not_taken_for_the_authors_recall(deps: Deps) -> None:
    from monitor.core.model import CaseKind, CaseState, EffectKind, NewCase, NewEffect

    (result,) = ingest(deps, "qq", [raw("1", "加微信abc领优惠")]).results
    now, post_id = deps.clock.now(), result.post_id or 0
    with deps.uow.begin() as store:
        new = NewCase(CaseKind.MODERATION, CaseState.DECIDED, 1, "qq", (post_id,), "test")
        case = store.cases.open(new, now)
        store.outbox.add(
            NewEffect("k", EffectKind.REMOVE, "qq", case.id, now, handle="1", post_id=post_id), now
        )
        store.outbox.lease(1, now, 60, [EffectState.NEW])
    ingest(deps, "qq", [_removal("1", None)])
    with deps.uow.read() as store:
        assert store.posts.get(post_id).removed_by == "self"


def test_the_time_on_the_way_is_known_where_the_source_tells_a_time(deps: Deps, clock: FixedClock) -> None:
    ingest(deps, "qq", [raw("1", "早上好", posted_at=clock.now() - timedelta(seconds=90))])
    ingest(deps, "box", [raw("1", "没有时间", channel="box", posted_at=None)])
    with deps.uow.read() as store:
        lags = {row.name: row.lag for row in store.channels.status()}
    assert lags == {"qq": timedelta(seconds=90), "box": None}
