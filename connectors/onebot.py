"""QQ groups over OneBot v11: reverse and forward WebSocket, HTTP post with signature, HTTP calls.

OneBot drives an ordinary QQ account, which the platform does not officially permit: the account may be blocked.
Source: OneBot v11 and the observed habits of NapCat, LLOneBot, Lagrange.OneBot and go-cqhttp.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors import _onebot_health as health
from connectors import _onebot_wire as wire
from connectors._inbox import Inbox
from connectors._limits import broken, decode_json, id_of
from connectors._onebot_account import Account
from connectors._onebot_api import Api, ask
from connectors._onebot_catchup import CatchUp
from connectors._onebot_effects import Hand
from connectors._onebot_history import BEGINNING, Mark, Reach, catch_up, second_of
from connectors._onebot_talks import Line, Talks, stop
from connectors._settings import read, refuse, setting
from connectors._signing import header, same, sha1_signature
from monitor.core.errors import Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, EffectKind, Health, PostKind, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route, Socket

_REMEMBERED = 5_000
_ADMINS_ONLY = (EffectKind.REMOVE, EffectKind.MUTE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``onebot``."""

    groups: tuple[int, ...] = setting("Numbers of the union's own QQ groups; every other group is ignored.")
    token: str = setting("Access token shared with the QQ program, for sockets and calls.", "", made="token")
    url: str = setting(
        "Address of the QQ program's WebSocket (ws://...), when we connect to it; one ending in /event brings /api along.",
        "",
    )
    api_url: str = setting("Address of the QQ program's HTTP calls, when no WebSocket can be had.", "")
    secret: str = setting(
        "Secret of the HTTP post signature; without it posted events are refused.", "", made="token"
    )
    self_id: int = setting("QQ number of our own account; 0 takes it from the connection.", 0)
    profile: str = setting(f"Which QQ program speaks: auto, {', '.join(wire.PROFILES)}.", "auto")
    catch_up_hours: float = setting(
        "Hours of history, back from the newest message, read at the first connection; 0 reads none.", 24.0
    )
    catch_up_limit: int = setting("Most messages read per group after a gap.", 2000)
    history_pause: float = setting("Seconds between two calls for history.", 0.5)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    silence_seconds: float = setting("Seconds without any frame after which the connection is probed.", 90.0)
    retry_seconds: float = setting("Longest wait between two attempts to connect.", 60.0)
    poll_seconds: float = setting("Seconds between two looks at the history when only HTTP is set.", 300.0)


def connector(config: ChannelConfig) -> OneBot:
    """Return the connector of one channel of QQ groups.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    if not settings.groups or min(settings.groups) <= 0:
        raise refuse(config, "groups", "names the union's own groups by their numbers, e.g. [700001]")
    if not settings.token:
        raise refuse(config, "token", "is missing: set the same long random token here and in the QQ program")
    if settings.profile not in ("auto", *wire.PROFILES):
        raise refuse(config, "profile", f"is none of auto, {', '.join(wire.PROFILES)}")
    for key, schemes in (("url", ("ws://", "wss://")), ("api_url", ("http://", "https://"))):
        if (value := getattr(settings, key)) and not value.startswith(schemes):
            raise refuse(config, key, f"begins with {' or '.join(schemes)}")
    for key in ("call_seconds", "silence_seconds", "retry_seconds", "poll_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    return OneBot(config.name, settings)


class OneBot:
    """One channel of QQ groups (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._inbox = Inbox()
        self._account = Account(
            name,
            frozenset(map(str, settings.groups)),
            str(settings.self_id) if settings.self_id else None,
            "" if settings.profile == "auto" else settings.profile,
            self._inbox,
            self._weigh,
        )
        self.capabilities = self._account.capabilities()
        self.counts = self._account.counts
        self._behind = CatchUp(self._account.groups, self._inbox, settings.retry_seconds)
        line = Line(
            name,
            settings.url,
            settings.api_url,
            settings.token,
            settings.call_seconds,
            settings.silence_seconds,
            settings.retry_seconds,
        )
        self._talks = Talks(line, self._account, self._inbox, self._behind, self._take_event)
        self._greeting = asyncio.Lock()
        self._recalled: OrderedDict[tuple[str, str], str] = OrderedDict()

    @property
    def lacking(self) -> Mapping[str, frozenset[Capability]]:
        """Return group -> what our account cannot do there (see ``Connector``)."""
        return self._account.lacking()

    def _weigh(self) -> None:
        self.capabilities = self._account.capabilities()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield batches after ``cursor``; connects by itself where an address is set."""
        unsettled = self._inbox.resume(cursor)
        self._behind.broken()
        work = [self._behind.run(self._catch_up), *self._talks.dialling()]
        if self._settings.api_url and not self._settings.url:
            work.append(self._keep_polling())
        background = [self._talks.spawn(each) for each in work]
        if self._talks.links():
            self._behind.possible()
        self._inbox.is_read = True
        try:
            for batch in unsettled:
                yield batch
            while (following := await self._inbox.next()) is not None:
                yield following
        finally:
            self._inbox.is_read = False
            await stop(background)

    async def _keep_polling(self) -> None:
        """Look at the history from time to time: posted events are never sent twice, and some get lost."""
        while not self._talks.is_closed:
            if not len(self._talks):
                await self._account.greet(self._talks.api(), self._settings.call_seconds)
                self._behind.broken()
                self._behind.possible()
            await asyncio.sleep(self._settings.poll_seconds)

    def routes(self) -> Sequence[Route]:
        """Return the one path for reverse WebSockets and posted events."""
        return (Route(self._path(), handle=self._posted, accept=self._accept, socket=self._connected),)

    def _path(self) -> str:
        return f"/onebot/v11/{self.name}"

    def _accept(self, headers: Mapping[str, str], query: Mapping[str, str]) -> int | None:  # noqa: ARG002
        if self._talks.is_closed or self._inbox.is_stuck:
            return 503
        token = _token(headers)
        if not same(token, self._settings.token):
            return self._refuse("token", 403 if token else 401)
        if self._account.is_other(header(headers, "X-Self-ID"), alone=not len(self._talks)):
            return self._refuse("account", 403)
        return None

    def _refuse(self, why: str, status: int) -> int:
        self._account.trouble = why
        self.counts[f"{why}_refused"] += 1
        return status

    async def _connected(self, socket: Socket) -> None:
        self._account.note_id(header(socket.headers, "X-Self-ID"))
        self._account.trouble = ""
        role = header(socket.headers, "X-Client-Role").lower()
        await self._talks.serve(socket, role if role in ("api", "event") else "universal")

    async def _posted(self, request: Request) -> Response:
        given = header(request.headers, "X-Signature")
        if not given:
            return Response(401)
        wanted = sha1_signature(self._settings.secret, request.body)
        if not self._settings.secret or not same(given, wanted):
            self.counts["signature_refused"] += 1
            return Response(403)
        self.counts["posted"] += 1
        try:
            event = decode_json(request.body)
            if not isinstance(event, dict):
                raise Malformed("the event is not an object", "shape")
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            return Response(204, items=(broken(self.name, error, request.body),))
        async with self._greeting:
            if not self._account.profile and self._settings.api_url:
                await self._account.greet(self._talks.api(), self._settings.call_seconds)
        item = self._read(event)
        return Response(204, items=() if item is None else (item,))

    # --- events --------------------------------------------------------------------------------------

    async def _take_event(self, event: Mapping[str, Any]) -> None:
        item = self._read(event)
        if item is None:
            return
        if isinstance(item, Broken) or item.kind is not PostKind.POST:
            await self._inbox.put(item)
            return
        group = item.thread or ""
        mark = self._behind.move(group, _mark(second_of(event), item.external_id))
        await self._inbox.put(item, group, mark)

    def _read(self, event: Mapping[str, Any]) -> RawPost | Broken | None:
        try:
            item = wire.read_event(event, self._account.context())
        except Malformed as error:
            self.counts[f"broken.{error.reason}"] += 1
            return broken(self.name, error, repr(event), id_of(event.get("message_id")))
        if isinstance(item, wire.Ignored):
            self.counts[f"ignored.{item.kind}"] += 1
            self._account.follow(event)
            return None
        if item.kind is PostKind.REMOVAL and item.thread and item.handle:
            self._remember_recall(item.thread, item.handle)
        return item

    def _remember_recall(self, group: str, handle: str) -> None:
        self._recalled[group, handle] = f"recalled:{handle}"
        while len(self._recalled) > _REMEMBERED:
            self._recalled.popitem(last=False)

    # --- catching up ---------------------------------------------------------------------------------

    async def _catch_up(self, group: str) -> None:
        """Read what a group may have missed; raises Unavailable."""
        api = self._talks.api()
        since = self._inbox.mark(group)
        try:
            await self._read_history(api, group, since)
        except Rejected as error:
            self.counts["no_history"] += 1
            is_missing = isinstance(error, wire.NoAction)
            if is_missing:
                self._account.note_history(False)
            if since is not None and (is_missing or since != BEGINNING):
                await self._note_gap(group)
            await self._inbox.put(None, group, since or BEGINNING)

    async def _read_history(self, api: Api, group: str, since: Mark | None) -> None:
        async def call(action: str, params: Mapping[str, Any]) -> Any:
            return await ask(api, action, params, self._settings.call_seconds)

        settings, profile = self._settings, self._account.context().profile
        reach = Reach(settings.catch_up_hours, settings.catch_up_limit, settings.history_pause)
        found = await catch_up(call, profile, group, since, reach)
        self._account.note_history(True)
        if not found.complete:
            await self._note_gap(group)
        mark = since or BEGINNING
        is_wanted = since is not None or settings.catch_up_hours > 0
        for event in found.messages:
            whole = dict(event) | {"group_id": group, "post_type": "message", "message_type": "group"}
            item = self._read(whole)
            key = wire.external_id(whole, group, profile)
            mark = (_mark(second_of(whole), key) if key else None) or mark
            if item is not None and is_wanted:
                await self._inbox.put(item, group, mark)
        await self._inbox.put(None, group, mark)

    async def _note_gap(self, group: str) -> None:
        self.counts["gap"] += 1
        error = Malformed("messages were missed and the QQ program does not show them any more", "gap")
        await self._inbox.put(broken(self.name, error, b"", group))

    # --- acting --------------------------------------------------------------------------------------

    def _hand(self) -> Hand:
        settings, context = self._settings, self._account.context()
        return Hand(self._talks.api(), context, settings.call_seconds, settings.history_pause)

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        receipt = self._known_recall(effect)
        if receipt is not None:
            return receipt
        if effect.kind in _ADMINS_ONLY:
            await self._need_rights(effect.thread or "")
        return await self._hand().perform(effect, author)

    async def _need_rights(self, group: str) -> None:
        """Refuse what only an administrator may do where we were none; looks again first."""
        if not self._account.is_powerless(group):
            return
        await self._account.learn_roles(self._talks.api(), self._settings.call_seconds)
        if self._account.is_powerless(group):
            raise Rejected(
                "our QQ account is no administrator of the group; make it one in QQ, then try again"
            )

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        receipt = self._known_recall(effect)
        return receipt or await self._hand().read_back(effect)

    def _known_recall(self, effect: Effect) -> str | None:
        if effect.kind is not EffectKind.REMOVE or not effect.thread or not effect.handle:
            return None
        return self._recalled.get((effect.thread, effect.handle))

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Connect for real, ask the QQ program who and whether online, and what we may do in each group."""
        found: list[Health] = []

        async def examine(api: Api) -> None:
            found.append(await self._examine(api))

        try:
            if self._settings.url and not self._talks.links() and not self._talks.is_closed:
                await self._talks.look(examine)
            else:
                await examine(self._talks.api())
            return found[0]
        except Unavailable as error:
            return self._health(False, health.trouble(self._trouble(error), self._path()))

    def _trouble(self, error: Unavailable) -> str:
        if isinstance(error, wire.TokenRefused):
            return "token"
        if self._settings.url:
            return "address"
        return self._account.trouble or ("posted" if self.counts["posted"] else "")

    async def _examine(self, api: Api) -> Health:
        groups = sorted(self._account.groups)
        found = await health.examine(api, groups, self._settings.call_seconds)
        self._account.note_roles(found.roles)
        self._account.note_history(found.has_history)
        return self._health(not found.faults, found.words())

    def _health(self, ok: bool, words: str) -> Health:
        names = frozenset(str(each) for each in self.capabilities)
        return Health(ok, words, names, {key: str(count) for key, count in sorted(self.counts.items())})

    async def close(self) -> None:
        """Close every socket and task; may be called twice."""
        await self._inbox.close()
        await self._talks.close()


def _token(headers: Mapping[str, str]) -> str:
    """Return the token of a reverse connection; go-cqhttp calls the scheme ``Token``."""
    scheme, _space, token = header(headers, "Authorization").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def _mark(second: int, key: str) -> Mark | None:
    """Return how far a message moves the cursor: never into the future, for clocks jump."""
    return Mark(min(second, int(time.time())), key) if second else None
