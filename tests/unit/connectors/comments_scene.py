"""Comment channels over real sockets: a fake system, a connector that does not wait long, and an intake in small."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

from connectors import artalk, twikoo, waline, wordpress
from connectors._comments_channel import CommentSystem
from monitor.core.model import Effect, EffectKind, PostKind, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.desk import Desk, effect
from monitor.testing.fake_artalk import FakeArtalk
from monitor.testing.fake_twikoo import FakeTwikoo
from monitor.testing.fake_waline import FakeWaline
from monitor.testing.fake_wordpress import FakeWordPress

QUICK = {"poll_seconds": 0.02, "rescan_seconds": 0.05, "call_seconds": 2.0}
Fake = FakeWordPress | FakeWaline | FakeTwikoo | FakeArtalk
FAKES: dict[str, Callable[[], Any]] = {
    "wordpress": FakeWordPress,
    "waline": FakeWaline,
    "twikoo": FakeTwikoo,
    "artalk": FakeArtalk,
}
MODULES: dict[str, Any] = {"wordpress": wordpress, "waline": waline, "twikoo": twikoo, "artalk": artalk}


def settings(fake: Fake) -> dict[str, Any]:
    """Return settings that reach a fake system."""
    if isinstance(fake, FakeWordPress):
        own: dict[str, Any] = {"user": fake.user, "app_password": fake.password}
    elif isinstance(fake, FakeWaline):
        own = {"email": fake.email, "password": fake.password}
    elif isinstance(fake, FakeTwikoo):
        own = {"password": fake.password}
    else:
        own = {"email": fake.email, "password": fake.password, "site": fake.site}
    return {"url": fake.url, **QUICK, **own}


def make(fake: Fake, **change: Any) -> CommentSystem:
    """Return the connector for a fake system."""
    name = next(name for name, kind in FAKES.items() if isinstance(fake, kind))  # type: ignore[arg-type]
    made: CommentSystem = MODULES[name].connector(ChannelConfig("site", name, {**settings(fake), **change}))
    return made


@asynccontextmanager
async def acting(fake: Fake, **change: Any) -> Any:
    """Hand over a connector and close it, twice."""
    made = make(fake, **change)
    try:
        yield made
    finally:
        await made.close()
        await made.close()


@asynccontextmanager
async def listening(fake: Fake, desk: Desk, **change: Any) -> Any:
    """Let the desk listen to a fake system until the block ends."""
    made = make(fake, **change)
    async with desk.at_work(made):
        yield made


async def some_looks(desk: Desk, connector: CommentSystem, count: int = 3) -> None:
    """Wait until the connector has looked ``count`` times more."""
    wanted = connector._watch.looks + count
    await desk.until(lambda: connector._watch.looks >= wanted)


def notices(desk: Desk, kind: PostKind, key: object = None) -> list[RawPost]:
    """Return what was told of this kind, of one comment or of all."""
    items = [item for item in desk.items if isinstance(item, RawPost) and item.kind is kind]
    return [item for item in items if key is None or item.external_id == str(key)]


def told(kind: EffectKind, key: object, thread: str = "/p/1", **fields: Any) -> Effect:
    """Return an effect about a comment."""
    return effect(kind, "site", 1, thread=thread, handle=str(key), **fields)
