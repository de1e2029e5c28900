"""Settings that the channels of comment systems share, and what cannot be one."""

from __future__ import annotations

import math
from typing import Protocol
from urllib.parse import urlsplit

from connectors._settings import refuse
from monitor.core.ports import ChannelConfig


class Paced(Protocol):
    """The settings that say how often a site is looked at."""

    @property
    def poll_seconds(self) -> float: ...
    @property
    def rescan_seconds(self) -> float: ...
    @property
    def watched(self) -> int: ...
    @property
    def history_days(self) -> float: ...
    @property
    def call_seconds(self) -> float: ...


def refuse_address(config: ChannelConfig, url: str, key: str = "url") -> None:
    """Refuse what is no address of a site; one may not hold a password, which would stand in logs.

    Raises: ConfigError.
    """
    try:
        parts = urlsplit(url.strip())
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise refuse(config, key, "is an address that begins with https://")
    if parts.username or parts.password:
        raise refuse(config, key, "holds a user name or password; give them in their own settings")
    if parts.query or parts.fragment:
        raise refuse(config, key, "ends at the path: leave out everything from ? or # on")


def refuse_numbers(config: ChannelConfig, settings: Paced) -> None:
    """Refuse numbers that cannot be.

    Raises: ConfigError.
    """
    for key in ("poll_seconds", "rescan_seconds", "call_seconds"):
        value = getattr(settings, key)
        if not (value > 0 and math.isfinite(value)):
            raise refuse(config, key, "is a number of seconds above 0")
    if not 0 <= settings.history_days <= 36_500:
        raise refuse(config, "history_days", "is a number of days, 0 to 36500")
    if not 100 <= settings.watched <= 10_000:
        raise refuse(config, "watched", "is a number from 100 to 10000")


__all__ = ["Paced", "refuse_address", "refuse_numbers"]
