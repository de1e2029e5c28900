"""A Discourse forum: its posts are looked at from time to time, and pushed by webhooks in between.

Source: the Discourse API documentation of 2026-08 and the behaviour of its controllers. Webhooks lose events (a failed
connection is not tried again), so the looks alone carry the promise that nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectors import _discourse_health as health
from connectors import _discourse_wire as wire
from connectors._discourse_api import Api, Refused
from connectors._discourse_effects import Hand
from connectors._discourse_forum import Forum
from connectors._forum_watch import Pace, Watch
from connectors._limits import MAX_ITEM, broken
from connectors._seen import Seen
from connectors._settings import read, refuse, setting
from connectors._signing import header, sha256_signed
from monitor.core.errors import ConnectorError, Malformed
from monitor.core.model import Effect, Health, PostKind
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route

_TEXT: Mapping[str, str] = {"Content-Type": "text/plain; charset=utf-8"}
_ANSWERS = frozenset({Capability.LISTEN, Capability.REPLY, Capability.READ_BACK})
_MODERATES = frozenset({Capability.REMOVE, Capability.HIDE, Capability.RESTORE, Capability.MUTE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``discourse``."""

    url: str = setting("Address of the forum, with its folder when it has one, e.g. https://bbs.example.org.")
    api_key: str = setting("API key made in the forum's admin pages for one user.")
    api_username: str = setting(
        "User name of the account that the key was made for; answers appear under it."
    )
    secrets: tuple[str, ...] = setting(
        "Secrets of the forum's webhook, the newest first; without one, pushes are refused.",
        (),
        ask=True,
        made="letters",
    )
    categories: tuple[int, ...] = setting(
        "Numbers of the categories that are the union's own; empty takes every public post.", ()
    )
    moderates: bool = setting("Whether the account is a moderator, so that posts can be removed.", True)
    history: int = setting("Posts read back at the very first look.", 200)
    poll_seconds: float = setting("Seconds between two looks at the newest posts.", 300.0)
    whole_seconds: float = setting(
        "Seconds between two looks at all posts of the window, for edits and removals of older ones.", 3_600.0
    )
    window: int = setting("How many of the newest posts are watched for edits and removals.", 500)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 300.0)


def connector(config: ChannelConfig) -> Discourse:
    """Return the connector of one forum.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.url.startswith(("https://", "http://")):
        raise refuse(config, "url", "begins with https://")
    for key in ("api_key", "api_username"):
        if not getattr(settings, key).strip():
            raise refuse(config, key, "is empty: make a key in the forum's admin pages (Admin, API)")
    if not all(secret.strip() for secret in settings.secrets):
        raise refuse(config, "secrets", "holds an empty one: copy the secret of the forum's webhook")
    for key in ("poll_seconds", "whole_seconds", "call_seconds", "retry_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    if not 0 <= settings.history <= 100_000:
        raise refuse(config, "history", "is a number of posts from 0 to 100000")
    if not 50 <= settings.window <= 5_000:
        raise refuse(config, "window", "is a number of posts from 50 to 5000")
    return Discourse(config.name, settings)


class Discourse:
    """One forum (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = _ANSWERS | (_MODERATES if settings.moderates else frozenset())
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._api = Api(settings.url, settings.api_key, settings.api_username, settings.call_seconds)
        self._scope = wire.Scope(settings.url.rstrip("/"), settings.api_username, settings.categories)
        self._hand = Hand(self._api, self._scope, settings.moderates)
        pace = Pace(settings.poll_seconds, settings.whole_seconds, settings.retry_seconds, settings.history)
        self._forum = Forum(name, self._api, self._scope, self._hand.removed)
        self._watch = Watch(name, self._forum, Seen(settings.window), pace)
        self._closed = asyncio.Event()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield posts, edits and removals after ``cursor`` until closed."""
        async with aclosing(self._watch.posts(cursor)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                yield batch

    def routes(self) -> Sequence[Route]:
        """Return the one path that the forum's webhook pushes to."""
        return (Route(self._path(), handle=self._asked),)

    def _path(self) -> str:
        return f"/hooks/discourse/{self.name}"

    async def _asked(self, request: Request) -> Response:
        if self._closed.is_set():
            return Response(503)
        if request.method != "POST":
            return Response(405, headers={"Allow": "POST"})
        given = header(request.headers, "X-Discourse-Event-Signature")
        if not sha256_signed(self._settings.secrets, given, request.body):
            self.counts["refused.signature" if given else "refused.stranger"] += 1
            return Response(403)
        if len(request.body) > MAX_ITEM:
            return Response(413)
        self.counts["refused.signature"] = 0
        try:
            return self._taken(*wire.pushed(request.headers, request.body))
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            return Response(200, b"put aside", _TEXT, (broken(self.name, error, request.body),))

    def _taken(self, event: str, row: Mapping[str, object]) -> Response:
        """Answer with the post inside; the service stores it before the answer leaves."""
        kind = wire.EVENTS.get(event)
        if kind is None:
            self.counts["pushed.other"] += 1
            if event.startswith("topic_"):
                self._watch.hurry()  # a topic takes its posts along
            return Response(200, b"ok", _TEXT)
        self.counts["pushed"] += 1
        if why := self._scope.outside(row):
            self.counts[f"ignored.{why}"] += 1
            return Response(200, b"ok", _TEXT)
        if kind is not PostKind.REMOVAL and wire.is_gone(row):
            kind = PostKind.REMOVAL  # an author's own removal is told as an edit
        kinds = (kind, PostKind.POST) if kind is PostKind.RESTORE else (kind,)
        return Response(200, b"ok", _TEXT, tuple(self._forum.read(row, each) for each in kinds))

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect, author)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        return await self._hand.read_back(effect)

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Read the newest posts, try a moderator's page, and say how pushes come in."""
        faults = []
        try:
            await self._api.ask("/posts.json")
            if self._settings.moderates and not await self._may_moderate():
                faults.append(health.no_moderator().format(name=self._settings.api_username))
        except ConnectorError as error:
            faults.append(health.trouble(error))
        said = faults or [health.reading(self._watch.looks, len(self._scope.categories))]
        pushes = health.pushes(self.counts, bool(self._settings.secrets), self._path())
        is_refusing = bool(self.counts["refused.signature"])
        if not faults or is_refusing:
            said.append(pushes)
        if self._hand.waiting:
            said.append(health.waiting(self._hand.waiting))
        names = frozenset(map(str, self.capabilities))
        counts = Counter(self.counts) + self._watch.counts
        detail = {key: str(count) for key, count in sorted(counts.items())}
        return Health(not faults and not is_refusing, " ".join(said), names, detail)

    async def _may_moderate(self) -> bool:
        try:
            await self._api.ask("/review.json", [("status", "pending")])
        except Refused as error:
            if error.status in (401, 403, 404):
                return False
            raise
        return True

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._closed.set()
        self._watch.close()
        await self._api.close()


__all__ = ["Discourse", "Settings", "connector"]
