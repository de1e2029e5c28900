"""Comments kept by a Waline server, read and moderated as its administrator."""

from __future__ import annotations

from dataclasses import dataclass

from connectors._comments_book import Book
from connectors._comments_channel import CommentSystem
from connectors._comments_settings import refuse_address, refuse_numbers
from connectors._comments_watch import Pace
from connectors._settings import read, refuse, setting
from connectors._waline_api import SYSTEM, Waline
from monitor.core.ports import ChannelConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``waline``."""

    url: str = setting("Address of the Waline server, as the web site's own configuration names it.")
    email: str = setting("Mail address of the administrator's account that Huiyin uses.")
    password: str = setting("Password of that account; two-factor sign-in has to be off for it.")
    site_url: str = setting("Address of the web site that shows the comments, for links to them.", "")
    pending: bool = setting("Whether comments that wait for approval are read too.", True)
    poll_seconds: float = setting("Seconds between two looks at the newest comments.", 30.0)
    rescan_seconds: float = setting("Seconds between two looks at all comments that are watched.", 1800.0)
    watched: int = setting("How many of the newest comments are watched for edits and removals.", 500)
    history_days: float = setting("Days of older comments that are read when the channel begins.", 30.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 15.0)


def connector(config: ChannelConfig) -> CommentSystem:
    """Return the connector of one Waline server.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    refuse_address(config, settings.url)
    refuse_numbers(config, settings)
    if settings.site_url:
        refuse_address(config, settings.site_url, "site_url")
    for key in ("email", "password"):
        if not getattr(settings, key).strip():
            raise refuse(config, key, "is empty: an administrator's account of Waline is needed")
    platform = Waline(
        config.name,
        settings.url,
        settings.email.strip(),
        settings.password,
        settings.site_url,
        settings.call_seconds,
    )
    book = Book(config.name, settings.password, settings.pending, settings.watched)
    pace = Pace(settings.poll_seconds, settings.rescan_seconds, settings.history_days)
    return CommentSystem(config.name, platform, book, pace, SYSTEM)


__all__ = ["Settings", "connector"]
