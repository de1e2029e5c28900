"""Posts: once is once, an edit is a revision, a recall is followed in whatever order things arrive."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_world import LATER, new, notice, opened, reading, stored

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.errors import NotFound
from monitor.core.model import Label, Post, PostKind, SourceState
from monitor.core.ports import Outcome, PostFilter, Store
from monitor.testing.builders import START

EDIT, REMOVAL, RESTORE = PostKind.EDIT, PostKind.REMOVAL, PostKind.RESTORE


def outcomes(uow: SqlUnitOfWork, *posts: object) -> list[str]:
    with uow.begin() as store:
        return [found.outcome.value for found in store.posts.add(posts)]  # type: ignore[arg-type]


def current(store: Store, external_id: str) -> Post:
    found = store.posts.find_handle("qq", external_id)
    assert found is not None
    return found


def test_every_field_comes_back(uow: SqlUnitOfWork) -> None:
    given = new(
        "1",
        "食堂太贵了 🍜",
        author="b" * 24,
        reply_to="0",
        handle="-77",
        url="https://example.org/1",
        lang="zh",
        quoted="“昨天”",
        unit="后勤处",
        identity=b"\x00sealed",
        contact=b"\xffsealed",
    )
    with uow.begin() as store:
        (post,) = stored(store, given)
    with uow.read() as store:
        assert store.posts.get(post.id) == post
        assert store.posts.many([post.id, 999]) == [post]
        assert store.posts.identity("b" * 24) == b"\x00sealed"
        assert store.posts.contact(post.id) == b"\xffsealed"
        assert store.posts.identity("c" * 24) is None
    kept = ("channel", "external_id", "text", "author", "thread", "reply_to", "handle", "url", "lang", "unit")
    assert [getattr(post, name) for name in kept] == [getattr(given, name) for name in kept]
    assert (post.quoted, post.posted_at, post.received_at) == (given.quoted, START, LATER)
    assert (post.revision, post.source_state, post.group_id) == (1, SourceState.VISIBLE, None)


def test_twice_is_once_within_a_batch_and_across(uow: SqlUnitOfWork) -> None:
    assert outcomes(uow, new("1"), new("2"), new("1")) == ["new", "new", "duplicate"]
    assert outcomes(uow, new("2"), new("3")) == ["duplicate", "new"]
    with uow.begin() as store:
        first, again = store.posts.add([new("1"), new("1")])
        assert first.post == again.post == current(store, "1")
        assert store.posts.count() == 3
        assert store.jobs.counts()["waiting"] == 3


def test_the_same_words_under_another_id_or_channel_are_another_post(uow: SqlUnitOfWork) -> None:
    assert outcomes(uow, new("1"), new("2"), new("1", channel="box")) == ["new", "new", "new"]


def test_an_edit_is_a_new_revision_and_waits_for_its_reading(uow: SqlUnitOfWork) -> None:
    assert outcomes(uow, new("1", "旧的"), new("1", "新的", 5, kind=EDIT)) == ["new", "updated"]
    with uow.begin() as store:
        now = current(store, "1")
        assert (now.text, now.revision) == ("新的", 2)
        old, newest = store.posts.revisions(now)
        assert newest == now.id
        assert store.posts.get(old).text == "旧的"
        assert store.posts.current(store.posts.get(old)) == now
        assert store.posts.count() == 1
        assert [job.post.text for job in store.jobs.lease(9, 60, "w")] == ["旧的", "新的"]
    assert outcomes(uow, new("1", "新的", 5, kind=EDIT), new("1", "旧的")) == ["duplicate", "duplicate"]


def test_an_edit_back_to_older_words_counts_when_the_source_dates_it(uow: SqlUnitOfWork) -> None:
    outcomes(uow, new("1", "甲"), new("1", "乙", 5, kind=EDIT), new("1", "甲", 9, kind=EDIT))
    with uow.read() as store:
        assert (current(store, "1").text, current(store, "1").revision) == ("甲", 3)
    undated = new("1", "乙", kind=EDIT, posted_at=LATER)
    assert outcomes(uow, undated) == ["duplicate"], "it cannot be told from the same edit delivered twice"


def test_an_edit_before_its_post_keeps_the_place_of_the_original(uow: SqlUnitOfWork) -> None:
    assert outcomes(uow, new("1", "新的", 5, kind=EDIT)) == ["new"]
    assert outcomes(uow, new("1", "旧的")) == ["updated"]
    with uow.begin() as store:
        assert (current(store, "1").text, current(store, "1").revision) == ("新的", 2)
        assert [store.posts.get(one).text for one in store.posts.revisions(current(store, "1"))] == [
            "旧的",
            "新的",
        ]
        assert store.jobs.counts()["waiting"] == 1, "history needs no reading"


@pytest.mark.parametrize("by", ["external_id", "handle"])
def test_a_recall_marks_every_revision_and_can_be_undone(uow: SqlUnitOfWork, by: str) -> None:
    outcomes(uow, new("1", "甲", handle="-5"), new("1", "乙", 3, kind=EDIT, handle="-5"))
    named = {"external_id": ("1", {"handle": None}), "handle": ("", {"handle": "-5"})}[by]
    gone, back = (notice(named[0], kind, at, **named[1]) for kind, at in ((REMOVAL, 5), (RESTORE, 8)))
    assert outcomes(uow, gone, gone) == ["updated", "duplicate"]
    with uow.read() as store:
        ids = store.posts.revisions(current(store, "-5"))
        assert {store.posts.get(one).source_state for one in ids} == {SourceState.REMOVED}
    assert outcomes(uow, gone, back, gone) == ["duplicate", "updated", "duplicate"]
    with uow.read() as store:
        assert current(store, "-5").source_state is SourceState.VISIBLE


def test_a_recall_before_its_message_is_kept_for_it(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        (early,) = store.posts.add([notice("", REMOVAL, 5, handle="-9")])
    assert (early.outcome, early.post) == (Outcome.UPDATED, None)
    assert outcomes(uow, notice("", REMOVAL, 5, handle="-9")) == ["duplicate"]
    assert outcomes(uow, new("other", handle="-9", thread="g2"), new("1", handle="-9")) == ["new", "new"]
    with uow.read() as store:
        states = [post.source_state for post in store.posts.page(PostFilter(), None, 9)]
    assert states == [SourceState.REMOVED, SourceState.VISIBLE], "the same handle in another group is another"


def test_the_latest_notice_counts_although_it_only_repeats_an_earlier_one(uow: SqlUnitOfWork) -> None:
    said = [notice("1", REMOVAL, 5), notice("1", REMOVAL, 9), notice("1", RESTORE, 7)]
    assert outcomes(uow, *said, new("1")) == ["updated", "duplicate", "duplicate", "new"]
    assert outcomes(uow, new("2"), *(notice("2", n.kind, (n.posted_at - START).seconds) for n in said)) == [
        "new",
        "updated",
        "duplicate",
        "duplicate",
    ]
    with uow.read() as store:
        assert {current(store, name).source_state for name in "12"} == {SourceState.REMOVED}


def test_a_recall_inside_the_batch_of_its_message(uow: SqlUnitOfWork) -> None:
    assert outcomes(uow, notice("1", REMOVAL, 5), new("1"), notice("2", REMOVAL), new("3"), new("2")) == [
        "updated",
        "new",
        "updated",
        "new",
        "new",
    ]
    with uow.read() as store:
        states = {
            post.external_id: post.source_state.value for post in store.posts.page(PostFilter(), None, 9)
        }
    assert states == {"1": "removed", "2": "removed", "3": "visible"}


def test_handles_lead_to_the_newest_post_of_the_thread(uow: SqlUnitOfWork) -> None:
    outcomes(uow, new("1", handle="-5"), new("2", handle="-5", thread="g2"), new("3", handle="-5"))
    with uow.read() as store:
        assert current(store, "-5").external_id == "3"
        found = store.posts.find_handle("qq", "-5", "g2")
        assert found is not None
        assert found.external_id == "2"
        assert current(store, "1").external_id == "1"
        assert store.posts.find_handle("box", "-5") is None
        assert store.posts.find_handle("qq", "-5", "g3") is None


def test_neighbours_in_the_thread_by_time(uow: SqlUnitOfWork) -> None:
    outcomes(
        uow,
        *(new(str(n), f"第{n}句", n) for n in (5, 3, 1, 2, 4)),
        new("x", thread="g2"),
        new("y", thread=None),
    )
    outcomes(uow, new("3", "第3句，改过", 9, kind=EDIT))
    with uow.read() as store:
        around = store.posts.thread(current(store, "2"), 1, 2)
        assert [post.external_id for post in around] == ["1", "2", "4", "5"], (
            "an edited post stands at its edit"
        )
        assert [post.external_id for post in store.posts.thread(current(store, "1"), 3, 0)] == ["1"]
        assert store.posts.thread(current(store, "y"), 3, 3) == [current(store, "y")]


def test_pages_go_backwards_without_gaps(uow: SqlUnitOfWork) -> None:
    outcomes(uow, *(new(str(n), f"第{n}句") for n in range(7)))
    seen: list[str] = []
    after = None
    with uow.read() as store:
        while page := store.posts.page(PostFilter(), after, 3):
            seen += [post.external_id for post in page]
            after = page[-1].id
    assert seen == [str(n) for n in reversed(range(7))]


def test_every_filter_narrows(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        a, b, c = stored(
            store,
            new("1", "工资没发", unit="后勤处"),
            new("2", "停车难", 7200),
            new("3", "别的", channel="box"),
        )
        store.readings.add([(a.id, reading(Label.GRIEVANCE, topic="pay", sentiment="negative"))])
        store.readings.add([(b.id, reading(Label.SPAM, topic="other", sentiment="neutral"))])
        store.posts.set_groups({a.id: a.id, b.id: a.id, c.id: c.id})
    hour = timedelta(hours=1)
    expected = {
        PostFilter(): [c, b, a],
        PostFilter(channel="qq"): [b, a],
        PostFilter(unit="后勤处"): [a],
        PostFilter(label="grievance"): [a],
        PostFilter(label="spam"): [b],
        PostFilter(label="risk"): [],
        PostFilter(topic="pay"): [a],
        PostFilter(sentiment="neutral"): [b],
        PostFilter(group_id=a.id): [b, a],
        PostFilter(since=START + hour): [b],
        PostFilter(until=START + 2 * hour): [c, a],
        PostFilter(since=START + 2 * hour, until=START + 3 * hour): [b],
        PostFilter(query="停车", channel="qq"): [b],
        PostFilter(query="停车", topic="pay"): [],
    }
    with uow.read() as store:
        found = {where: [p.id for p in store.posts.page(where, None, 9)] for where in expected}
    assert found == {where: [post.id for post in posts] for where, posts in expected.items()}


def test_the_grouping_window_is_read_back_oldest_first(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        old, *posts = stored(
            store, new("0", "太旧", received_at=START), *(new(str(n), f"第{n}句") for n in range(1, 5))
        )
        store.posts.set_groups({post.id: old.id for post in (old, *posts[:3])})
        assert store.posts.recent_texts(LATER, 2) == [(old.id, "第2句"), (old.id, "第3句")]
        assert store.posts.get(posts[0].id).group_id == old.id
        store.posts.set_groups({})


def test_a_receipt_stays_with_its_post(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        a, b = stored(store, new("1", receipt="digest-1"), new("2"))
        assert store.cases.receipts([a.id, b.id]) == {a.id: "digest-1"}
        assert store.cases.receipts([]) == {}
        assert store.cases.bind_post_receipt(a.id) == "digest-1"
        assert store.cases.bind_post_receipt(b.id) is None


def test_what_is_not_there_is_said(uow: SqlUnitOfWork) -> None:
    with uow.read() as store:
        with pytest.raises(NotFound):
            store.posts.get(1)
        assert store.posts.many([]) == []
        assert store.posts.contact(1) is None
        assert store.readings.get(1) is None


def test_a_large_batch_and_ids_that_never_come_back(uow: SqlUnitOfWork) -> None:
    assert set(outcomes(uow, *(new(f"p{n}", f"第{n}句") for n in range(1203)))) == {"new"}
    assert set(outcomes(uow, *(new(f"p{n}", f"第{n}句") for n in range(1203)))) == {"duplicate"}
    with uow.begin() as store:
        newest = store.posts.page(PostFilter(), None, 1)[0]
        assert len(store.posts.many(range(newest.id - 1202, newest.id + 1))) == 1203
        case = opened(store)
        assert store.cases.post_ids(case.id) > [newest.id]
