"""Material for the store suite: posts, readings and cases with everything that a test does not care about filled in."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from monitor.adapters.sql.uow import engine_of, writing
from monitor.core.model import (
    BINARY_LABELS,
    Case,
    CaseKind,
    CaseState,
    Label,
    NewCase,
    NewPost,
    Post,
    PostKind,
    Reading,
    Reason,
    Signal,
)
from monitor.core.ports import Store
from monitor.testing.builders import START

LATER = START + timedelta(hours=1)


def new(external_id: str, words: str = "一句话", at: float = 0.0, **fields: Any) -> NewPost:
    """Return a post of channel ``qq``, dated ``at`` seconds after START and received an hour later."""
    given: dict[str, Any] = {
        "channel": "qq",
        "author": "a" * 24,
        "digest": hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest(),
        "received_at": LATER,
        "posted_at": START + timedelta(seconds=at),
        "thread": "g1",
        "handle": external_id,
        **fields,
    }
    return NewPost(external_id=external_id, text=words, **given)


def notice(external_id: str, kind: PostKind, at: float = 0.0, **fields: Any) -> NewPost:
    """Return a removal or restore notice."""
    return new(external_id, "", at, kind=kind, **fields)


def stored(store: Store, *posts: NewPost) -> list[Post]:
    """Store posts and return them."""
    return [found.post for found in store.posts.add(posts) if found.post is not None]


def reading(*flags: Label, score: float = 0.02, **values: str) -> Reading:
    """Return a reading that flags ``flags``, with values such as ``topic="pay"``."""
    binary = [
        Signal(one, 0.9, True, reasons=(Reason(0, 1, "一", "term"),)) if one in flags else Signal(one, score)
        for one in BINARY_LABELS
    ]
    valued = [Signal(Label(name), 0.75, value=value) for name, value in values.items()]
    return Reading((*binary, *valued), "fast", {"spam": "spam@1", "risk": "risk@2"})


def opened(store: Store, *post_ids: int, **fields: Any) -> Case:
    """Open a case over posts; without any, over a post of its own."""
    ids = post_ids or (stored(store, new(f"of-case-{store.posts.count()}"))[0].id,)
    given: dict[str, Any] = {
        "kind": CaseKind.MODERATION,
        "state": CaseState.PENDING,
        "rank": 100,
        "channel": "qq",
        "policy": "spam",
        **fields,
    }
    return store.cases.open(NewCase(post_ids=ids, **given), START)


def raw_sql(url: str, *statements: str) -> None:
    """Do behind the store's back what it would not do."""
    engine = engine_of(url)
    with writing(engine).begin() as link:
        for statement in statements:
            link.execute(text(statement))
    engine.dispose()


def unguarded(url: str, table: str) -> list[str]:
    """Return the statements that take the append-only guards off a table."""
    if url.startswith("sqlite"):
        return [f"DROP TRIGGER {table}_no_update", f"DROP TRIGGER {table}_no_delete"]
    return [f"DROP TRIGGER {table}_append_only ON {table}"]


def at_once(n: int, work: Callable[[int], None]) -> None:
    """Run ``work(0) .. work(n - 1)`` in threads that start together; raises what one of them raised."""
    failed: list[BaseException] = []
    ready = threading.Barrier(n)

    def run(number: int) -> None:
        try:
            ready.wait(10)
            work(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failed:
        raise failed[0]
