"""The outbox as a machine: senders that crash, time out and come back late, against a platform that counts (E-03).

Whatever happens, nothing is done twice, nothing is lost in silence, and everything ends sent, with a person, or
cancelled.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from moderation_world import decided, look, opened

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.core.errors import HuiyinError
from monitor.core.model import Case, CaseKind, Decision, Effect, EffectState
from monitor.testing.builders import LEADER, MODERATOR, OFFICER, FixedClock, deps_over
from monitor.usecases import decide, effects, replies
from monitor.usecases.deps import Deps
from monitor.usecases.effects import Outgoing

S = EffectState
ENDS = {S.SENT, S.NEEDS_HUMAN, S.CANCELLED}
CASES = 8
SENDING = ("told", "lost", "timeout", "timeout", "not told", "not told", "crash", "no")
ASKING = ("look", "look", "silence", "silence", "crash")
PAUSES = (0, 1, 6, 21, 31, 61, 301)
_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
_folder = tempfile.TemporaryDirectory(prefix="huiyin-machine-", dir=_memory)


def _over(path: Path, clock: FixedClock) -> Deps:
    return deps_over(open_store(f"sqlite:///{path}", clock.now, b"k" * 32), clock=clock)


@cache
def _world() -> tuple[bytes, list[Case], list[Case]]:
    """Return a database with pending cases, once: its bytes, the spam and the rumours."""
    path = Path(_folder.name) / "world.db"
    migrations.upgrade(f"sqlite:///{path}")
    deps = _over(path, FixedClock())
    spam = [opened(deps) for _n in range(CASES)]
    rumours = [opened(deps, CaseKind.CLARIFICATION) for _n in range(CASES)]
    deps.uow.close()
    return path.read_bytes(), spam, rumours


class Outbox(RuleBasedStateMachine):
    """Any number of senders over one outbox; ``done`` is what the platform counts."""

    def __init__(self) -> None:
        super().__init__()
        path = Path(_folder.name) / "machine.db"
        for old in Path(_folder.name).glob("machine.db*"):
            old.unlink()
        world, spam, rumours = _world()
        path.write_bytes(world)
        self.clock = FixedClock()
        self.deps = _over(path, self.clock)
        self.spam, self.rumours = list(spam), list(rumours)
        self.hands: list[Outgoing] = []
        self.zombies: list[Outgoing] = []
        self.decisions: list[Decision] = []
        self.undone: set[int] = set()
        self.done: Counter[int] = Counter()
        self.readable = True
        self.chance = random.Random(0)

    def teardown(self) -> None:
        try:
            self.walk_on()
            self.run_to_the_end()
        finally:
            self.deps.uow.close()

    @initialize(readable=st.booleans(), seed=st.integers(0, 2**32))
    def a_platform(self, readable: bool, seed: int) -> None:
        self.readable, self.chance = readable, random.Random(seed)

    # what makes effects, and what makes them void

    @precondition(lambda self: self.spam)
    @rule()
    def somebody_removes(self) -> None:
        self.decisions.append(decided(self.deps, self.spam.pop()))

    @precondition(lambda self: self.rumours)
    @rule()
    def somebody_answers(self) -> None:
        case = self.rumours.pop()
        held = replies.draft(self.deps, LEADER, case.id, f"以公告为准（{case.reference}）。")
        replies.approve(self.deps, OFFICER, held.id, held.version)

    @precondition(lambda self: self.decisions)
    @rule(which=st.integers(0, CASES))
    def somebody_undoes(self, which: int) -> None:
        made = self.decisions[which % len(self.decisions)]
        try:
            decide.undo(self.deps, MODERATOR, made.id)
            self.undone.add(made.id)
        except HuiyinError:
            assert made.id in self.undone or not decide.may_undo(made, MODERATOR, self.clock.now())

    # senders

    @rule(n=st.integers(1, 6), pause=st.sampled_from(PAUSES))
    def a_sender_takes(self, n: int, pause: int) -> None:
        self.clock.advance(seconds=pause)
        for one in effects.take(self.deps, n):
            if not one.ask_first:
                assert one.effect.decision_id not in self.undone, "taken back, and yet it would be sent"
            self.hands.append(one)

    @precondition(lambda self: self.hands)
    @rule(which=st.integers(0, 20), sending=st.sampled_from(SENDING), asking=st.sampled_from(ASKING))
    def a_sender_acts(self, which: int, sending: str, asking: str) -> None:
        one = self.hands.pop(which % len(self.hands))
        if one.ask_first:
            self._ask(one, asking)
        elif self._in_time(one.effect):
            self._send(one, sending)
        else:
            self.zombies.append(one)

    def _in_time(self, effect: Effect) -> bool:
        """A sender sends only while its lease outlasts one request."""
        assert effect.lease_until is not None
        left = (effect.lease_until - self.clock.now()).total_seconds()
        return left > self.deps.rules.send_timeout

    def _send(self, one: Outgoing, outcome: str) -> None:
        if outcome in ("told", "lost", "timeout"):
            self.done[one.effect.id] += 1
        if outcome == "told":
            assert effects.sent(self.deps, one.effect, "receipt")
        elif outcome == "timeout":
            assert effects.unknown(self.deps, one.effect, "connector.uncertain")
        elif outcome == "not told":
            assert effects.later(self.deps, one.effect, "connector.unavailable")
        elif outcome == "no":
            assert effects.refused(self.deps, one.effect, "connector.rejected")
        else:
            self.zombies.append(one)

    def _ask(self, one: Outgoing, outcome: str) -> None:
        if not self.readable:
            effects.refused(self.deps, one.effect, "channel.cannot_read_back")
        elif outcome == "crash":
            self.zombies.append(one)
        elif outcome == "silence":
            effects.later(self.deps, one.effect, "connector.unavailable")
        elif self.done[one.effect.id]:
            effects.sent(self.deps, one.effect, "found")
        else:
            effects.not_done(self.deps, one.effect)

    @precondition(lambda self: self.zombies)
    @rule(which=st.integers(0, 20))
    def a_late_sender_writes(self, which: int) -> None:
        """A sender wakes after a long pause and writes what it knows; the fence decides."""
        one = self.zombies.pop(which % len(self.zombies))
        if self.done[one.effect.id]:
            effects.sent(self.deps, one.effect, "late")
        elif one.ask_first:
            effects.later(self.deps, one.effect, "connector.unavailable")
        else:
            effects.unknown(self.deps, one.effect, "connector.uncertain")

    # time and people

    @rule()
    def the_sweep_comes(self) -> None:
        effects.sweep(self.deps)

    @rule(which=st.integers(0, 20), cancel=st.booleans())
    def a_person_looks(self, which: int, cancel: bool) -> None:
        waiting = self._effects(S.NEEDS_HUMAN)
        if not waiting:
            return
        effect = waiting[which % len(waiting)]
        outcome = "sent" if self.done[effect.id] else "cancel" if cancel else "again"
        try:
            effects.resolve(self.deps, OFFICER, effect.id, outcome, "看过")
        except HuiyinError:
            assert outcome == "again"
            assert effect.decision_id in self.undone

    # what always holds

    def _effects(self, *states: EffectState) -> list[Effect]:
        with self.deps.uow.read() as store:
            return store.outbox.page(states, None, 1_000)

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert max(self.done.values(), default=0) <= 1

    @rule()
    def what_is_said_to_be_sent_is_there(self) -> None:
        assert all(self.done[effect.id] == 1 for effect in self._effects(S.SENT))
        assert all(self.done[effect.id] == 0 for effect in self._effects(S.CANCELLED))

    # the end

    def walk_on(self) -> None:
        """Go on at random for a while: long walks find what short ones miss."""
        for _step in range(40):
            turn = self.chance.random()
            if turn < 0.05:
                self.a_person_looks(self.chance.randrange(20), self.chance.random() < 0.3)
            elif turn < 0.1 and self.decisions:
                self.somebody_undoes(self.chance.randrange(CASES))
            elif turn < 0.2 and self.zombies:
                self.a_late_sender_writes(self.chance.randrange(20))
            elif turn < 0.5 or not self.hands:
                self.a_sender_takes(self.chance.randint(1, 6), self.chance.choice(PAUSES))
            else:
                self.a_sender_acts(
                    self.chance.randrange(20), self.chance.choice(SENDING), self.chance.choice(ASKING)
                )
            self.nothing_is_done_twice()

    def run_to_the_end(self) -> None:
        """Let every sender crash, then let one that works do what is left."""
        for _round in range(400):
            if not self._effects(*(set(S) - ENDS)):
                break
            self.clock.advance(seconds=61)
            effects.sweep(self.deps)
            for one in effects.take(self.deps, 50):
                self._ask(one, "look") if one.ask_first else self._send(one, "told")
        every = self._effects(*S)
        assert {effect.state for effect in every} <= ENDS
        self._check_the_record(every)
        self.nothing_is_done_twice()
        self.what_is_said_to_be_sent_is_there()

    def _check_the_record(self, every: list[Effect]) -> None:
        with self.deps.uow.read() as store:
            entries = Counter(e.kind for e in store.ledger.entries(0, 100_000))
            events = [e for case in {e.case_id for e in every} for e in store.events.of(case)]
            cases = [store.cases.get(made.case_id) for made in self.decisions]
        arrived = sum(effect.state is S.SENT for effect in every)
        assert entries["effect.sent"] + entries["effect.sent_by_hand"] == arrived
        assert sum(event.kind == "effect_sent" for event in events) == arrived
        for case in cases:
            look(self.deps, case)


Outbox.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOutbox = Outbox.TestCase
