"""Small deterministic stand-ins and builders for tests: a clock, keys, a classifier, people and posts."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.core.errors import ClassifierError, StoreError
from monitor.core.model import Actor, Label, RawPost, Reading, Reason, Role, Signal
from monitor.core.ports import Capability, Grouped, UnitOfWork
from monitor.usecases.deps import Deps, Rules

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
"""Monday 2026-03-02 09:00 in Shanghai."""


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self, at: datetime = START) -> None:
        self._at = at
        self._ticks = 0.0

    def now(self) -> datetime:
        """Return the present moment in UTC."""
        return self._at

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._ticks

    def advance(self, **span: float) -> datetime:
        """Move forward by ``timedelta(**span)`` and return the new moment."""
        step = timedelta(**span)
        self._at += step
        self._ticks += max(0.0, step.total_seconds())
        return self._at


class FakeKeys:
    """Keys from a constant: real HMAC digests, and a seal that only a test should trust."""

    _key = b"a constant key for tests"

    def _mac(self, *parts: str) -> str:
        return hmac.new(self._key, "\x00".join(parts).encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def pseudonym(self, channel: str, native: str) -> str:
        """Return the author's pseudonym in this channel."""
        return self._mac("author", channel, native)[:24]

    def digest(self, purpose: str, text: str) -> str:
        """Return a keyed digest of ``text`` for one purpose."""
        return self._mac("digest", purpose, text)

    def seal(self, data: bytes) -> bytes:
        """Return ``data`` so that it is not readable by eye."""
        return b"sealed:" + bytes(byte ^ 0x5A for byte in data)

    def unseal(self, data: bytes) -> bytes:
        """Undo ``seal``; raises StoreError for anything else."""
        if not data.startswith(b"sealed:"):
            raise StoreError("this was not sealed with the present key")
        return bytes(byte ^ 0x5A for byte in data[len(b"sealed:") :])


WORDS: Mapping[Label, tuple[str, ...]] = {
    Label.SPAM: ("加微信", "兼职日结", "优惠券"),
    Label.RUMOUR: ("听说", "内部消息"),
    Label.GRIEVANCE: ("工资", "停车难", "食堂太贵", "投诉"),
    Label.ABUSE: ("傻子", "滚出去"),
    Label.RISK: ("不想活", "跳楼"),
}
"""What :class:`KeywordClassifier` listens for."""


@dataclass
class KeywordClassifier:
    """Answers by plain words, so that a test can read off what will happen.

    Texts containing ``poison`` make it fail, alone or in a batch; ``calls`` counts the batches.
    """

    name: str = "keyword"
    version: str = "1"
    labels: tuple[str, ...] = tuple(label.value for label in Label)
    poison: str = "☠"
    words: Mapping[Label, tuple[str, ...]] = field(default_factory=lambda: WORDS)
    calls: int = 0

    def classify(self, texts: Sequence[str]) -> list[Reading]:
        """Return one reading per text."""
        self.calls += 1
        if any(self.poison in text for text in texts):
            raise ClassifierError("a text broke the model")
        return [self._read(text) for text in texts]

    def _read(self, text: str) -> Reading:
        signals = [self._binary(label, words, text) for label, words in self.words.items()]
        negative = any(s.flag for s in signals)
        signals.append(Signal(Label.SENTIMENT, 0.8, value="negative" if negative else "neutral"))
        if any(s.flag for s in signals if s.label in (Label.GRIEVANCE, Label.RUMOUR)):
            signals.append(Signal(Label.TOPIC, 0.9, value="pay" if "工资" in text else "other"))
            signals.append(Signal(Label.URGENCY, 0.9, value="high" if "急" in text else "normal"))
        return Reading(tuple(signals), "fast", {label: f"{label}@{self.version}" for label in self.labels})

    def _binary(self, label: Label, words: Sequence[str], text: str) -> Signal:
        hits = [(text.index(word), word) for word in words if word in text]
        reasons = tuple(Reason(at, at + len(word), word, "keyword") for at, word in hits)
        return Signal(label, 0.95 if hits else 0.02, bool(hits), reasons=reasons)


class PrefixGrouping:
    """Groups texts that begin with the same eight characters."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}

    def add(self, ids: Sequence[int], texts: Sequence[str]) -> list[Grouped]:
        """Group each text with what came before it."""
        return [self._one(post_id, text) for post_id, text in zip(ids, texts, strict=True)]

    def _one(self, post_id: int, text: str) -> Grouped:
        first = self._first.setdefault(text[:8], post_id)
        return Grouped(first, 1.0)


class PlainPasswords:
    """Password hashing without the waiting."""

    def hash(self, password: str) -> str:
        """Return a hash of ``password``."""
        return "test$" + hashlib.sha256(password.encode()).hexdigest()

    def verify(self, hashed: str, password: str) -> bool:
        """Say whether ``password`` made ``hashed``."""
        return hmac.compare_digest(hashed, self.hash(password))


def person(login: str, *roles: Role, unit: str | None = None) -> Actor:
    """Return a member of staff with ``roles``."""
    return Actor(login, frozenset(roles), unit, name=login.title(), title="/".join(roles))


MODERATOR = person("mo", Role.MODERATOR)
MODERATOR_2 = person("mona", Role.MODERATOR)
OFFICER = person("otto", Role.OFFICER)
LEADER = person("lea", Role.LEADER)
HANDLER = person("hana", Role.HANDLER, unit="后勤处")
CUSTODIAN = person("cus", Role.CUSTODIAN)
ADMIN = person("ada", Role.ADMIN)
MEMBER = Actor("member", frozenset({Role.MEMBER}))


def raw(external_id: str, text: str, **fields: object) -> RawPost:
    """Return a raw post of channel ``qq``, thread ``g1``, unless ``fields`` say otherwise."""
    given: dict[str, object] = {
        "channel": "qq",
        "author": f"author-{external_id}",
        "posted_at": START,
        "thread": "g1",
        **fields,
    }
    return RawPost(external_id=external_id, text=text, **given)  # type: ignore[arg-type]


def all_capabilities(_channel: str) -> frozenset[Capability]:
    """Say of every channel that it can do everything."""
    return frozenset(Capability)


def deps_over(uow: UnitOfWork, *, clock: FixedClock | None = None, rules: Rules | None = None) -> Deps:
    """Return dependencies over ``uow`` with the stand-ins of this module."""
    return Deps(
        uow=uow,
        clock=clock or FixedClock(),
        keys=FakeKeys(),
        rules=rules or Rules(),
        classifier=KeywordClassifier(),
        grouping=PrefixGrouping(),
        capabilities=all_capabilities,
        passwords=PlainPasswords(),
    )
