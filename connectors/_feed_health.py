"""What a feed channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from connectors._feed_watch import Elsewhere, Gone, Refused, Source
from connectors._limits import from_text
from monitor.core.errors import ConnectorError, Malformed, RateLimited
from monitor.words import _

GAP_TOLD: Final = timedelta(days=7)
"""How long a gap is told."""


def _name(place: int, source: Source) -> str:
    """Return how a feed is called: its host only, because the rest of an address may hold a secret."""
    return _("第 {n} 个源（{host}）").format(n=place, host=urlsplit(source.address).hostname or "?")


def trouble(place: int, source: Source, error: ConnectorError) -> str:
    """Return in words why a feed cannot be read, and the mend."""
    return _name(place, source) + _why(error)


def _why(error: ConnectorError) -> str:
    if isinstance(error, RateLimited):
        return _("要求稍后再来：会自动继续；常见时请把 poll_seconds 调大。")
    if isinstance(error, Gone):
        return _("已永久关闭（410）：请从 urls 里删去它。")
    if isinstance(error, Elsewhere):
        return _("转到了另一台主机：请在浏览器里打开核对，再把新地址写进 urls。")
    if isinstance(error, Refused) and error.status == 404:
        return _("不存在（404）：请核对地址。")
    if isinstance(error, Refused):
        return _("不让读取（{code}）：订阅源要能不登录就打开。").format(code=error.status)
    if isinstance(error, Malformed):
        return _malformed(error)
    return _("连不上或没有及时应答：请检查地址，以及这台机器能否访问它。")


def _malformed(error: Malformed) -> str:
    if error.reason == "xml_entity":
        return _("含有实体声明，可能是攻击，没有读取：请联系网站管理员。")
    if error.reason == "too_large":
        return _("超过 2 MiB，没有读取：请换一个条目少一些的地址。")
    return _("不是 RSS 或 Atom：请在浏览器里打开核对地址。")


def reading(sources: Sequence[Source]) -> str:
    """Return in words what is read, and what a feed cannot do."""
    words = _("{n} 个订阅源可读。订阅源只能听：不能答复和删除，也看不到原站的删除。")
    return words.format(n=len(sources))


def _is_fresh(gap_at: str) -> bool:
    at = from_text(gap_at, UTC)
    return at is not None and datetime.now(UTC) - at < GAP_TOLD


def remarks(sources: Sequence[Source]) -> list[str]:
    """Return in words what a person should know although everything can be read."""
    said = []
    for place, source in enumerate(sources, 1):
        if _is_fresh(source.row.gap_at):
            words = _("在 {at} 前后可能漏了帖子：两次查看之间条目太多，请把 poll_seconds 调小。")
            said.append(_name(place, source) + words.format(at=source.row.gap_at[:16].replace("T", " ")))
        if source.moved_to:
            said.append(_name(place, source) + _("已永久换了地址：请核对后把新地址写进 urls。"))
        if source.is_partial:
            said.append(_name(place, source) + _("内容不完整或格式有误，只读到一部分。"))
    return said
