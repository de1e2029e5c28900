"""Trends: who may look, and that a handful of people is never shown."""

from __future__ import annotations

import pytest

from monitor.core.errors import BadInput, NotAllowed
from monitor.core.ports import PostFilter
from monitor.testing.builders import ADMIN, HANDLER, LEADER, MEMBER, MODERATOR, OFFICER, raw
from monitor.usecases.deps import Deps
from monitor.usecases.ingest import ingest
from monitor.usecases.trends import drill, series, totals
from monitor.usecases.understand import process


@pytest.fixture
def voices(deps: Deps) -> Deps:
    """Six people in one group complain about pay, two in another about parking."""
    posts = [raw(f"a{n}", f"工资问题之{n}，请回应", channel="qq") for n in range(6)]
    posts += [raw(f"b{n}", f"停车难之{n}", channel="wx") for n in range(2)]
    posts += [raw(f"c{n}", f"又是停车难 {n}", channel="wx", author="author-b0") for n in range(9)]
    ingest(deps, "qq", posts)
    process(deps, "w1")
    return deps


def test_small_cells_are_hidden_and_say_nothing(voices: Deps) -> None:
    cells = {cell.key: cell for cell in series(voices, OFFICER, PostFilter(), "day", "channel")}
    assert (cells["qq"].n, cells["qq"].authors, cells["qq"].hidden) == (6, 6, False)
    assert (cells["wx"].n, cells["wx"].authors, cells["wx"].hidden) == (0, 0, True), (
        "eleven posts by two people"
    )


def test_totals_of_a_handful_are_withheld(voices: Deps) -> None:
    everything = totals(voices, OFFICER, PostFilter())
    assert (everything["posts"], everything["authors"]) == (17, 8)
    assert totals(voices, OFFICER, PostFilter(channel="wx")) == {"hidden": 1}


def test_drill_down_opens_the_posts_of_many_only(voices: Deps) -> None:
    views = drill(voices, OFFICER, PostFilter(channel="qq"), None, 4)
    assert [view.post.external_id for view in views] == ["a5", "a4", "a3", "a2"]
    assert {view.post.author for view in views} == {""}, "an officer needs no pseudonym"
    assert all(view.reading is not None for view in views)
    rest = drill(voices, OFFICER, PostFilter(channel="qq"), views[-1].post.id, 4)
    assert [view.post.external_id for view in rest] == ["a1", "a0"]
    with pytest.raises(NotAllowed, match="fewer than 5"):
        drill(voices, OFFICER, PostFilter(channel="wx"), None, 10)


def test_an_unknown_step_or_group_is_refused(voices: Deps) -> None:
    for step, group in (("minute", "all"), ("day", "author")):
        with pytest.raises(BadInput):
            series(voices, OFFICER, PostFilter(), step, group)


def test_who_may_look(voices: Deps) -> None:
    for actor in (OFFICER, LEADER, MODERATOR):
        assert series(voices, actor, PostFilter(), "week", "all")
        assert totals(voices, actor, PostFilter())
    for actor in (ADMIN, HANDLER, MEMBER):
        with pytest.raises(NotAllowed):
            series(voices, actor, PostFilter(), "week", "all")
        with pytest.raises(NotAllowed):
            totals(voices, actor, PostFilter())
    for actor in (LEADER, MODERATOR, ADMIN):
        with pytest.raises(NotAllowed):
            drill(voices, actor, PostFilter(), None, 10)
