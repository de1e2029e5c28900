"""Forums and feeds over real sockets: a fake one, and a desk that listens to its channel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from connectors import discourse, feed, nodebb
from monitor.core.model import PostKind, RawPost
from monitor.core.ports import ChannelConfig, Connector
from monitor.testing.desk import Desk
from monitor.testing.fake_discourse import FakeDiscourse
from monitor.testing.fake_feed import FakeFeed
from monitor.testing.fake_nodebb import FakeNodeBB

QUICK = {"poll_seconds": 0.02, "whole_seconds": 0.05, "retry_seconds": 0.05, "call_seconds": 3.0}
SLOW = {**QUICK, "poll_seconds": 60.0, "whole_seconds": 60.0}


def make_discourse(fake: FakeDiscourse, **settings: Any) -> discourse.Discourse:
    """Return a connector for the fake forum that does not wait long for anything."""
    given = {"url": fake.url, "api_key": fake.key, "api_username": fake.username, "secrets": [fake.secret]}
    return discourse.connector(ChannelConfig("bbs", "discourse", {**given, **QUICK, **settings}))


def make_nodebb(fake: FakeNodeBB, **settings: Any) -> nodebb.NodeBB:
    """Return a connector for the fake forum that does not wait long for anything."""
    given = {"url": fake.url, "token": fake.token}
    return nodebb.connector(ChannelConfig("bbs", "nodebb", {**given, **QUICK, **settings}))


def make_feed(*fakes: FakeFeed, **settings: Any) -> feed.FeedChannel:
    """Return a connector for the fake sites that does not wait long for anything."""
    given = {"urls": [fake.url for fake in fakes], "poll_seconds": 0.02, "retry_seconds": 0.05}
    return feed.connector(ChannelConfig("pinglun", "feed", {**given, **settings}))


@asynccontextmanager
async def listening(connector: Connector, desk: Desk | None = None) -> AsyncIterator[Desk]:
    """Listen to ``connector`` until the block ends; closes it."""
    desk = desk or Desk()
    async with desk.at_work(connector):
        yield desk


def notices(desk: Desk, kind: PostKind) -> list[RawPost]:
    """Return what was told of one kind."""
    return [item for item in desk.items if isinstance(item, RawPost) and item.kind is kind]


async def more(count: Callable[[], int], by: int = 3) -> None:
    """Wait until a count has grown by ``by``: so many looks were begun after now."""
    wanted = count() + by
    async with asyncio.timeout(20):
        while count() < wanted:
            await asyncio.sleep(0.005)
