"""Understanding posts: lease, classify, group, triage, save; a bad post never stops its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from monitor.core.errors import ClassifierError, HuiyinError
from monitor.core.model import CaseKind, ClaimState, Post, Reading
from monitor.core.ports import Classifier, Job
from monitor.usecases.deps import Deps
from monitor.usecases.triage import Judged, Told, judge, open_cases

TRIES = 3
"""So often is a post tried that breaks the classifier by itself; then it is parked for a person."""

RETRY_SECONDS = 5.0
HARMLESS = "今天天气不错"
"""A text that a working classifier can always read: tells a broken model from a poisonous post."""

UNREAD = Reading((), "none", {})
"""The reading of a post that went on without one."""

_WINDOW_LIMIT = 200_000
_CLAIMS = 1_000
_NO_CLAIM = frozenset({ClaimState.OPINION})


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of a batch: readings of the good, and the jobs that break the classifier alone."""

    good: list[tuple[Job, Reading]]
    bad: list[Job]


def _classify(classifier: Classifier, jobs: Sequence[Job]) -> list[tuple[Job, Reading]]:
    readings = classifier.classify([job.post.text for job in jobs])
    if len(readings) != len(jobs):
        raise ClassifierError("the classifier returned another number of readings than it was given texts")
    return list(zip(jobs, readings, strict=True))


def _works(classifier: Classifier) -> bool:
    try:
        return len(classifier.classify([HARMLESS])) == 1
    except HuiyinError:
        return False


def _search(classifier: Classifier, jobs: Sequence[Job]) -> _Read:
    """Classify ``jobs``; where it fails, halve until the posts that break it stand alone."""
    try:
        return _Read(_classify(classifier, jobs), [])
    except HuiyinError:
        if len(jobs) == 1:
            return _Read([], list(jobs))
    middle = len(jobs) // 2
    left, right = _search(classifier, jobs[:middle]), _search(classifier, jobs[middle:])
    return _Read(left.good + right.good, left.bad + right.bad)


def _read(classifier: Classifier | None, jobs: Sequence[Job]) -> _Read:
    """Return readings; without a working classifier every post goes on unread."""
    unread = _Read([(job, UNREAD) for job in jobs], [])
    if classifier is None:
        return unread
    try:
        return _Read(_classify(classifier, jobs), [])
    except HuiyinError:
        return _search(classifier, jobs) if _works(classifier) else unread


def _group(deps: Deps, good: Sequence[tuple[Job, Reading]]) -> dict[int, int]:
    if deps.grouping is None or not good:
        return {}
    posts = [job.post for job, _reading in good]
    grouped = deps.grouping.add([post.id for post in posts], [post.text for post in posts])
    return {post.id: found.group for post, found in zip(posts, grouped, strict=True)}


def _with_group(post: Post, groups: dict[int, int]) -> Post:
    return replace(post, group_id=groups[post.id]) if post.id in groups else post


def _claims(deps: Deps, judged: Sequence[Judged]) -> dict[int, Told]:
    """Return for posts that want a clarification the known claim that they seem to tell."""
    asking = [one.post for one in judged if any(o.kind is CaseKind.CLARIFICATION for o in one.openings)]
    if deps.matching is None or not asking:
        return {}
    with deps.uow.read() as store:
        known = {
            claim.id: claim for claim in store.claims.page(None, _CLAIMS) if claim.state not in _NO_CLAIM
        }
    if not known:
        return {}
    statements = [(claim.id, claim.statement) for claim in known.values()]
    found = deps.matching.match([post.text for post in asking], statements)
    pairs = zip(asking, found, strict=True)
    return {
        post.id: Told(known[like.claim], like.score, like.same) for post, like in pairs if like is not None
    }


def _save(deps: Deps, read: _Read, groups: dict[int, int]) -> None:
    judged = [judge(_with_group(job.post, groups), reading) for job, reading in read.good]
    told = _claims(deps, judged)
    now = deps.clock.now()
    with deps.uow.begin() as store:
        if groups:
            store.posts.set_groups(groups)
        store.readings.add((one.post.id, one.reading) for one in judged)
        open_cases(store, deps, judged, told)
        store.jobs.done([job.id for job, _reading in read.good])
        for job in read.bad:
            if job.attempt >= TRIES:
                store.jobs.park([job.id], "breaks the classifier")
            else:
                wait = timedelta(seconds=RETRY_SECONDS * 2**job.attempt)
                store.jobs.retry([job.id], now + wait, "breaks the classifier")


def process(deps: Deps, owner: str, n: int = 256) -> int:
    """Take up to ``n`` waiting posts through classifying, grouping and triage; results are one transaction.

    Args:
        deps: what every use case is given.
        owner: name of the worker, for the lease.
        n: most posts to take.

    Returns: how many posts were taken; 0 when none wait.
    """
    with deps.uow.begin() as store:
        jobs = store.jobs.lease(n, deps.rules.job_lease_seconds, owner)
    if not jobs:
        return 0
    read = _read(deps.classifier, jobs)
    _save(deps, read, _group(deps, read.good))
    return len(jobs)


def restore_grouping(deps: Deps) -> int:
    """Fill the grouping window from the store after a start; returns how many texts went in."""
    if deps.grouping is None:
        return 0
    since = deps.clock.now() - timedelta(days=deps.rules.group_window_days)
    with deps.uow.read() as store:
        recent = store.posts.recent_texts(since, _WINDOW_LIMIT)
    if recent:
        deps.grouping.add([group for group, _text in recent], [text for _group, text in recent])
    return len(recent)
