"""What is known of our own QQ account and the program that drives it; learned by asking and from notices."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from connectors import _onebot_wire as wire
from connectors._inbox import Inbox
from connectors._limits import id_of
from connectors._onebot_api import Api, attempt
from connectors._onebot_health import roles_of
from monitor.core.ports import Capability

_log = logging.getLogger("connectors.onebot")
_ALL = frozenset(
    {Capability.LISTEN, Capability.REPLY, Capability.REMOVE, Capability.MUTE, Capability.READ_BACK}
)
_POWERS = frozenset({Capability.REMOVE, Capability.MUTE})
_POWERLESS = ("member", "gone")


class Account:
    """Our account in the declared groups.

    Args:
        name: name of the channel, for the log.
        groups: the declared groups.
        self_id: the configured QQ number, or None to learn it.
        profile: the configured program, or empty to learn it.
        inbox: keeps the profile in the cursor, for ids depend on it.
        changed: called when the capabilities may have changed.
    """

    def __init__(
        self,
        name: str,
        groups: frozenset[str],
        self_id: str | None,
        profile: str,
        inbox: Inbox,
        changed: Callable[[], None],
    ) -> None:
        self.groups = groups
        self.self_id = self_id
        self.profile = profile
        self.roles: dict[str, str] = {}
        self.has_history = True
        self.trouble = ""
        self.counts: Counter[str] = Counter()
        self._name = name
        self._fixed_id = self_id
        self._fixed_profile = profile
        self._inbox = inbox
        self._changed = changed
        self._is_online = True

    def context(self) -> wire.Context:
        """Return what is needed to read an event."""
        profile = self.profile or self._inbox.profile or wire.UNKNOWN
        return wire.Context(self._name, self.groups, profile, self.self_id)

    def is_other(self, account: str, alone: bool) -> bool:
        """Say whether a connection speaks for another account; when ``alone``, it may replace one we learned."""
        ours = self._fixed_id or (None if alone else self.self_id)
        return bool(account) and ours not in (None, account)

    def note_id(self, account: object) -> None:
        """Learn our number, unless it is configured."""
        self.self_id = self._fixed_id or id_of(account) or self.self_id

    async def greet(self, api: Api, seconds: float) -> None:
        """Learn which program speaks and for whom."""
        version = await attempt(api, "get_version_info", {}, seconds)
        before = self._inbox.profile
        if not self._fixed_profile and version:
            self.profile = wire.profile_of(version.get("app_name"))
        self.profile = self.profile or before or wire.UNKNOWN
        if before not in ("", self.profile):
            self._inbox.forget_keys()  # another program makes other ids
        self._inbox.profile = self.profile
        self.note_id((await attempt(api, "get_login_info", {}, seconds)).get("user_id"))
        _log.info("onebot.connected channel=%s profile=%s", self._name, self.profile)

    async def learn_roles(self, api: Api, seconds: float) -> None:
        """Ask for our role in each group."""
        self.note_roles(await roles_of(api, sorted(self.groups), self.self_id, seconds))

    def note_roles(self, roles: Mapping[str, str]) -> None:
        """Learn our role in some groups."""
        self.roles.update(roles)
        self._changed()

    def note_history(self, has_history: bool) -> None:
        """Learn whether the program offers history: without it nothing can be read back."""
        self.has_history = has_history
        self._changed()

    def is_powerless(self, group: str) -> bool:
        """Say whether, as far as is known, we are no administrator of the group."""
        return self.roles.get(group) in _POWERLESS

    def capabilities(self) -> frozenset[Capability]:
        """Return what the channel can do as far as is known: by our role in the groups, and by the program."""
        gone: set[Capability] = set()
        if all(map(self.is_powerless, self.groups)):
            gone |= _POWERS
        if not self.has_history:
            gone |= {Capability.READ_BACK}
        return _ALL - gone

    def lacking(self) -> dict[str, frozenset[Capability]]:
        """Return group -> what we cannot do there, for groups in which we are no administrator (M-13)."""
        return {group: _POWERS for group in self.groups if self.is_powerless(group)}

    def follow(self, event: Mapping[str, Any]) -> None:
        """Learn from an event what became of us: logged out, made or unmade an administrator, put out."""
        news = wire.about_us(event, self.self_id)
        if news is None:
            return
        if news.group is None:
            if news.what == "offline" and self._is_online:
                self.counts["offline"] += 1
                _log.warning("onebot.offline channel=%s", self._name)
            self._is_online = news.what == "online"
        elif news.group in self.groups:
            _log.warning("onebot.rights channel=%s now=%s", self._name, news.what)
            self.note_roles({news.group: news.what})


__all__ = ["Account"]
