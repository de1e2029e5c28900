"""The outbox as a machine: senders that crash, time out and come back late, against a platform that counts (E-03).

Whatever happens, nothing is done twice, nothing is lost in silence, and everything ends sent, with a person, or
cancelled.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from moderation_world import decided, look, opened

from monitor.adapters.sql import migrations
from monitor.adapters.sql.uow import open_store
from monitor.core.errors import HuiyinError
from monitor.core.model import CaseKind, Decision, EffectState
from monitor.testing.builders import LEADER, MODERATOR, OFFICER, FixedClock, deps_over
from monitor.usecases import decide, effects, replies
from monitor.usecases.deps import Deps
from monitor.usecases.effects import Outgoing

S = EffectState
ENDS = {S.SENT, S.NEEDS_HUMAN, S.CANCELLED}
_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
_folder = tempfile.TemporaryDirectory(prefix="huiyin-machine-", dir=_memory)


def _template() -> bytes:
    path = Path(_folder.name) / "empty.db"
    if not path.exists():
        migrations.upgrade(f"sqlite:///{path}")
    return path.read_bytes()


@dataclass
class Platform:
    """Counts what it was told; can be read back, or not."""

    readable: bool
    done: Counter[int] = field(default_factory=Counter)


class Outbox(RuleBasedStateMachine):
    """Any number of senders over one outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(_folder.name) / "machine.db"
        for old in Path(_folder.name).glob("machine.db*"):
            old.unlink()
        self.path.write_bytes(_template())
        self.clock = FixedClock()
        self.deps: Deps = deps_over(
            open_store(f"sqlite:///{self.path}", self.clock.now, b"k" * 32), clock=self.clock
        )
        self.hands: list[Outgoing] = []
        self.zombies: list[Outgoing] = []
        self.decisions: list[Decision] = []
        self.undone: set[int] = set()
        self.platform = Platform(True)

    def teardown(self) -> None:
        try:
            self.run_to_the_end()
        finally:
            self.deps.uow.close()

    @initialize(readable=st.booleans())
    def a_platform(self, readable: bool) -> None:
        self.platform = Platform(readable)

    # what makes effects

    @rule()
    def somebody_removes(self) -> None:
        self.decisions.append(decided(self.deps, opened(self.deps)))

    @rule()
    def somebody_answers(self) -> None:
        case = opened(self.deps, CaseKind.CLARIFICATION)
        held = replies.draft(self.deps, LEADER, case.id, f"以公告为准（{case.reference}）。")
        replies.approve(self.deps, OFFICER, held.id, held.version)

    @precondition(lambda self: self.decisions)
    @rule(data=st.data())
    def somebody_undoes(self, data: st.DataObject) -> None:
        made = data.draw(st.sampled_from(self.decisions))
        try:
            decide.undo(self.deps, MODERATOR, made.id)
            self.undone.add(made.id)
        except HuiyinError:
            assert made.id in self.undone or not decide.may_undo(made, MODERATOR, self.clock.now())

    # senders

    @rule(n=st.integers(1, 5))
    def a_sender_takes(self, n: int) -> None:
        for one in effects.take(self.deps, n):
            if not one.ask_first:
                assert one.effect.decision_id not in self.undone, "taken back, and yet it would be sent"
            self.hands.append(one)

    def _in_time(self, one: Outgoing) -> bool:
        """A sender sends only while its lease outlasts one request."""
        assert one.effect.lease_until is not None
        left = (one.effect.lease_until - self.clock.now()).total_seconds()
        return left > self.deps.rules.send_timeout

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), outcome=st.sampled_from(["told", "lost", "timeout", "not told", "crash", "no"]))
    def a_sender_acts(self, data: st.DataObject, outcome: str) -> None:
        one = self.hands.pop(data.draw(st.integers(0, len(self.hands) - 1)))
        if one.ask_first:
            self._ask(one, outcome)
        elif not self._in_time(one):
            self.zombies.append(one)
        else:
            self._send(one, outcome)

    def _send(self, one: Outgoing, outcome: str) -> None:
        if outcome in ("told", "lost", "timeout"):
            self.platform.done[one.effect.id] += 1
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
        if not self.platform.readable:
            effects.refused(self.deps, one.effect, "channel.cannot_read_back")
        elif outcome == "crash":
            self.zombies.append(one)
        elif outcome == "no":
            effects.later(self.deps, one.effect, "connector.unavailable")
        elif self.platform.done[one.effect.id]:
            effects.sent(self.deps, one.effect, "found")
        else:
            effects.not_done(self.deps, one.effect)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def a_late_sender_writes(self, data: st.DataObject) -> None:
        """A sender wakes after a long pause and writes what it knows; the fence decides."""
        one = self.zombies.pop(data.draw(st.integers(0, len(self.zombies) - 1)))
        if self.platform.done[one.effect.id]:
            effects.sent(self.deps, one.effect, "late")
        elif one.ask_first:
            effects.later(self.deps, one.effect, "connector.unavailable")
        else:
            effects.unknown(self.deps, one.effect, "connector.uncertain")

    # time and people

    @rule(seconds=st.sampled_from([1, 5, 21, 31, 61, 301, 700, 90_000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds=seconds)

    @rule()
    def the_sweep_comes(self) -> None:
        effects.sweep(self.deps)

    def _waiting_for_a_person(self) -> list[int]:
        with self.deps.uow.read() as store:
            return [e.id for e in store.outbox.page((S.NEEDS_HUMAN,), None, 1_000)]

    @rule(data=st.data(), cancel=st.booleans())
    def a_person_looks(self, data: st.DataObject, cancel: bool) -> None:
        waiting = self._waiting_for_a_person()
        if not waiting:
            return
        effect_id = data.draw(st.sampled_from(waiting))
        there = bool(self.platform.done[effect_id])
        outcome = "sent" if there else "cancel" if cancel else "again"
        try:
            effects.resolve(self.deps, OFFICER, effect_id, outcome, "看过")
        except HuiyinError:
            with self.deps.uow.read() as store:
                assert store.outbox.get(effect_id).decision_id in self.undone
            assert outcome == "again"

    # what always holds

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert max(self.platform.done.values(), default=0) <= 1

    @rule()
    def what_is_said_to_be_sent_is_there(self) -> None:
        with self.deps.uow.read() as store:
            for effect in store.outbox.page((S.SENT,), None, 1_000):
                assert self.platform.done[effect.id] == 1
            for effect in store.outbox.page((S.CANCELLED,), None, 1_000):
                assert self.platform.done[effect.id] == 0

    # the end

    def run_to_the_end(self) -> None:
        """Let every sender crash, then let one that works do what is left; a person is not needed for the rest."""
        for _round in range(400):
            with self.deps.uow.read() as store:
                waiting = store.outbox.page(tuple(set(S) - ENDS), None, 1_000)
            if not waiting:
                break
            self.clock.advance(seconds=61)
            effects.sweep(self.deps)
            for one in effects.take(self.deps, 50):
                self._ask(one, "told") if one.ask_first else self._send(one, "told")
        self._check_the_end()

    def _check_the_end(self) -> None:
        with self.deps.uow.read() as store:
            every = store.outbox.page(tuple(S), None, 1_000)
            assert {effect.state for effect in every} <= ENDS
            entries = [e.kind for e in store.ledger.entries(0, 100_000)]
            events = [e for case in {e.case_id for e in every} for e in store.events.of(case)]
        arrived = sum(effect.state is S.SENT for effect in every)
        assert entries.count("effect.sent") + entries.count("effect.sent_by_hand") == arrived
        assert sum(event.kind == "effect_sent" for event in events) == arrived
        for made in self.decisions:
            with self.deps.uow.read() as store:
                look(self.deps, store.cases.get(made.case_id))
        self.nothing_is_done_twice()
        self.what_is_said_to_be_sent_is_there()


Outbox.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOutbox = Outbox.TestCase
