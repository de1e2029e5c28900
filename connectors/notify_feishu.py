"""A robot of a Feishu (飞书) group, signed. Source: Feishu open platform, custom bot guide."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors._notify_http import Post, is_address
from connectors._notify_robot import Kind, Robot
from connectors._settings import read, refuse, setting
from monitor.core.ports import NotifierConfig

KIND: Final = Kind(
    codes=("code", "StatusCode"),
    hurried={11232: 60.0},
    refused={
        9499: "the request does not fit; is the address the one of a custom bot?",
        19001: "the address of the robot is not valid any more; copy it again",
        19021: "the signature is wrong, or the clock of this machine is over an hour off",
        19022: "the address of this machine is not on the robot's list",
        19024: "the robot wants a keyword in every message: set keyword",
    },
    longest=18_000,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a notifier of type ``feishu``."""

    webhook_secret: str = setting(
        "Address of the robot as Feishu shows it (https://open.feishu.cn/...); it is a secret."
    )
    sign_secret: str = setting("Secret of the signature check (签名校验); empty when it is off.", "")
    keyword: str = setting("Word that the robot's security settings want in every message, if any.", "")
    call_seconds: float = setting("Seconds to wait for an answer.", 10.0)


def signature(secret: str, stamp: str) -> str:
    """Return the signature of a moment in seconds: moment and secret are the key, and the message is empty."""
    digest = hmac.digest(f"{stamp}\n{secret}".encode(), b"", hashlib.sha256)
    return base64.b64encode(digest).decode()


def signed_body(secret: str, text: str, clock: Callable[[], float] = time.time) -> Mapping[str, Any]:
    """Return the body of a text, signed where there is a secret."""
    said = {"msg_type": "text", "content": {"text": text}}
    if not secret:
        return said
    stamp = str(int(clock()))
    return {"timestamp": stamp, "sign": signature(secret, stamp), **said}


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
        lambda text: signed_body(
            settings.sign_secret, text if not word or word in text else f"{word}\n{text}"
        ),
    )


__all__ = ["Settings", "notifier", "signature", "signed_body"]
