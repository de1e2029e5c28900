"""The small behaviour that the types of the core carry."""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.core.errors import HuiyinError, Malformed, RateLimited
from monitor.core.model import SYSTEM, Account, Label, Reading, Role, Signal

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def test_a_reading_answers_what_it_was_asked_and_nothing_else() -> None:
    spam = Signal(Label.SPAM, 0.9, True)
    reading = Reading((spam, Signal(Label.SENTIMENT, 0.6, value="negative")), "fast", {})
    assert reading.signal(Label.SPAM) is spam
    assert reading.flagged(Label.SPAM)
    assert not reading.flagged(Label.SENTIMENT)
    assert not reading.flagged(Label.RISK)
    assert (reading.score(Label.SPAM), reading.score(Label.RISK)) == (0.9, 0.0)
    assert (reading.value(Label.SENTIMENT), reading.value(Label.TOPIC)) == ("negative", None)


def test_an_account_acts_with_its_roles() -> None:
    account = Account("lea", "Lea", "副主席", frozenset({Role.LEADER}), "工会", True, NOW)
    actor = account.actor()
    assert actor.has(Role.LEADER)
    assert not actor.has(Role.ADMIN)
    assert (actor.login, actor.name, actor.title, actor.unit) == ("lea", "Lea", "副主席", "工会")
    assert SYSTEM.has(Role.SYSTEM)


def _tree(error: type[HuiyinError]) -> list[type[HuiyinError]]:
    return [error, *(child for direct in error.__subclasses__() for child in _tree(direct))]


def test_codes_are_stable_and_follow_the_tree() -> None:
    ours = [error for error in _tree(HuiyinError) if error.__module__ == "monitor.core.errors"]
    codes = [error.code for error in ours]
    assert len(codes) == len(set(codes))
    for error in ours:
        parent = error.__bases__[0]
        if issubclass(parent, HuiyinError) and parent is not HuiyinError:
            assert error.code.startswith(f"{parent.code}.")


def test_errors_carry_what_the_caller_needs() -> None:
    assert RateLimited("later", NOW).retry_at == NOW
    assert Malformed("broken").reason == "malformed"
    assert Malformed("broken", "json").reason == "json"
