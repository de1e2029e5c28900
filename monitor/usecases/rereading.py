"""Reading the archive again with the models that serve now: in batches, resumable, and opening nothing.

What was decided stays decided: a new reading only replaces the current one of its post (the old one stays stored with
its model's version); no case is opened, joined or moved.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.errors import ClassifierError
from monitor.core.ports import PostFilter
from monitor.usecases.deps import Deps
from monitor.usecases.understand import HARMLESS

CURSOR = "reclassify.cursor"
"""The setting that remembers which version was at which post."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch did: how many posts it looked at and read anew, and whether posts are left."""

    looked: int
    read: int
    left: bool


def _place(stored: str | None, version: str) -> int | None:
    """Return the last post that this version has seen, or None to begin with the newest."""
    held, _sign, at = (stored or "").rpartition(" ")
    return int(at) if held == version and at.isdigit() else None


def restart(deps: Deps) -> None:
    """Forget how far a run came: the next batch begins with the newest post."""
    with deps.uow.begin() as store:
        store.operations.set_setting(CURSOR, "")


def reread(deps: Deps, n: int = 256) -> Batch:
    """Read the next ``n`` posts again, newest first, where another version has read them.

    Raises: ClassifierError when there is no working model.
    """
    if deps.classifier is None:
        raise ClassifierError("no model is loaded; 'huiyin doctor' says why")
    serving = dict(deps.classifier.classify([HARMLESS])[0].models)
    version = f"{deps.classifier.name}@{deps.classifier.version}"
    with deps.uow.read() as store:
        after = _place(store.operations.setting(CURSOR), version)
        posts = store.posts.page(PostFilter(), after, n)
        readings = store.readings.many([post.id for post in posts])
    due = [post for post in posts if post.id in readings and dict(readings[post.id].models) != serving]
    found = deps.classifier.classify([post.text for post in due]) if due else []
    if posts:
        with deps.uow.begin() as store:
            store.readings.add((post.id, reading) for post, reading in zip(due, found, strict=True))
            store.operations.set_setting(CURSOR, f"{version} {posts[-1].id}")
    return Batch(len(posts), len(due), len(posts) == n)


__all__ = ["CURSOR", "Batch", "reread", "restart"]
