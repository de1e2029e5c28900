"""Learning from what people do: acting and teaching are two acts, by two people where one has decided.

A decision changes nothing in a model. It becomes a label only when a second person looks at the post again and answers
the guideline's questions (:func:`accept`); what they accept is a file for ``huiyin train --data``. :func:`report` says
how the models are doing on the union's own posts: what drifts, and how often people decide otherwise.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from monitor.core.errors import BadInput
from monitor.core.model import (
    BINARY_LABELS,
    SENTIMENTS,
    URGENCIES,
    Action,
    Actor,
    CaseKind,
    CaseState,
    Decision,
    Label,
    Post,
    Reading,
    RuleCode,
    SourceState,
)
from monitor.core.ports import CaseFilter, PostFilter, Store
from monitor.core.roles import require
from monitor.core.search import bigrams
from monitor.usecases.deps import Deps

MOST = 500
_READ = 5_000
_PAGE = 500
_ALIKE = 0.5
_RANDOM_EVERY = 5
"""One in so many is drawn by chance: what only the uncertain are asked about cannot be measured."""

_BINS = 10
_MEANS = {
    RuleCode.SPAM_AD: Label.SPAM,
    RuleCode.FRAUD: Label.SPAM,
    RuleCode.FLOOD_DUPLICATE: Label.SPAM,
    RuleCode.INSULT_OR_THREAT: Label.ABUSE,
    RuleCode.DOXXING: Label.ABUSE,
}
_VALUES = {Label.SENTIMENT: SENTIMENTS, Label.URGENCY: URGENCIES}


@dataclass(frozen=True, slots=True)
class Ask:
    """A post for a person to answer the questions of the guideline about.

    Attributes:
        post: its id.
        text: its words, masked as everywhere.
        why: ``uncertain``, ``random`` or ``decided``.
        scores: what the model said, by label.
        proposed: answers that follow from a decision; nothing is learnt from them before a second person agrees.
        decided_by: who decided; somebody else has to review.
    """

    post: int
    text: str
    why: str
    scores: Mapping[str, float] = field(default_factory=dict)
    proposed: Mapping[str, int] = field(default_factory=dict)
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Rows to learn from, and why the others were refused (line number, sentence)."""

    rows: list[dict[str, object]]
    refused: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Drift:
    """One question over two windows: shares flagged with their denominators, and the stability index of the scores.

    Below 0.1 nothing has moved, from 0.25 on the posts are not what they were.
    """

    label: str
    before: int
    now: int
    flagged_before: int
    flagged_now: int
    index: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What became of the flags of one question: how many were decided, how many upheld, and the calibration error."""

    label: str
    decided: int
    upheld: int
    error: float | None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """How the models are doing on the own posts; ``versions`` counts the current readings by set of models."""

    since: datetime
    until: datetime
    drift: tuple[Drift, ...]
    agreement: tuple[Agreement, ...]
    versions: Mapping[str, int]


# --- what to ask a person about ----------------------------------------------------------------------


def _recent(store: Store, since: datetime, until: datetime | None = None) -> Iterator[tuple[Post, Reading]]:
    """Yield posts of a time with their current reading, newest first, at most ``_READ``."""
    after: int | None = None
    for _page in range(_READ // _PAGE):
        posts = store.posts.page(PostFilter(since=since, until=until), after, _PAGE)
        readings = store.readings.many([post.id for post in posts])
        for post in posts:
            if post.id in readings and post.source_state is not SourceState.REMOVED:
                yield post, readings[post.id]
        if len(posts) < _PAGE:
            return
        after = posts[-1].id


def _boundary(read: Sequence[tuple[Post, Reading]], label: Label) -> float:
    """Return where the flag begins, as the readings show it."""
    yes = [reading.score(label) for _post, reading in read if reading.flagged(label)]
    no = [reading.score(label) for _post, reading in read if not reading.flagged(label)]
    return (min(yes, default=1.0) + max(no, default=0.0)) / 2


def _apart(text: str, chosen: Sequence[frozenset[str]]) -> frozenset[str] | None:
    """Return the bigrams of a text, or None when it says nearly what a chosen one says."""
    mine = frozenset(bigrams(text))
    near = (len(mine & other) / max(1, len(mine | other)) for other in chosen)
    return None if any(share >= _ALIKE for share in near) else mine


def sample(
    deps: Deps, actor: Actor, n: int, labels: Sequence[Label] = BINARY_LABELS, days: int = 30
) -> list[Ask]:
    """Return posts whose answers would teach most: uncertain ones, no two alike, and one in five by chance.

    Args:
        deps: what every use case is given.
        actor: who will label.
        n: how many.
        labels: the questions whose uncertainty counts.
        days: how far back.

    Raises: NotAllowed, BadInput.
    """
    require(actor, "learning.sample")
    if not 1 <= n <= MOST:
        raise BadInput(f"ask for 1 to {MOST} posts")
    with deps.uow.read() as store:
        read = list(_recent(store, deps.clock.now() - timedelta(days=days)))
    edges = {label: _boundary(read, label) for label in labels}
    doubt = {
        post.id: min((abs(reading.score(label) - edge) for label, edge in edges.items()), default=1.0)
        for post, reading in read
    }
    by_doubt = sorted(read, key=lambda pair: (doubt[pair[0].id], pair[0].id))
    by_chance = Random(len(read)).sample(read, len(read))  # noqa: S311
    return _choose(by_doubt, by_chance, n)


def _choose(
    by_doubt: Sequence[tuple[Post, Reading]], by_chance: Sequence[tuple[Post, Reading]], n: int
) -> list[Ask]:
    chosen: list[Ask] = []
    words: list[frozenset[str]] = []
    groups: set[int] = set()
    sources = {"uncertain": iter(by_doubt), "random": iter(by_chance)}
    while len(chosen) < n and sources:
        why = (
            "random"
            if (len(chosen) + 1) % _RANDOM_EVERY == 0 and "random" in sources
            else next(iter(sources))
        )
        found = next(sources[why], None)
        if found is None:
            del sources[why]
            continue
        post, reading = found
        mine = None if (post.group_id or post.id) in groups else _apart(post.text, words)
        if mine is not None:
            groups.add(post.group_id or post.id)
            words.append(mine)
            scores = {str(label): round(reading.score(label), 4) for label in BINARY_LABELS}
            chosen.append(Ask(post.id, post.text, why, scores))
    return chosen


def _decided(store: Store, most: int) -> Iterator[tuple[Post, Decision]]:
    """Yield the first post of decided moderation cases with the decision that stands."""
    after: tuple[int, int] | None = None
    where = CaseFilter(kinds=(CaseKind.MODERATION,), states=(CaseState.DECIDED, CaseState.CLOSED))
    given = 0
    while given < most:
        cases = store.cases.page(where, after, min(_PAGE, most - given))
        for case in cases:
            standing = [one for one in store.decisions.of(case.id) if one.undone_at is None]
            if standing and standing[-1].post_ids:
                posts = store.posts.many(list(standing[-1].post_ids[:1]))
                yield from ((post, standing[-1]) for post in posts)
        given += len(cases)
        if len(cases) < _PAGE:
            return
        after = (cases[-1].rank, cases[-1].id)


def _meaning(decision: Decision) -> dict[str, int]:
    """Return what a decision says about the post; most say nothing."""
    if decision.action in (Action.KEEP, Action.DISMISS):
        return {"spam": 0, "abuse": 0}
    label = _MEANS.get(decision.rule) if decision.rule is not None else None
    return {} if label is None or decision.action not in (Action.REMOVE, Action.HIDE) else {str(label): 1}


def propose(deps: Deps, actor: Actor, n: int) -> list[Ask]:
    """Return decided posts with the answers that the decisions suggest, for a second person to look at.

    Raises: NotAllowed, BadInput.
    """
    require(actor, "learning.sample")
    if not 1 <= n <= MOST:
        raise BadInput(f"ask for 1 to {MOST} posts")
    found: list[Ask] = []
    with deps.uow.read() as store:
        for post, decision in _decided(store, _READ):
            meaning = _meaning(decision)
            if meaning and post.source_state is not SourceState.REMOVED and len(found) < n:
                found.append(Ask(post.id, post.text, "decided", {}, meaning, decision.actor))
    return found


# --- what a person has answered ----------------------------------------------------------------------


def _answers(row: Mapping[str, object]) -> dict[str, object]:
    """Return the answers of a filled row; raises BadInput for one that the guideline does not know."""
    found: dict[str, object] = {}
    for label in Label:
        value = row.get(label.value)
        if value is None:
            continue
        known = (0, 1) if label in BINARY_LABELS else _VALUES.get(label)
        if (known is not None and value not in known) or (known is None and not isinstance(value, str)):
            raise BadInput(f"{label.value} has an answer that the guideline does not know")
        found[label.value] = value
    if not found:
        raise BadInput("nothing is answered; fill in at least one label")
    return found


def _accepted(store: Store, actor: Actor, row: Mapping[str, object]) -> dict[str, object]:
    number = row.get("post")
    posts = store.posts.many([number]) if isinstance(number, int) else []
    if not posts:
        raise BadInput("there is no such post; keep the field post as it was handed out")
    deciders = {one.actor for case in store.cases.of_post(posts[0].id) for one in store.decisions.of(case.id)}
    if actor.login in deciders:
        raise BadInput("you decided about this post; another person has to review it")
    return {"text": posts[0].text, **_answers(row), "reviewed_by": actor.login}


def accept(deps: Deps, actor: Actor, rows: Sequence[Mapping[str, object] | None]) -> Accepted:
    """Take filled rows as training data, each reviewed by ``actor`` who did not decide about it.

    The words come from the store, not from the file. The ledger notes how many were accepted and their digest.

    Args:
        deps: what every use case is given.
        actor: the reviewer.
        rows: filled rows of :func:`sample` or :func:`propose`; None for a line that is no object.

    Raises: NotAllowed.
    """
    require(actor, "learning.accept")
    good: list[dict[str, object]] = []
    refused: list[tuple[int, str]] = []
    with deps.uow.begin(actor) as store:
        for number, row in enumerate(rows, 1):
            try:
                if row is None:
                    raise BadInput("this line is no JSON object")
                good.append(_accepted(store, actor, row))
            except BadInput as error:
                refused.append((number, str(error)))
        if good:
            digest = deps.keys.digest("labels", json.dumps(good, ensure_ascii=False, sort_keys=True))
            content = {"count": len(good), "digest": digest}
            store.ledger.append("labels.accepted", "", actor.login, content, deps.clock.now())
    return Accepted(good, refused)


# --- how the models are doing ------------------------------------------------------------------------


def _index(before: Sequence[float], now: Sequence[float]) -> float | None:
    """Return the population stability index of two sets of scores, or None when one is too small."""
    if min(len(before), len(now)) < 50:
        return None
    one, other = (Counter(min(int(score * _BINS), _BINS - 1) for score in scores) for scores in (before, now))
    shares = [
        ((one[at] + 0.5) / (len(before) + 0.5 * _BINS), (other[at] + 0.5) / (len(now) + 0.5 * _BINS))
        for at in range(_BINS)
    ]
    return round(sum((new - old) * math.log(new / old) for old, new in shares), 4)


def _calibration(pairs: Sequence[tuple[float, bool]]) -> float | None:
    """Return the mean distance of score and frequency in ten bins, or None for fewer than 30 pairs."""
    if len(pairs) < 30:
        return None
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for score, yes in pairs:
        bins[min(int(score * _BINS), _BINS - 1)].append((score, yes))
    return round(
        sum(abs(sum(s for s, _y in b) - sum(y for _s, y in b)) for b in bins.values()) / len(pairs), 4
    )


def report(deps: Deps, actor: Actor, days: int = 7) -> ModelReport:
    """Compare the last ``days`` with the four times as many before, and flags with what people decided.

    At most the newest 5,000 posts of a window and 5,000 decided cases are looked at. Raises NotAllowed, BadInput.
    """
    require(actor, "learning.report")
    if not 1 <= days <= 366:
        raise BadInput("give 1 to 366 days")
    until = deps.clock.now()
    since = until - timedelta(days=days)
    with deps.uow.read() as store:
        now = [reading for _post, reading in _recent(store, since)]
        before = [reading for _post, reading in _recent(store, since - timedelta(days=4 * days), since)]
        decided = list(_decided(store, _READ))
        readings = store.readings.many([post.id for post, _decision in decided])
    versions = Counter(", ".join(sorted(set(reading.models.values()))) or reading.tier for reading in now)
    drift = tuple(_drift(label, before, now) for label in BINARY_LABELS)
    agreement = tuple(_agreement(label, decided, readings) for label in (Label.SPAM, Label.ABUSE))
    return ModelReport(since, until, drift, agreement, dict(versions))


def _drift(label: Label, before: Sequence[Reading], now: Sequence[Reading]) -> Drift:
    scores = [[reading.score(label) for reading in some if reading.signal(label)] for some in (before, now)]
    flagged = [sum(reading.flagged(label) for reading in some) for some in (before, now)]
    return Drift(
        str(label), len(scores[0]), len(scores[1]), flagged[0], flagged[1], _index(scores[0], scores[1])
    )


def _agreement(
    label: Label, decided: Sequence[tuple[Post, Decision]], readings: Mapping[int, Reading]
) -> Agreement:
    """Hold the scores of decided posts against the decisions that say something about the question."""
    pairs = [
        (readings[post.id].score(label), meaning[str(label)] == 1, readings[post.id].flagged(label))
        for post, decision in decided
        if post.id in readings and str(label) in (meaning := _meaning(decision))
    ]
    flagged = [yes for _score, yes, flag in pairs if flag]
    return Agreement(
        str(label), len(flagged), sum(flagged), _calibration([(s, yes) for s, yes, _flag in pairs])
    )


__all__ = ["Accepted", "Agreement", "Ask", "Drift", "ModelReport", "accept", "propose", "report", "sample"]
