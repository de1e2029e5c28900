"""Acting and teaching are two acts; the archive is read again without touching a case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grievance_world import feed
from moderation_world import decided, opened

from monitor.core.errors import BadInput, ClassifierError, NotAllowed
from monitor.core.model import Action, CaseKind, Label, Reading, Role, Signal
from monitor.core.ports import CaseFilter, PostFilter
from monitor.testing.builders import MODERATOR, MODERATOR_2, KeywordClassifier, person, raw
from monitor.usecases import learning, rereading
from monitor.usecases.deps import Deps

ADMIN = person("adam", Role.ADMIN)


def chat(deps: Deps, n: int) -> None:
    """Take in posts that have nothing in common."""
    words = ["".join(chr(0x4E00 + 97 * at + step) for step in range(12)) for at in range(n)]
    feed(deps, *[raw(f"chat-{at}", word) for at, word in enumerate(words)])


def test_nobody_learns_from_a_decision_before_a_second_person_agrees(deps: Deps) -> None:
    decided(deps, opened(deps), Action.REMOVE)
    (ask,) = learning.propose(deps, MODERATOR_2, 10)
    assert (ask.proposed, ask.decided_by, ask.why) == ({"spam": 1}, MODERATOR.login, "decided")
    filled = {"post": ask.post, "spam": 1, "text": "forged"}
    own = learning.accept(deps, MODERATOR, [filled])
    assert own.rows == []
    assert "another person" in own.refused[0][1]
    other = learning.accept(deps, MODERATOR_2, [filled])
    assert other.refused == []
    assert other.rows[0]["spam"] == 1
    assert other.rows[0]["text"] == ask.text != "forged"
    assert other.rows[0]["reviewed_by"] == MODERATOR_2.login
    with deps.uow.read() as store:
        kinds = [entry.kind for entry in store.ledger.entries(0, 100)]
    assert kinds.count("labels.accepted") == 1


def test_kept_posts_propose_no_and_undone_decisions_nothing(deps: Deps) -> None:
    decided(deps, opened(deps), Action.KEEP)
    (ask,) = learning.propose(deps, MODERATOR_2, 10)
    assert ask.proposed == {"spam": 0, "abuse": 0}


@pytest.mark.parametrize(
    "row",
    [
        None,
        {"post": 1},
        {"post": 10**9, "spam": 1},
        {"post": 1, "spam": 2},
        {"post": 1, "sentiment": "so so"},
    ],
)
def test_bad_rows_are_refused_one_by_one(deps: Deps, row: dict[str, object] | None) -> None:
    chat(deps, 2)
    found = learning.accept(deps, MODERATOR, [row, {"post": 1, "spam": 0}])
    assert [number for number, _why in found.refused] == [1]
    assert len(found.rows) == 1


def test_a_sample_holds_no_two_alike_and_some_by_chance(deps: Deps) -> None:
    chat(deps, 40)
    feed(deps, *[raw(f"copy-{n}", "加微信领教职工福利", author=f"p{n}") for n in range(6)])
    found = learning.sample(deps, MODERATOR, 10)
    assert len({ask.text for ask in found}) == len(found)
    assert sum("加微信" in ask.text for ask in found) <= 1
    assert {ask.why for ask in found} == {"uncertain", "random"}


def test_who_may_not_see_posts_may_not_label(deps: Deps) -> None:
    for act in (
        lambda: learning.sample(deps, ADMIN, 1),
        lambda: learning.propose(deps, ADMIN, 1),
        lambda: learning.accept(deps, ADMIN, []),
    ):
        with pytest.raises(NotAllowed):
            act()
    with pytest.raises(BadInput):
        learning.sample(deps, MODERATOR, 0)


def test_a_report_counts_with_denominators_and_says_when_there_is_too_little(deps: Deps) -> None:
    decided(deps, opened(deps), Action.REMOVE)
    decided(deps, opened(deps), Action.KEEP)
    found = learning.report(deps, MODERATOR, 7)
    (spam,) = (one for one in found.agreement if one.label == "spam")
    assert (spam.decided, spam.upheld, spam.error) == (2, 1, None)
    assert all(one.index is None for one in found.drift)
    assert sum(found.versions.values()) == 2


def test_drift_is_seen(deps: Deps) -> None:
    low = [0.05] * 80
    assert learning._index(low, low) == 0
    moved = learning._index(low, [0.95] * 80)
    assert moved is not None
    assert moved > 0.25


class Newer(KeywordClassifier):
    """A later version that flags everything."""

    version = "9"

    def classify(self, texts: list[str]) -> list[Reading]:  # type: ignore[override]
        signal = Signal(Label.SPAM, 0.99, True)
        return [Reading((signal,), "fast", {"spam": "spam@9"}) for _text in texts]


def test_reading_again_touches_no_case_and_can_be_resumed(deps: Deps) -> None:
    chat(deps, 5)
    opened(deps, CaseKind.GRIEVANCE)
    with deps.uow.read() as store:
        before = store.cases.page(CaseFilter(), None, 100)
        number = len(store.posts.page(PostFilter(), None, 100))
    newer = replace(deps, classifier=Newer())
    first = rereading.reread(newer, 4)
    assert (first.looked, first.read, first.left) == (4, 4, True)
    rest = rereading.reread(newer, 100)
    assert (rest.looked, rest.read, rest.left) == (number - 4, number - 4, False)
    assert rereading.reread(newer, 100).looked == 0
    rereading.restart(newer)
    assert rereading.reread(newer, 100).read == 0
    with deps.uow.read() as store:
        assert store.cases.page(CaseFilter(), None, 100) == before
        posts = store.posts.page(PostFilter(), None, 100)
        models = {
            dict(one.models)["spam"] for one in store.readings.many([post.id for post in posts]).values()
        }
    assert models == {"spam@9"}


def test_without_a_model_nothing_is_read_again(deps: Deps) -> None:
    with pytest.raises(ClassifierError):
        rereading.reread(replace(deps, classifier=None))
