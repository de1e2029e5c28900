"""What is known of a site's comments: whatever happens there, every change is told once, and nothing else is."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors._comments_book import Book, Mark, Page, Row, State, items_in_order
from connectors._comments_watch import Pace, Watch
from monitor.core.errors import Rejected
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import Incoming

NOW = datetime.now(UTC)
PACE = Pace(0.001, 0.001, 30.0)


def row(number: int, text: str = "说", state: State = State.SHOWN, at: datetime = NOW, **fields: Any) -> Row:
    key = str(number)
    return Row(key, number, state, RawPost("site", key, text, posted_at=at, handle=key), **fields)


def book(**fields: Any) -> Book:
    return Book("site", "secret", **{"pending": True, "size": 500, "since": 1, **fields})


def kinds(items: list[Any]) -> list[str]:
    return [item.kind.value if isinstance(item, RawPost) else "broken" for item in items]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("v", ["post"]),
        ("vv", ["post"]),
        ("vw", ["post", "removal"]),
        ("vsss", ["post", "removal"]),
        ("vwv", ["post", "removal", "restore"]),
        ("vtvsv", ["post", "removal", "restore", "removal", "restore"]),
        ("wv", ["post"]),
        ("wvw", ["post", "removal"]),
        ("ws", ["post", "removal"]),
        ("wsw", ["post", "removal"]),
        ("s", []),
        ("sv", ["post"]),
        ("tw", ["post"]),
    ],
)
def test_every_way_of_a_comment_is_told_as_what_readers_see(states: str, expected: list[str]) -> None:
    names = {"v": State.SHOWN, "w": State.WAITING, "s": State.SPAM, "t": State.TRASH}
    made = book()
    found = [item for name in states for item in made.take(row(7, state=names[name]))]
    assert kinds(found) == expected


def test_waiting_comments_stay_unsaid_where_the_settings_say_so() -> None:
    made = book(pending=False)
    assert made.take(row(7, state=State.WAITING)) == []
    assert kinds(made.take(row(7))) == ["post"]


def test_an_edit_is_told_once_and_one_made_while_hidden_is_told_when_it_comes_back() -> None:
    made = book()
    made.take(row(7, "一"))
    (edit,) = made.take(row(7, "二"))
    assert isinstance(edit, RawPost)
    assert (edit.kind, edit.text) == (PostKind.EDIT, "二")
    assert made.take(row(7, "二")) == []
    assert kinds(made.take(row(7, "二", State.SPAM))) == ["removal"]
    assert made.take(row(7, "三", State.SPAM)) == []
    assert kinds(made.take(row(7, "三"))) == ["restore", "edit"]


def test_our_own_removal_says_so_and_needs_no_second_look() -> None:
    made = book()
    made.take(row(7))
    made.take(row(8))
    made.ours.add("7")
    (gone,) = made.settle({"8"}, -1)
    assert isinstance(gone, RawPost)
    assert (gone.external_id, gone.by) == ("7", "self")
    assert made.settle({"8"}, -1) == []
    made.take(row(9))
    assert made.settle({"8"}, -1) == []
    (gone,) = made.settle({"8"}, -1)
    assert isinstance(gone, RawPost)
    assert (gone.external_id, gone.by) == ("9", None)


def test_what_lies_below_the_look_is_not_missing() -> None:
    made = book()
    for number in (3, 5, 7):
        made.take(row(number))
    assert made.settle({"7"}, 5) == []
    assert made.settle({"7"}, 5) == []


def test_a_row_that_cannot_be_read_is_put_aside_once_and_read_when_it_can_be() -> None:
    made, fault = book(), Broken("site", "no_text", "no words", b"{}")
    bad, nameless = Row("7", 7, fault=fault), Row("", 0, fault=fault)
    assert made.take(bad) == [fault]
    assert made.take(bad) == []
    assert made.take(nameless) == [fault]
    assert made.take(nameless) == []
    assert kinds(made.take(row(7))) == ["post"]


def test_our_own_answers_are_nobodys_words() -> None:
    made = book()
    assert made.take(Row("7", 7, mine=True, text="已转")) == []


def test_the_cursor_keeps_everything_and_does_not_grow_over_its_size() -> None:
    made = book(size=100)
    for number in range(1, 301):
        made.take(row(number))
    made.floor = 300
    made.trim()
    again = book(size=100)
    again.load(made.cursor())
    assert again.cursor() == made.cursor()
    assert (again.edge, again.lowest) == (200, 201)
    assert again.take(row(150)) == []  # long known
    assert kinds(again.take(row(301))) == ["post"]
    assert len(made.cursor()) < 6_000


@pytest.mark.parametrize(
    "cursor", [None, "", "{", "7", '{"floor": "x"}', '{"rows": {"1": [1]}}', "\x00" * 99]
)
def test_a_cursor_that_cannot_be_read_is_like_none(cursor: str | None) -> None:
    made = book()
    made.load(cursor)
    assert made.fresh
    assert kinds(made.take(row(7))) == ["post"]


def test_secrets_and_words_are_not_in_the_cursor() -> None:
    made = book()
    made.take(row(7, "天机不可泄露"))
    assert "天机" not in made.cursor()
    assert "secret" not in made.cursor()


# --- whole readings --------------------------------------------------------------------------------


class Site:
    """A list of comments, newest first, ten a page, that may change between two pages."""

    def __init__(self, count: int = 0, per: int = 10) -> None:
        self.rows = {number: row(number, f"第 {number} 条") for number in range(1, count + 1)}
        self.per = per
        self.asked = self.proved = 0
        self.is_blind = False
        self.tells_total = True
        self.between: dict[int, Any] = {}

    async def prove(self) -> None:
        self.proved += 1
        if self.is_blind:
            raise Rejected("the account sees nothing")

    async def page(self, number: int) -> Page:
        self.asked += 1
        if self.asked in self.between:
            self.between.pop(self.asked)()
        rows = sorted(self.rows.values(), key=lambda each: each.order, reverse=True)
        begin = (number - 1) * self.per
        found = tuple(rows[begin : begin + self.per])
        return Page(found, begin + self.per >= len(rows), len(rows) if self.tells_total else None)


async def look(site: Site, made: Book, times: int = 1, whole: bool = True) -> list[Incoming]:
    watch = Watch(made, site.page, site.prove, PACE)
    return [batch for _time in range(times) async for batch in watch._look(whole)]


def posted(batches: list[Incoming]) -> Counter[str]:
    items = [item for batch in batches for item in batch.items if isinstance(item, RawPost)]
    return Counter(item.external_id for item in items if item.kind is PostKind.POST)


@pytest.mark.asyncio
async def test_a_whole_history_is_read_once() -> None:
    site, made = Site(95), book()
    found = await look(site, made)
    assert posted(found) == {str(number): 1 for number in range(1, 96)}
    assert made.floor == 95
    assert not await look(site, made, 3)


@pytest.mark.asyncio
async def test_a_quick_look_reads_one_page() -> None:
    site, made = Site(95), book()
    await look(site, made)
    site.rows[96] = row(96)
    before = site.asked
    assert posted(await look(site, made, whole=False)) == {"96": 1}
    assert site.asked == before + 1


@pytest.mark.asyncio
async def test_what_vanishes_between_two_pages_hides_nobody_behind_it() -> None:
    site, made = Site(95), book()
    site.between[4] = lambda: [site.rows.pop(number) for number in (95, 94, 93)]
    assert set(posted(await look(site, made))) >= {str(number) for number in range(1, 93)}


@pytest.mark.asyncio
async def test_what_is_new_between_two_pages_comes_with_the_next_look() -> None:
    site, made = Site(95), book()
    site.between[4] = lambda: site.rows.update({number: row(number) for number in range(96, 120)})
    found = posted(await look(site, made, 2))
    assert found == {str(number): 1 for number in range(1, 120)}


@pytest.mark.asyncio
@pytest.mark.parametrize("stored", range(9))
async def test_a_reading_that_broke_off_goes_on_and_loses_nothing(stored: int) -> None:
    """Only the first batches were stored; meanwhile more was said."""
    site, made = Site(95), book(size=100)
    batches = await look(site, made)
    kept = batches[: stored + 1]
    site.rows |= {number: row(number) for number in range(96, 130)}
    again = book(size=100)
    again.load(kept[-1].cursor)
    found = posted(kept) + posted(await look(site, again, 2))
    assert set(found) == {str(number) for number in range(1, 130)}
    assert max(found.values()) <= 2
    assert sum(found.values()) <= 129 + 2 * site.per


@pytest.mark.asyncio
async def test_old_history_is_left_where_it_is() -> None:
    site, made = Site(95), book(since=int(NOW.timestamp()) - 100)
    old = datetime(2020, 1, 1, tzinfo=UTC)
    site.rows |= {number: row(number, at=old) for number in range(1, 61)}
    assert set(posted(await look(site, made))) == {str(number) for number in range(61, 96)}
    assert site.asked == 5
    assert not await look(site, made, 2)


@pytest.mark.asyncio
async def test_one_that_appears_late_below_newer_ones_is_not_lost() -> None:
    site, made = Site(95), book()
    late = site.rows.pop(80)
    await look(site, made)
    site.rows[80] = late
    assert posted(await look(site, made)) == {"80": 1}


@pytest.mark.asyncio
async def test_before_anything_is_told_to_be_gone_the_account_is_proved() -> None:
    site, made = Site(20), book()
    await look(site, made, 2)
    site.rows.clear()
    await look(site, made)
    assert site.proved == 0
    site.is_blind = True
    with pytest.raises(Rejected):
        await look(site, made)
    site.is_blind = False
    (last,) = await look(site, made)
    assert kinds(list(last.items)) == ["removal"] * 20
    assert site.proved == 2


# --- anything may happen ---------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "edit", "hide", "show", "wait", "delete", "look", "quick", "restart"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@given(STEPS, st.booleans())
def test_after_two_quiet_looks_what_was_told_is_what_readers_see(
    steps: list[tuple[str, int]], tells: bool
) -> None:
    import asyncio

    asyncio.run(_live(steps, tells))


async def _live(steps: list[tuple[str, int]], tells: bool) -> None:
    site, made, last = Site(0, per=4), book(), 0
    site.tells_total = tells
    shown: dict[str, str] = {}

    def keep(batches: list[Incoming]) -> None:
        for item in (item for batch in batches for item in batch.items):
            assert isinstance(item, RawPost)
            assert item.kind is not PostKind.POST or item.external_id not in shown
            if item.kind is PostKind.REMOVAL:
                assert shown.get(item.external_id), "a removal of what is not shown"
                shown[item.external_id] = ""
            elif item.kind is PostKind.RESTORE:
                assert shown[item.external_id] == ""
                shown[item.external_id] = "?"
            else:
                shown[item.external_id] = item.text

    words: dict[int, str] = {}
    for what, n in [*steps, ("look", 0), ("look", 0)]:
        number = n % last + 1 if last else 0
        if what == "add":
            last += 1
            words[last] = f"第 {last} 条"
            site.rows[last] = row(last, words[last], State.WAITING if n % 5 == 0 else State.SHOWN)
        elif what == "delete":
            site.rows.pop(number, None)
        elif what in ("look", "quick"):
            keep(await look(site, made, whole=what == "look"))
        elif what == "restart":
            cursor = made.cursor()
            made = book()
            made.load(cursor)
        elif number in site.rows:
            old = site.rows[number]
            words[number] += "改" if what == "edit" else ""
            state = {"hide": State.SPAM, "show": State.SHOWN, "wait": State.WAITING}.get(what, old.state)
            site.rows[number] = row(number, words[number], state)
    for number, each in site.rows.items():
        if each.state is State.SHOWN:
            assert shown[str(number)] in (words[number], "?")
        elif each.state is State.SPAM:
            assert not shown.get(str(number))
    for key, text in shown.items():
        assert not text or int(key) in site.rows


def test_items_of_one_moment_stay_in_their_order() -> None:
    made = book()
    rows = [Row(str(n), 5, post=RawPost("site", str(n), "说", posted_at=NOW)) for n in (3, 2, 1)]
    assert [item.external_id for item in items_in_order(made, rows) if isinstance(item, RawPost)] == [
        "1",
        "2",
        "3",
    ]


def test_marks_are_letters_so_that_cursors_stay_short() -> None:
    assert all(len(mark.value) == 1 for mark in Mark)
