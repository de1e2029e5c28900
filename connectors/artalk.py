"""Comments kept by an Artalk server (version 2), read and moderated as its administrator."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors._artalk_api import SYSTEM, Artalk
from connectors._comments_book import Book
from connectors._comments_channel import CommentSystem
from connectors._comments_settings import refuse_address, refuse_numbers
from connectors._comments_watch import Pace
from connectors._settings import read, refuse, setting
from monitor.core.ports import ChannelConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``artalk``."""

    url: str = setting("Address of the Artalk server, without /api.")
    site: str = setting("Name of the site in Artalk's control center.")
    email: str = setting("Mail address of the administrator's account that Huiyin uses.")
    password: str = setting("Password of that account.")
    name: str = setting("Name of that account, where several have the same mail address.", "")
    timezone: str = setting("Time zone of the Artalk server's clock.", "Asia/Shanghai")
    pending: bool = setting("Whether comments that wait for approval are read too.", True)
    poll_seconds: float = setting("Seconds between two looks at the newest comments.", 30.0)
    rescan_seconds: float = setting("Seconds between two looks at all comments that are watched.", 1800.0)
    watched: int = setting("How many of the newest comments are watched for edits and removals.", 500)
    history_days: float = setting("Days of older comments that are read when the channel begins.", 30.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 15.0)


def connector(config: ChannelConfig) -> CommentSystem:
    """Return the connector of one site of an Artalk server.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    refuse_address(config, settings.url)
    refuse_numbers(config, settings)
    for key in ("site", "email", "password"):
        if not getattr(settings, key).strip():
            raise refuse(config, key, "is empty")
    try:
        zone = ZoneInfo(settings.timezone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise refuse(config, "timezone", "is no time zone; the usual one is Asia/Shanghai") from None
    platform = Artalk(
        config.name,
        settings.url,
        settings.site.strip(),
        settings.email.strip(),
        settings.name.strip(),
        settings.password,
        zone,
        settings.call_seconds,
    )
    book = Book(config.name, settings.password, settings.pending, settings.watched)
    pace = Pace(settings.poll_seconds, settings.rescan_seconds, settings.history_days)
    return CommentSystem(config.name, platform, book, pace, SYSTEM)


__all__ = ["Settings", "connector"]
