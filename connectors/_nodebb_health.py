"""What a NodeBB channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from connectors._nodebb_api import Refused
from monitor.core.errors import ConnectorError, RateLimited
from monitor.words import _


def trouble(error: ConnectorError) -> str:
    """Return in words why the forum cannot be read, and the mend."""
    if isinstance(error, RateLimited):
        return _("论坛要求稍后再调用：会自动继续；常见时请把 poll_seconds 调大。")
    if isinstance(error, Refused) and error.status == 401:
        return _("论坛不认这个令牌：请核对 token，必要时在论坛后台的“API 访问”里重新生成。")
    if isinstance(error, Refused) and error.status == 403:
        return _("令牌的账号看不到帖子：请在论坛后台给它阅读版块的权限。")
    if isinstance(error, Refused):
        return _("这个地址上没有论坛接口（HTTP {code}）：请核对设置 url。").format(code=error.status)
    return _("连不上论坛，或应答的不是 NodeBB：请检查设置 url，以及这台机器能否访问它。")


def no_moderator(name: str) -> str:
    """Return in words that the account may not moderate, and the mend."""
    words = _("账号 {name} 不是版主，不能删除、恢复和禁言：请设为全局版主，或设置 moderates = false。")
    return words.format(name=name)


def reading(looks: int, categories: int) -> str:
    """Return in words what is read."""
    if categories:
        return _("论坛可读，只收 {n} 个版块的帖子，启动以来看过 {looks} 次。").format(
            n=categories, looks=looks
        )
    return _("论坛可读，收全部公开版块的帖子，启动以来看过 {looks} 次。").format(looks=looks)


def waiting(count: int) -> str:
    """Return in words that answers wait for approval in the forum."""
    return _("有 {n} 条答复在论坛里等待审核才会显示：请把答复账号设为版主。").format(n=count)
