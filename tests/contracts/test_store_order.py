"""Whatever order and however often a source repeats itself, the store ends where the source stands (F-10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from store_world import new, notice

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.model import NewPost, PostKind, SourceState
from monitor.core.ports import Outcome

WORDS = st.sampled_from(["甲", "乙", "丙"])
_runs = count()


@dataclass
class Message:
    """One message as its source knows it."""

    name: str
    by_handle: bool
    text: str = ""
    state: SourceState = SourceState.VISIBLE
    said: list[NewPost] = field(default_factory=list)


class Source(RuleBasedStateMachine):
    """A source that posts, edits, recalls and restores, and a line that shuffles and repeats what it says."""

    uow: SqlUnitOfWork

    def __init__(self) -> None:
        super().__init__()
        run = next(_runs)
        self.thread, self.ticks = f"g{run}", 0.0
        self.messages = [Message(f"{run}-{by}", by_handle=bool(by)) for by in (0, 1)]
        self.events: list[NewPost] = []
        self.delivered: set[int] = set()

    def _say(self, message: Message, kind: PostKind, text: str = "") -> None:
        self.ticks += 1
        given = {"thread": self.thread, "handle": f"h{message.name}"}
        if kind in (PostKind.POST, PostKind.EDIT):
            self.events.append(new(message.name, text, self.ticks, kind=kind, **given))
        else:
            named = "" if message.by_handle else message.name
            self.events.append(notice(named, kind, self.ticks, **given))

    @rule(which=st.integers(0, 1), text=WORDS)
    def write(self, which: int, text: str) -> None:
        """Post the message, or edit it when it is there."""
        message = self.messages[which]
        self._say(message, PostKind.EDIT if message.text else PostKind.POST, text)
        message.text = text

    @rule(which=st.integers(0, 1), gone=st.booleans())
    def recall(self, which: int, gone: bool) -> None:
        """Recall or restore the message; a source may say either twice."""
        message = self.messages[which]
        if message.text:
            self._say(message, PostKind.REMOVAL if gone else PostKind.RESTORE)
            message.state = SourceState.REMOVED if gone else SourceState.VISIBLE

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Bring some of what was said, in any order, perhaps twice, in one batch."""
        if self.events:
            self._bring(data.draw(st.lists(st.integers(0, len(self.events) - 1), min_size=1, max_size=6)))

    def _bring(self, numbers: list[int]) -> list[Outcome]:
        with self.uow.begin() as store:
            found = store.posts.add([self.events[n] for n in numbers])
        self.delivered.update(numbers)
        return [one.outcome for one in found]

    def teardown(self) -> None:
        """Bring what is missing, then look; bring everything again: nothing may change."""
        self._bring([n for n in reversed(range(len(self.events))) if n not in self.delivered])
        before = self._seen()
        assert before == [(m.text, m.state) for m in self.messages if m.text]
        again = self._bring(list(range(len(self.events))))
        assert set(again) <= {Outcome.DUPLICATE}
        assert self._seen() == before

    def _seen(self) -> list[tuple[str, SourceState]]:
        with self.uow.read() as store:
            found = [store.posts.find_handle("qq", f"h{m.name}", self.thread) for m in self.messages]
            for post in filter(None, found):
                revisions = store.posts.many(store.posts.revisions(post))
                assert {one.source_state for one in revisions} == {post.source_state}
                assert store.posts.current(revisions[0]) == post
        return [(post.text, post.source_state) for post in found if post is not None]


def test_any_order_and_repetition_ends_where_the_source_stands(uow: SqlUnitOfWork) -> None:
    class Here(Source):
        pass

    Here.uow = uow
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=60,
            stateful_step_count=16,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
