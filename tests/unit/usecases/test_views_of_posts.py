"""What a reader of a post may know of its writer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from monitor.core.model import Actor, Post
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
