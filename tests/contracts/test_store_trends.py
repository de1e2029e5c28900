"""Trends count what a person would count by hand: newest words, current readings, days of Shanghai."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from store_world import new, reading, stored

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.errors import StoreError
from monitor.core.model import BINARY_LABELS, Label, NewPost, Post, PostKind, Reading
from monitor.core.ports import PostFilter
from monitor.testing.builders import START

SHANGHAI = ZoneInfo("Asia/Shanghai")
TOPICS, MOODS, UNITS = ("pay", "meals", "other"), ("negative", "neutral"), ("后勤处", None, "人事处")
MEASURED = (Label.GRIEVANCE, Label.SPAM, Label.RISK)


def filled(uow: SqlUnitOfWork, n: int = 160) -> list[tuple[Post, Reading]]:
    chance = random.Random(20_261_101)
    posts: list[NewPost] = []
    for i in range(n):
        author = f"{chance.randrange(7):024d}"
        unit, name = chance.choice(UNITS), chance.choice(["qq", "box"])
        at = chance.randrange(20 * 86_400)
        posts.append(new(str(i), f"第{i}句", at, author=author, unit=unit, channel=name))
    with uow.begin() as store:
        made = stored(store, *posts)
        readings = [
            reading(
                *chance.sample(MEASURED, chance.randrange(3)),
                sentiment=chance.choice(MOODS),
                **({"topic": chance.choice(TOPICS)} if chance.random() < 0.6 else {}),
            )
            for _ in made
        ]
        older = reading(*BINARY_LABELS, sentiment="positive", topic="old")
        store.readings.add(
            (post.id, Reading(older.signals, "fast", {"spam": "spam@0"})) for post in made[:50]
        )
        store.readings.add((post.id, one) for post, one in zip(made, readings, strict=True))
        store.posts.add([new("0", "改过的", 1, kind=PostKind.EDIT, author="f" * 24, channel=made[0].channel)])
        edited = store.posts.current(made[0])
    return [(edited, Reading((), "none", {})), *list(zip(made, readings, strict=True))[1:]]


def bucket(at: datetime, step: str) -> datetime:
    local = at.astimezone(SHANGHAI).replace(minute=0, second=0, microsecond=0)
    if step != "hour":
        local = local.replace(hour=0)
    return local - timedelta(days=local.weekday()) if step == "week" else local


def keys(post: Post, one: Reading, group: str) -> list[str]:
    if group == "label":
        return [label.value for label in BINARY_LABELS if one.flagged(label)]
    values = {
        "channel": post.channel,
        "unit": post.unit,
        "topic": one.value(Label.TOPIC),
        "sentiment": one.value(Label.SENTIMENT),
        "all": "all",
    }
    return [value] if (value := values[group]) is not None else []


@pytest.mark.parametrize("group", ["all", "channel", "unit", "topic", "sentiment", "label"])
def test_series_agree_with_counting_by_hand(uow: SqlUnitOfWork, group: str) -> None:
    pairs = filled(uow)
    since, until = START + timedelta(days=2, hours=5), START + timedelta(days=17)
    filters = [
        PostFilter(),
        PostFilter(since=since, until=until, channel="qq"),
        PostFilter(unit="后勤处"),
        PostFilter(label="spam"),
        PostFilter(topic="pay", sentiment="negative"),
    ]
    for step in ("hour", "day", "week"):
        for where in filters:
            counted: dict[tuple[datetime, str], list[str]] = defaultdict(list)
            for post, one in pairs:
                if _inside(post, one, where):
                    for key in keys(post, one, group):
                        counted[bucket(post.posted_at, step), key].append(post.author)
            with uow.read() as store:
                cells = store.trends.series(where, step, group)
            assert {(cell.at, cell.key): (cell.n, cell.authors) for cell in cells} == {
                place: (len(authors), len(set(authors))) for place, authors in counted.items()
            }
            assert cells == sorted(cells, key=lambda cell: (cell.at, cell.key))


def _inside(post: Post, one: Reading, where: PostFilter) -> bool:
    return (
        (where.since is None or post.posted_at >= where.since)
        and (where.until is None or post.posted_at < where.until)
        and where.channel in (None, post.channel)
        and where.unit in (None, post.unit)
        and (where.label is None or one.flagged(Label(where.label)))
        and where.topic in (None, one.value(Label.TOPIC))
        and where.sentiment in (None, one.value(Label.SENTIMENT))
    )


def test_totals_agree_with_counting_by_hand(uow: SqlUnitOfWork) -> None:
    pairs = filled(uow)
    where = PostFilter(channel="qq", until=START + timedelta(days=9))
    inside = [(post, one) for post, one in pairs if _inside(post, one, where)]
    with uow.read() as store:
        totals = store.trends.totals(where)
        nothing = store.trends.totals(PostFilter(channel="nowhere"))
    assert totals["posts"] == len(inside)
    assert totals["authors"] == len({post.author for post, _one in inside})
    for label in BINARY_LABELS:
        assert totals[label.value] == sum(one.flagged(label) for _post, one in inside)
    assert set(nothing.values()) == {0}


def test_a_day_begins_at_midnight_in_shanghai_and_a_week_on_monday(uow: SqlUnitOfWork) -> None:
    midnight = datetime(2026, 3, 9, tzinfo=SHANGHAI)
    with uow.begin() as store:
        for n, at in enumerate((midnight - timedelta(microseconds=1), midnight)):
            store.posts.add([new(str(n), f"{n}", posted_at=at)])
        days = [cell.at for cell in store.trends.series(PostFilter(), "day", "all")]
        weeks = [cell.at for cell in store.trends.series(PostFilter(), "week", "all")]
    assert days == [midnight - timedelta(days=1), midnight]
    assert weeks == [midnight - timedelta(days=7), midnight]


@pytest.mark.parametrize(
    ("where", "step", "group"),
    [
        (PostFilter(), "month", "all"),
        (PostFilter(), "day", "author"),
        (PostFilter(label="nonsense"), "day", "all"),
        (PostFilter(), "day; DROP TABLE post", "all"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_words(
    uow: SqlUnitOfWork, where: PostFilter, step: str, group: str
) -> None:
    with uow.read() as store, pytest.raises(StoreError):
        store.trends.series(where, step, group)
