"""What the bot may do in each group, as far as the platform has told: role, speaking by itself, hearing everything."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from connectors._limits import id_of
from connectors._qqbot_api import Api, path
from connectors._qqbot_errors import GroupLost, NotGranted
from connectors._qqbot_wire import News
from monitor.core.errors import Rejected
from monitor.core.ports import Capability

_POWER = frozenset({"admin", "owner"})
_POWERS = frozenset({Capability.REMOVE, Capability.MUTE})
_STRANGERS = 20


@dataclass(frozen=True, slots=True)
class State:
    """The bot in one group; None is not known."""

    role: str | None = None
    may_speak: bool | None = None
    hears: str | None = None
    is_there: bool = True
    can_tell: bool = True


class Rights:
    """The bot in its declared groups, and the groups it was heard in that are not declared.

    Args:
        groups: the declared groups.
        changed: called when the capabilities may have changed.
    """

    def __init__(self, groups: frozenset[str], changed: Callable[[], None]) -> None:
        self.groups = groups
        self._changed = changed
        self.strangers: OrderedDict[str, None] = OrderedDict()
        self._states: dict[str, State] = {}

    def state(self, group: str) -> State:
        """Return what is known of one group."""
        return self._states.get(group, State())

    def _note(self, group: str, state: State) -> None:
        self._states[group] = state
        self._changed()

    def note_stranger(self, group: str) -> None:
        """Remember a group that is not declared, so that a person can declare it."""
        self.strangers[group] = None
        while len(self.strangers) > _STRANGERS:
            self.strangers.popitem(last=False)

    def follow(self, news: News) -> None:
        """Learn from an event what became of the bot in a group."""
        if news.group not in self.groups:
            if news.what == "added":
                self.note_stranger(news.group)
            return
        state = self.state(news.group)
        if news.what == "gone":
            state = State(is_there=False)
        elif news.what == "added":
            state = State()
        else:
            state = replace(state, may_speak=news.what == "may_speak")
        self._note(news.group, state)

    async def learn(self, api: Api, group: str) -> State:
        """Ask for the bot's state in one group; raises Unavailable, RateLimited, Rejected for a lost credential."""
        try:
            told = await api.ask("see its own rights", path("v2", "groups", group, "bot_state"))
        except GroupLost:
            self._note(group, State(is_there=False))
        except NotGranted:
            self._note(group, replace(self.state(group), is_there=True, can_tell=False))
        else:
            may = told.get("allow_proactive_msg")
            role, hears = id_of(told.get("member_role")), id_of(told.get("recv_msg_setting"))
            self._note(group, State(role, may if isinstance(may, bool) else None, hears))
        return self.state(group)

    def is_powerless(self, group: str) -> bool:
        """Say whether, as far as is known, the bot is no administrator of the group."""
        state = self.state(group)
        return not state.is_there or (state.role is not None and state.role not in _POWER)

    def note_powerless(self, group: str) -> None:
        """Learn from a refusal that the bot is no administrator."""
        self._note(group, replace(self.state(group), role="member"))

    async def need_power(self, api: Api, group: str) -> None:
        """Refuse what only an administrator may do where the bot is none; looks again before it refuses."""
        state = self.state(group)
        if state.role in _POWER and state.is_there:
            return
        if state.can_tell or self.is_powerless(group):
            await self.learn(api, group)
        if self.is_powerless(group):
            raise Rejected("the bot is no administrator of the group; let its owner make it one in QQ")

    def lacking(self) -> dict[str, frozenset[Capability]]:
        """Return group -> what the bot cannot do there, for groups in which it is no administrator (M-13)."""
        return {group: _POWERS for group in self.groups if self.is_powerless(group)}

    def capabilities(self) -> frozenset[Capability]:
        """Return what the channel can do as far as is known; what was sent can never be looked up."""
        able = {Capability.LISTEN, Capability.REPLY}
        if not self.groups or not all(map(self.is_powerless, self.groups)):
            able |= {Capability.REMOVE, Capability.MUTE}
        return frozenset(able)


__all__ = ["Rights", "State"]
