"""QQ groups by the platform's official bot: gateway or webhook, answers, recall within two minutes, mute.

The way that the platform permits. Source: QQ bot API v2 as of autumn 2026. There is no history for bots: what was
missed is told as a gap, and what was sent cannot be looked up.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from connectors import _qqbot_health as health
from connectors import _qqbot_wire as wire
from connectors._limits import MAX_ITEM, broken, decode_json
from connectors._qqbot_api import Api, Door
from connectors._qqbot_effects import Hand
from connectors._qqbot_gateway import Gateway, is_safe
from connectors._qqbot_inbox import Inbox, Place
from connectors._qqbot_rights import Rights
from connectors._qqbot_sign import has_signature, is_signed, key_of, validation
from connectors._qqbot_turns import Quota
from connectors._settings import read, refuse, setting
from connectors._signing import header, same
from monitor.core.errors import ConnectorError, Malformed, Rejected
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route

MARK_SECONDS: Final = 60.0
"""Seconds between two notes in the cursor that pushes could reach us."""
AWAY_SECONDS: Final = 180.0
"""Longest time between two such notes that is no gap."""
_REMEMBERED: Final = 5_000
_GROUP: Final = re.compile(r"[A-Za-z0-9_\-]{1,200}", re.ASCII)
_ACCEPTED: Final = b'{"op":12,"d":0}'
_JSON: Final = {"Content-Type": "application/json"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``qqbot``."""

    app_id: str | int = setting("AppID of the bot, from the QQ open platform.")
    secret: str = setting("AppSecret of the bot, from the same page; it also signs what is pushed.")
    groups: tuple[str, ...] = setting(
        "Openids of the union's own groups, as the health screen shows them; every other group is ignored.",
        (),
    )
    mode: str = setting(
        "How messages come: gateway (we connect to QQ) or webhook (QQ pushes to us).", "gateway"
    )
    api_url: str = setting("Address of QQ's bot service.", "https://api.bot.qq.com")
    token_url: str = setting("Address that gives access tokens; empty takes the usual path of api_url.", "")
    per_minute: int = setting(
        "Most messages without a question per minute; QQ allows 60 to certified bots and 30 to others.", 30
    )
    part_chars: int = setting("Most characters of one message; longer answers go out in parts.", 2000)
    call_seconds: float = setting("Seconds to wait for the answer to a call; QQ advises at least 5.", 6.0)
    retry_seconds: float = setting("Longest wait between two attempts to connect.", 60.0)


def connector(config: ChannelConfig) -> QQBot:
    """Return the connector of one bot.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    for key in ("app_id", "secret"):
        value = str(getattr(settings, key))
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise refuse(
                config, key, "is missing or holds other characters: copy it from the QQ open platform"
            )
    if settings.mode not in ("gateway", "webhook"):
        raise refuse(config, "mode", "is either gateway or webhook")
    if not all(map(_GROUP.fullmatch, settings.groups)):
        raise refuse(config, "groups", "names groups by their openids, as the health screen shows them")
    for key in ("api_url", "token_url"):
        value = getattr(settings, key)
        if not is_safe(value, ("https", "http")) and (value or key == "api_url"):
            raise refuse(config, key, "begins with https:// (http:// only on this machine)")
    for key, least in (("per_minute", 1), ("part_chars", 1000)):
        if getattr(settings, key) < least:
            raise refuse(config, key, f"is at least {least}")
    for key in ("call_seconds", "retry_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    return QQBot(config.name, settings)


class QQBot:
    """One bot in its groups (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._clock = clock
        self._key = key_of(settings.secret)
        self._rights = Rights(frozenset(settings.groups), self._weigh)
        self.capabilities = self._rights.capabilities()
        base = settings.api_url.rstrip("/")
        token_url = settings.token_url or f"{base}/app/getAppAccessToken"
        door = Door(name, base, token_url, str(settings.app_id), settings.secret, settings.call_seconds)
        self._api = Api(door)
        self._inbox = Inbox(clock)
        quota = Quota(settings.per_minute, time.monotonic)
        self._hand = Hand(self._api, self._rights, quota, self._age, settings.part_chars)
        self._gateway = Gateway(
            name, self._api, self, self.counts, settings.call_seconds, settings.retry_seconds
        )
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._quotable: OrderedDict[str, str] = OrderedDict()
        self._signature_failed = False
        self._closed = False
        self._work: set[asyncio.Task[None]] = set()

    @property
    def lacking(self) -> Mapping[str, frozenset[Capability]]:
        """Return group -> what the bot cannot do there (see ``Connector``)."""
        return self._rights.lacking()

    def _weigh(self) -> None:
        """Say what the bot can do as far as is known: recall and mute only where it is an administrator."""
        self.capabilities = self._rights.capabilities()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches after ``cursor``; keeps the gateway connected, or the notes of a webhook going."""
        if self._inbox.resume(cursor):
            self._heard.clear()
        if self._closed:
            return
        work = asyncio.create_task(self._guarded())
        self._work.add(work)
        try:
            while (batch := await self._inbox.next()) is not None:
                yield batch
        finally:
            self._work.discard(work)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _guarded(self) -> None:
        try:
            await (self._gateway.run() if self._settings.mode == "gateway" else self._keep_notes())
        except ConnectorError as error:
            await self._inbox.fail(error)

    async def _keep_notes(self) -> None:
        """Note in the cursor, minute by minute, that pushes could reach us; a longer silence before it is a gap."""
        while True:
            away = self._clock() - self._inbox.heard
            is_gap = self._inbox.heard > 0 and away > AWAY_SECONDS
            await self._inbox.put(self._gap() if is_gap else None, Place())
            await asyncio.sleep(MARK_SECONDS)

    def _gap(self) -> Broken:
        self.counts["gap"] += 1
        since = datetime.fromtimestamp(self._inbox.heard, UTC).isoformat()
        until = datetime.fromtimestamp(int(self._clock()), UTC).isoformat()
        error = Malformed("messages may have been missed, and QQ shows a bot no history", "gap")
        return broken(self.name, error, b"", f"{since}/{until}")

    # --- what the gateway tells (see Taker) ----------------------------------------------------------

    @property
    def place(self) -> Place:
        """Return up to where everything was taken."""
        return self._inbox.place

    async def begun(self, session: str, seq: int) -> None:
        """Begin a session; unless it is the first ever, something may be missing before it."""
        await self._inbox.put(self._gap() if self._inbox.heard else None, Place(session, seq))

    def lost(self) -> None:
        """Forget the session."""
        self._inbox.place = Place()

    def alive(self) -> None:
        """Note that nothing is missing up to now."""
        self._inbox.heard = int(self._clock())

    async def event(self, frame: Mapping[str, Any], raw: bytes, seq: int) -> None:
        """Take one event of the gateway; one that came before moves only the cursor."""
        item, place = self._read(frame, raw), Place(self._inbox.place.session, seq)
        if isinstance(item, RawPost) and item.external_id in self._heard:
            self.counts["repeated"] += 1
            item = None
        await self._inbox.put(item, place)
        if isinstance(item, RawPost):  # only now: what was not taken comes again
            self._note_heard(item.external_id)

    async def unreadable(self, error: Malformed, raw: bytes) -> None:
        """Take a frame that cannot be read."""
        await self._inbox.put(self._broken(error, raw), self._inbox.place)

    # --- events --------------------------------------------------------------------------------------

    def _read(self, event: Mapping[str, Any], raw: bytes) -> RawPost | Broken | None:
        news = wire.news_of(event)
        if news is not None:
            self._rights.follow(news)
        try:
            item = wire.read_event(event, wire.Context(self.name, self._rights.groups, self._quotable))
        except Malformed as error:
            return self._broken(error, raw)
        if isinstance(item, wire.Ignored):
            self.counts[f"ignored.{item.kind}"] += 1
            stranger = wire.group_of(event) if item.kind == "other_group" else None
            if stranger is not None:
                self._rights.note_stranger(stranger)
            return None
        own = wire.indices(wire.data_of(event)).own
        if own is not None:
            _remember(self._quotable, own, item.external_id)
        return item

    def _broken(self, error: Malformed, raw: bytes) -> Broken:
        self.counts[f"broken.{error.reason}"] += 1
        return broken(self.name, error, wire.without_secrets(raw))

    def _note_heard(self, message_id: str) -> None:
        """Note when a message came for the first time."""
        if message_id not in self._heard:
            _remember(self._heard, message_id, time.monotonic())

    def _age(self, message_id: str, at: datetime | None) -> float | None:
        """Return the seconds since a message came or, before our start, since it was said; None for unknown."""
        heard = self._heard.get(message_id)
        if heard is not None:
            return time.monotonic() - heard
        return None if at is None else self._clock() - at.timestamp()

    # --- webhook -------------------------------------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        """Return the path for pushes where messages are pushed; none where we connect ourselves."""
        return (Route(self._path(), handle=self._pushed),) if self._settings.mode == "webhook" else ()

    def _path(self) -> str:
        return f"/qqbot/{self.name}"

    async def _pushed(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(405)
        bot = header(request.headers, "X-Bot-Appid")
        if bot and not same(bot, str(self._settings.app_id)):
            self.counts["other_bot"] += 1
            return Response(401)
        is_good = is_signed(self._key, request.headers, request.body, self._clock())
        if not is_good and has_signature(request.headers):
            self._signature_failed = True
            self.counts["signature_refused"] += 1
            return Response(401)
        try:
            frame = decode_json(request.body[: MAX_ITEM + 1])
            if not isinstance(frame, dict):
                raise Malformed("the push is not an object", "shape")
        except Malformed as error:
            return (
                Response(200, _ACCEPTED, _JSON, (self._broken(error, request.body),))
                if is_good
                else Response(401)
            )
        if frame.get("op") == wire.VALIDATION:
            return self._validated(frame)
        if not is_good:
            self.counts["signature_refused"] += 1
            return Response(401)
        return self._received(frame, request.body)

    def _validated(self, frame: Mapping[str, Any]) -> Response:
        """Answer the question that QQ asks when the address is saved."""
        data = frame.get("d")
        asked: Mapping[str, Any] = data if isinstance(data, dict) else {}
        signature = validation(self._key, asked.get("plain_token"), asked.get("event_ts"))
        if signature is None:
            return Response(400)
        self.counts["validated"] += 1
        body = {"plain_token": asked["plain_token"], "signature": signature}
        return Response(200, json.dumps(body).encode(), _JSON)

    def _received(self, frame: Mapping[str, Any], raw: bytes) -> Response:
        """Read one signed push; what comes twice is told twice, for only the store knows what was kept."""
        self._signature_failed = False
        self.counts["pushed"] += 1
        item = self._read(frame, raw) if frame.get("op") == wire.DISPATCH else None
        if isinstance(item, RawPost):
            self._note_heard(item.external_id)
        return Response(200, _ACCEPTED, _JSON, () if item is None else (item,))

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect, author)

    async def read_back(self, effect: Effect) -> str | None:  # noqa: ARG002
        """Refuse: the platform shows a bot neither history nor its own messages."""
        raise Rejected("QQ shows a bot no history; look into the group whether it is there")

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Get a token for real, ask what the bot may do in each group, and say how messages come."""
        found = await health.examine(self._api, self._rights)
        self._look_at_the_way_in(found)
        names = frozenset(map(str, self.capabilities))
        detail = {key: str(count) for key, count in sorted(self.counts.items())}
        return Health(not found.faults, found.words(), names, detail)

    def _look_at_the_way_in(self, found: health.Findings) -> None:
        if self._settings.mode == "webhook":
            if self._signature_failed:
                found.faults.append(health.trouble("signature"))
            elif not self.counts["pushed"]:
                found.hints.append(health.no_push(self._path()))
        elif self._gateway.trouble:
            found.faults.append(health.trouble(self._gateway.trouble))

    async def close(self) -> None:
        """Close the gateway, every task and every connection; may be called twice."""
        self._closed = True
        await self._inbox.close()
        for work in list(self._work):
            work.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._api.close()


def _remember(memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
