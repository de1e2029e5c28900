"""Comments of a WordPress site, over its REST interface: nothing has to be installed there.

With an application password of an editor all comments are read, the waiting ones too, and they can be answered, held,
put into the trash and approved again; without one, what is public is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors._comments_book import Book
from connectors._comments_channel import CommentSystem
from connectors._comments_settings import refuse_address, refuse_numbers
from connectors._comments_watch import Pace
from connectors._settings import read, refuse, setting
from connectors._wordpress_api import SYSTEM, WordPress
from monitor.core.ports import ChannelConfig


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``wordpress``."""

    url: str = setting("Address of the site, e.g. https://union.example.org, with its folder if it has one.")
    user: str = setting("User name of the account that Huiyin uses (role editor); empty to only read.", "")
    app_password: str = setting("Application password of that account, as WordPress shows it once.", "")
    pending: bool = setting("Whether comments that wait for approval are read too.", True)
    poll_seconds: float = setting("Seconds between two looks at the newest comments.", 30.0)
    rescan_seconds: float = setting("Seconds between two looks at all comments that are watched.", 1800.0)
    watched: int = setting("How many of the newest comments are watched for edits and removals.", 500)
    history_days: float = setting("Days of older comments that are read when the channel begins.", 30.0)
    call_seconds: float = setting("Seconds to wait for the answer to a call.", 15.0)


def connector(config: ChannelConfig) -> CommentSystem:
    """Return the connector of one WordPress site.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read(Settings, config)
    refuse_address(config, settings.url)
    refuse_numbers(config, settings)
    if bool(settings.user.strip()) != bool(settings.app_password.strip()):
        raise refuse(config, "app_password", "and `user` belong together: give both, or neither")
    if ":" in settings.user:
        raise refuse(config, "user", "holds a colon; give the user name, without the password")
    platform = WordPress(
        config.name, settings.url, settings.user.strip(), settings.app_password.strip(), settings.call_seconds
    )
    secret = settings.app_password or settings.url
    book = Book(config.name, secret, settings.pending, settings.watched)
    pace = Pace(settings.poll_seconds, settings.rescan_seconds, settings.history_days)
    return CommentSystem(config.name, platform, book, pace, SYSTEM)


__all__ = ["Settings", "connector"]
