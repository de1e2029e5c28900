"""What a reader of a post may know of its writer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.core.model import Actor, Label, Post, Reading, Reason, Signal, SourceState
from monitor.testing.builders import ADMIN, CUSTODIAN, HANDLER, LEADER, MEMBER, MODERATOR, OFFICER
from monitor.usecases.deps import Rules
from monitor.usecases.views import for_eyes, post_view

NOW = datetime(2026, 3, 2, tzinfo=UTC)
RULES = Rules()
POST = Post(1, "qq", "1", 1, "words", "abcdef", NOW, NOW)


def test_a_moderator_may_see_that_two_posts_have_one_writer() -> None:
    assert for_eyes(MODERATOR, POST, RULES) is POST


@pytest.mark.parametrize("actor", [LEADER, OFFICER, HANDLER, CUSTODIAN, ADMIN, MEMBER])
def test_nobody_else_sees_a_pseudonym(actor: Actor) -> None:
    view = post_view(actor, POST, None, RULES)
    assert (view.post.author, view.post.text, view.reading) == ("", "words", None)


RECALLED = replace(POST, source_state=SourceState.REMOVED, removed_by="author", quoted="others")


@pytest.mark.parametrize(
    ("post", "rules", "is_shown"),
    [
        (POST, RULES, True),
        (RECALLED, RULES, False),
        (replace(RECALLED, removed_by=None), RULES, False),
        (replace(RECALLED, removed_by="moderator"), RULES, True),
        (replace(RECALLED, removed_by="self"), RULES, True),
        (RECALLED, replace(RULES, hide_recalled=False), True),
    ],
)
def test_what_the_author_took_back_is_shown_no_more(post: Post, rules: Rules, is_shown: bool) -> None:
    signal = Signal(Label.SPAM, 0.9, True, reasons=(Reason(0, 5, "words", "term"),))
    view = post_view(MODERATOR, post, Reading((signal,), "fast", {}), rules)
    assert ("words" in repr(view)) == is_shown
    assert ("others" in repr(view)) == (is_shown and post.quoted is not None)
