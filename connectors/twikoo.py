"""Comments kept by a Twikoo server, read and moderated with the password of its administration."""

from __future__ import annotations

from dataclasses import dataclass

from connectors._comments_book import Book
from connectors._comments_channel import CommentSystem
from connectors._comments_settings import refuse_address, refuse_numbers
from connectors._comments_watch import Pace
from connectors._settings import read, refuse, setting
from connectors._twikoo_api import SYSTEM, Twikoo
from monitor.core.ports import ChannelConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``twikoo``."""

    url: str = setting("Address of the Twikoo server: the envId in the web site's configuration.")
    password: str = setting("Password of Twikoo's administration panel.")
    nick: str = setting("Name under which the union answers.", "工会")
    mail: str = setting(
        "Mail address under which the union answers; the owner's one of Twikoo shows its badge.", ""
    )
    pending: bool = setting("Whether comments that are held for review or taken for spam are read too.", True)
    poll_seconds: float = setting("Seconds between two looks at the newest comments.", 30.0)
    rescan_seconds: float = setting("Seconds between two looks at all comments that are watched.", 1800.0)
    watched: int = setting("How many of the newest comments are watched for edits and removals.", 500)
    history_days: float = setting("Days of older comments that are read when the channel begins.", 30.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 15.0)


def connector(config: ChannelConfig) -> CommentSystem:
    """Return the connector of one Twikoo server.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    refuse_address(config, settings.url)
    refuse_numbers(config, settings)
    if not settings.password:
        raise refuse(config, "password", "is empty: give the password of Twikoo's administration panel")
    if not settings.nick.strip():
        raise refuse(config, "nick", "is empty: an answer carries the name of who answers")
    if settings.mail and "@" not in settings.mail:
        raise refuse(config, "mail", "is no mail address")
    platform = Twikoo(
        config.name,
        settings.url,
        settings.password,
        settings.nick.strip(),
        settings.mail,
        settings.call_seconds,
    )
    book = Book(config.name, settings.password, settings.pending, settings.watched)
    pace = Pace(settings.poll_seconds, settings.rescan_seconds, settings.history_days)
    return CommentSystem(config.name, platform, book, pace, SYSTEM)


__all__ = ["Settings", "connector"]
