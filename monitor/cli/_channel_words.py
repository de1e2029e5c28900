"""A channel's state in words, and one connection for real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from monitor.core.model import Health
from monitor.core.ports import Capability
from monitor.core.workdays import SHANGHAI
from monitor.words import _

if TYPE_CHECKING:
    from datetime import datetime

    from monitor.adapters.guard import GuardedConnector
    from monitor.core.ports import ChannelStatus


def once(make: Callable[[], GuardedConnector]) -> Health:
    """Connect once from this process and close again."""

    async def connected() -> Health:
        connector = make()
        try:
            return await connector.check()
        finally:
            await connector.close()

    return asyncio.run(connected())


def _names() -> dict[str, str]:
    return {
        Capability.LISTEN: _("收取"),
        Capability.REPLY: _("答复"),
        Capability.REMOVE: _("移除"),
        Capability.HIDE: _("隐藏"),
        Capability.RESTORE: _("恢复显示"),
        Capability.MUTE: _("禁言"),
        Capability.READ_BACK: _("核对是否已发出"),
    }


def _listed(words: list[str]) -> str:
    return "、".join(words) or _("无")


def lines(name: str, health: Health, row: ChannelStatus | None) -> list[str]:
    """Return what a check found, for a person: what works, what does not, and how the channel did lately."""
    names, able = _names(), set(map(str, health.capabilities))
    found = [
        f"{'✓' if health.ok else '✗'} {name}：{health.message}",
        _("能做：{what}").format(what=_listed([word for key, word in names.items() if key in able])),
        _("不能：{what}").format(what=_listed([word for key, word in names.items() if key not in able])),
    ]
    if limits := sorted(word for word in able if "@" in word):
        found.append(_("受限：{what}").format(what=_listed(limits)))
    if row is not None:
        found += _lately(row)
    return found


def _lately(row: ChannelStatus) -> list[str]:
    last = _moment(row.last_post_at) or _("还没有")
    found = [_("最近一条：{at}，在路上 {lag}").format(at=last, lag=_span(row.lag))]
    if row.error_rate is not None:
        told = _("最近一两小时：尝试 {tries} 次，失败 {failures} 次（{rate}）")
        rate = f"{row.error_rate:.0%}"
        found.append(told.format(tries=row.tries, failures=row.failures, rate=rate))
    if row.next_retry_at is not None:
        found.append(_("下次重试：{at}").format(at=_moment(row.next_retry_at)))
    return found


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def _span(lag: timedelta | None) -> str:
    return _("未知") if lag is None else _("{n} 秒").format(n=f"{lag.total_seconds():,.0f}")


__all__ = ["lines", "once"]
