"""A robot of a WeCom (企业微信) group. Source: WeCom developer documents, group robots (path 91770)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors._notify_http import Post, is_address
from connectors._notify_robot import Kind, Robot
from connectors._settings import read, refuse, setting
from monitor.core.ports import NotifierConfig

KIND: Final = Kind(
    codes=("errcode",),
    hurried={45009: 60.0, -1: 5.0},
    refused={
        93000: "the key in the address is not valid any more; copy the address of the robot again",
        40058: "the message is longer than the robot takes",
        93017: "the robot or its group was removed",
    },
    longest=2048,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a notifier of type ``wecom``."""

    webhook_secret: str = setting(
        "Address of the robot as WeCom shows it (https://qyapi.weixin.qq.com/...); it is a secret."
    )
    everybody: bool = setting("Whether to mention everybody in the group (@all).", False)
    call_seconds: float = setting("Seconds to wait for an answer.", 10.0)


def notifier(config: NotifierConfig) -> Robot:
    """Return the notifier of one robot; raises ConfigError naming the key and its mend."""
    settings = read(Settings, config)
    if not is_address(settings.webhook_secret):
        raise refuse(config, "webhook_secret", "is the whole address of the robot; it begins with https://")
    if not settings.call_seconds > 0:
        raise refuse(config, "call_seconds", "is a number of seconds above 0")
    mentioned = {"mentioned_list": ["@all"]} if settings.everybody else {}
    return Robot(
        config.name,
        KIND,
        Post(settings.webhook_secret, settings.call_seconds),
        lambda text: {"msgtype": "text", "text": {"content": text, **mentioned}},
    )


__all__ = ["Settings", "notifier"]
