"""A WeChat official account: messages that readers send it, and the comments under its articles.

Messages are pushed to us (plain or encrypted XML); comments are looked at from time to time. Answers leave as
customer-service messages, or as the one reply that the account may give to a comment.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from connectors import _wechat_health as health
from connectors._limits import broken
from connectors._settings import read, refuse, setting
from connectors._signing import same
from connectors._wechat_api import Api
from connectors._wechat_comments import Comments, Pace
from connectors._wechat_crypto import Cipher, OtherAccount, key_of, signature
from connectors._wechat_effects import Hand
from connectors._wechat_ids import Article, Members, article_of
from connectors._wechat_wire import Ignored, fields_of, read_message
from monitor.core.errors import ConnectorError, Malformed
from monitor.core.model import Effect, Health
from monitor.core.ports import Capability, ChannelConfig, Incoming, Request, Response, Route

_TEXT: Mapping[str, str] = {"Content-Type": "text/plain; charset=utf-8"}
_MESSAGES = frozenset({Capability.LISTEN, Capability.REPLY})
_COMMENTS = frozenset({Capability.REMOVE, Capability.READ_BACK})
_CHOICE = frozenset({Capability.HIDE, Capability.RESTORE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``wechat``."""

    appid: str = setting("AppID of the official account (wx...).")
    app_secret: str = setting("AppSecret of the official account.")
    token: str = setting(
        "Token of the server configuration: 3 to 32 letters and digits, the same on both sides.",
        made="letters",
    )
    aes_secret: str = setting(
        "EncodingAESKey of the server configuration; after a change the former one too, behind a space; empty only in plain mode.",
        "",
        ask=True,
        made="aes",
    )
    comments: bool = setting("Whether to look at the comments under articles.", True)
    articles: tuple[str, ...] = setting(
        "Articles whose comments are looked at in any case, as WeChat numbers them, e.g. 12003_1.", ()
    )
    find_articles: bool = setting("Whether to ask WeChat which articles were read in the last week.", True)
    only_elected_shown: bool = setting(
        "Whether readers see only chosen comments; where they see all, none can be hidden.", True
    )
    poll_seconds: float = setting("Seconds between two looks at the comments of a fresh article.", 600.0)
    fresh_days: float = setting("Days for which an article counts as fresh.", 14.0)
    slow_seconds: float = setting("Seconds between two looks at the comments of an older article.", 86_400.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 10.0)
    retry_seconds: float = setting("Longest wait after a failed look.", 300.0)
    clock_seconds: float = setting(
        "Seconds by which the time of an unencrypted push may differ from ours.", 300.0
    )
    api_url: str = setting("Address of WeChat's interface.", "https://api.weixin.qq.com")


def connector(config: ChannelConfig) -> WeChat:
    """Return the connector of one official account.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    for key, where in (("appid", "AppID"), ("app_secret", "AppSecret"), ("token", "Token")):
        if not getattr(settings, key).strip():
            raise refuse(config, key, f"is empty: copy the {where} from the account's console")
    if any(key_of(text) is None for text in settings.aes_secret.split()):
        raise refuse(
            config, "aes_secret", "is an EncodingAESKey: 43 letters and digits, as the console shows it"
        )
    if wrong := [text for text in settings.articles if article_of(text) is None]:
        raise refuse(config, "articles", f"holds {wrong[0]!r}; an article is named like 12003_1")
    if not settings.api_url.startswith(("https://", "http://")):
        raise refuse(config, "api_url", "begins with https://")
    for key in ("poll_seconds", "slow_seconds", "call_seconds", "retry_seconds", "clock_seconds"):
        if not getattr(settings, key) > 0:
            raise refuse(config, key, "is a number of seconds above 0")
    return WeChat(config.name, settings)


class WeChat:
    """One official account (see :class:`monitor.core.ports.Connector`)."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._members = Members(settings.app_secret, name)
        self._ciphers = [
            Cipher(key, settings.appid) for text in settings.aes_secret.split() if (key := key_of(text))
        ]
        self._api = Api(settings.api_url, settings.appid, settings.app_secret, settings.call_seconds)
        self._comments = Comments(
            name,
            self._api,
            _articles(settings),
            settings.comments and settings.find_articles,
            Pace(
                settings.poll_seconds,
                settings.slow_seconds,
                settings.fresh_days * 86_400,
                settings.retry_seconds,
            ),
            self._weigh,
        )
        self._hand = Hand(self._api, self._comments, self._members, settings.only_elected_shown)
        self._trouble = ""
        self._closed = asyncio.Event()

        self.capabilities = self._capabilities()

    def _capabilities(self) -> frozenset[Capability]:
        """Return what the channel can do now; without the right to comments only answering is left."""
        if not self._settings.comments or not self._comments.has_right:
            return _MESSAGES
        return _MESSAGES | _COMMENTS | (_CHOICE if self._settings.only_elected_shown else frozenset())

    def _weigh(self) -> None:
        self.capabilities = self._capabilities()

    # --- listening -----------------------------------------------------------------------------------

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield comments after ``cursor`` until closed; messages come through the route."""
        if not self._settings.comments:
            await self._closed.wait()
            return
        async with aclosing(self._comments.posts(cursor)) as batches:
            async for batch in batches:
                yield batch

    def routes(self) -> Sequence[Route]:
        """Return the one path that WeChat verifies with GET and pushes to with POST."""
        return (Route(self._path(), handle=self._asked),)

    def _path(self) -> str:
        return f"/wechat/{self.name}"

    async def _asked(self, request: Request) -> Response:
        if self._closed.is_set():
            return Response(503)
        if request.method == "GET":
            return self._verified(request)
        if request.method != "POST":
            return Response(405)
        if self._ciphers:
            return self._encrypted(request)
        return self._plain(request)

    def _verified(self, request: Request) -> Response:
        echo = request.query.get("echostr", "")
        if not self._is_signed(request.query):
            return self._unsigned(request.query)
        self._trouble = ""
        self.counts["verified"] += 1
        return Response(200, echo.encode("utf-8", "replace"), _TEXT)

    def _is_signed(self, query: Mapping[str, str], *more: str) -> bool:
        """Say whether the query is signed with our Token: over ``more`` too, as secure mode does."""
        stamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        wanted = signature(self._settings.token, stamp, nonce, *more)
        given = query.get("msg_signature" if more else "signature", "")
        return same(given, wanted) and bool(stamp and nonce)

    def _refuse(self, why: str) -> Response:
        self._trouble = why
        self.counts[f"refused.{why}"] += 1
        return Response(403)

    def _unsigned(self, query: Mapping[str, str]) -> Response:
        """Refuse what is signed wrongly; a stranger who signs nothing says nothing of our settings."""
        if query.get("timestamp") and (query.get("signature") or query.get("msg_signature")):
            return self._refuse("signature")
        self.counts["refused.stranger"] += 1
        return Response(403)

    def _plain(self, request: Request) -> Response:
        if not self._is_signed(request.query):
            return self._unsigned(request.query)
        if request.query.get("msg_signature"):
            return self._refuse("secret")
        if not self._is_recent(request.query.get("timestamp", "")):
            return self._refuse("stale")
        return self._taken(request.body)

    def _is_recent(self, stamp: str) -> bool:
        """Say whether an unencrypted push is of now: its signature does not cover its body."""
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
            return False
        return abs(time.time() - int(stamp)) <= self._settings.clock_seconds

    def _encrypted(self, request: Request) -> Response:
        """Take an encrypted push; in compatible mode the plain twin beside it counts for nothing."""
        if not request.query.get("msg_signature"):
            is_ours = self._is_signed(request.query)
            return self._refuse("plain") if is_ours else self._unsigned(request.query)
        try:
            sealed = fields_of(request.body).get("Encrypt", "")
        except Malformed:
            return self._unsigned(request.query)  # the signature is over what cannot be found in it
        if not sealed or not self._is_signed(request.query, sealed):
            return self._unsigned(request.query)
        try:
            return self._taken(self._decrypted(sealed))
        except OtherAccount:
            return self._refuse("appid")
        except Malformed as error:
            self._trouble = "cipher"
            return self._broken(error, request.body)

    def _decrypted(self, sealed: str) -> bytes:
        """Decrypt with the first key that fits; raises Malformed, OtherAccount."""
        for number, cipher in enumerate(self._ciphers, 1):
            try:
                return cipher.decrypt(sealed)
            except OtherAccount:
                raise
            except Malformed:
                if number == len(self._ciphers):
                    raise
        raise Malformed("there is no key to read it with", "cipher")

    def _taken(self, body: bytes) -> Response:
        """Answer ``success`` with the post inside; the service stores it before the answer leaves."""
        try:
            item = read_message(self.name, body, self._members)
        except Malformed as error:
            return self._broken(error, body)
        self._trouble = ""
        self.counts["pushed"] += 1
        if isinstance(item, Ignored):
            self.counts[f"ignored.{item.kind}"] += 1
            return Response(200, b"success", _TEXT)
        return Response(200, b"success", _TEXT, (item,))

    def _broken(self, error: Malformed, body: bytes) -> Response:
        self.counts[f"broken.{error.reason}"] += 1
        return Response(200, b"success", _TEXT, (broken(self.name, error, body),))

    # --- acting --------------------------------------------------------------------------------------

    async def perform(self, effect: Effect, author: str | None) -> str:
        """Carry out one effect (see ``Connector.perform``)."""
        return await self._hand.perform(effect, author)

    async def read_back(self, effect: Effect) -> str | None:
        """Look whether ``effect`` happened (see ``Connector.read_back``)."""
        return await self._hand.read_back(effect)

    # --- saying how it is ----------------------------------------------------------------------------

    async def check(self) -> Health:
        """Get an access token, ask for the comments of one article, and say how pushes come in."""
        faults = [health.push_trouble(self._trouble)] if self._trouble else []
        try:
            await self._api.token()
            if self._settings.comments:
                await self._comments.try_one()
        except ConnectorError as error:
            faults.append(health.trouble(error))
        told = " ".join(faults) or self._good()
        names = frozenset(str(each) for each in self.capabilities)
        detail = {key: str(count) for key, count in sorted(self.counts.items())}
        return Health(not faults, told, names, detail)

    def _good(self) -> str:
        said = [health.pushes(self.counts["pushed"] + self.counts["verified"], self._path())]
        if self._settings.comments:
            said.append(health.watched(len(self._comments.shelf), self._comments.cannot_find))
            if self._comments.refused:
                said.append(health.without_comments(len(self._comments.refused)))
        return " ".join(said)

    async def close(self) -> None:
        """Stop looking and close every connection; may be called twice."""
        self._closed.set()
        self._comments.close()
        await self._api.close()


def _articles(settings: Settings) -> list[Article]:
    found = (article_of(text) for text in settings.articles)
    return [article for article in found if article is not None]


__all__ = ["Settings", "WeChat", "connector"]
