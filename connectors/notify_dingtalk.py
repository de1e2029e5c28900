"""A robot of a DingTalk (钉钉) group, signed. Source: DingTalk open platform, custom robots."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from connectors._notify_http import Post, is_address
from connectors._notify_robot import Kind, Robot
from connectors._settings import read, refuse, setting
from monitor.core.ports import NotifierConfig

KIND: Final = Kind(
    codes=("errcode",),
    hurried={130101: 600.0, 90030: 600.0, -1: 5.0},
    refused={
        310000: "keyword, signature, time or address of this machine do not fit the robot's security settings",
        300001: "the token in the address is not valid any more; copy the address of the robot again",
        300005: "the token in the address is not valid any more; copy the address of the robot again",
        400013: "the group of the robot was dissolved",
        400101: "the token in the address does not exist",
        400102: "the robot is switched off",
    },
    longest=18_000,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a notifier of type ``dingtalk``."""

    webhook_secret: str = setting(
        "Address of the robot as DingTalk shows it (https://oapi.dingtalk.com/...); it is a secret."
    )
    sign_secret: str = setting(
        "Secret of the signature (加签), SEC...; empty when the robot is not signed.", ""
    )
    keyword: str = setting("Word that the robot's security settings want in every message, if any.", "")
    everybody: bool = setting("Whether to mention everybody in the group (@all).", False)
    call_seconds: float = setting("Seconds to wait for an answer.", 10.0)


def signature(secret: str, stamp: str) -> str:
    """Return the signature of a moment in milliseconds: the secret is the key, and stands in the message too."""
    digest = hmac.digest(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def signed_query(secret: str, clock: Callable[[], float] = time.time) -> Mapping[str, str]:
    """Return what is added to the address of a signed robot."""
    if not secret:
        return {}
    stamp = str(round(clock() * 1000))
    return {"timestamp": stamp, "sign": signature(secret, stamp)}


def notifier(config: NotifierConfig) -> Robot:
    """Return the notifier of one robot; raises ConfigError naming the key and its mend."""
    settings = read(Settings, config)
    if not is_address(settings.webhook_secret):
        raise refuse(config, "webhook_secret", "is the whole address of the robot; it begins with https://")
    if not settings.call_seconds > 0:
        raise refuse(config, "call_seconds", "is a number of seconds above 0")
    word = settings.keyword.strip()
    return Robot(
        config.name,
        KIND,
        Post(settings.webhook_secret, settings.call_seconds),
        lambda text: {
            "msgtype": "text",
            "text": {"content": text if not word or word in text else f"{word}\n{text}"},
            "at": {"isAtAll": settings.everybody},
        },
        lambda: signed_query(settings.sign_secret),
    )


__all__ = ["Settings", "notifier", "signature", "signed_query"]
