"""What a Discourse channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping

from connectors._discourse_api import Refused
from monitor.core.errors import ConnectorError, RateLimited
from monitor.words import _


def trouble(error: ConnectorError) -> str:
    """Return in words why the forum cannot be read, and the mend."""
    if isinstance(error, RateLimited):
        return _("论坛要求稍后再调用：会自动继续；常见时请把 poll_seconds 调大。")
    if isinstance(error, Refused) and error.status in (401, 403):
        return _("论坛不认这个 API 密钥：请核对 api_key 与 api_username，必要时在论坛后台重新生成。")
    if isinstance(error, Refused):
        return _("这个地址上没有论坛接口（HTTP {code}）：请核对设置 url。").format(code=error.status)
    return _("连不上论坛，或应答的不是 Discourse：请检查设置 url，以及这台机器能否访问它。")


def no_moderator() -> str:
    """Return in words that the account may not moderate, and the mend."""
    return _("密钥没有版主权限，不能删除、恢复和禁言：请把 {name} 设为版主，或设置 moderates = false。")


def reading(looks: int, categories: int) -> str:
    """Return in words what is read."""
    if categories:
        return _("论坛可读，只收 {n} 个版块的帖子，启动以来看过 {looks} 次。").format(
            n=categories, looks=looks
        )
    return _("论坛可读，收全部公开版块的帖子，启动以来看过 {looks} 次。").format(looks=looks)


def pushes(counts: Mapping[str, int], has_secret: bool, path: str) -> str:
    """Return in words how webhooks come in."""
    if counts.get("refused.signature"):
        return _("收到的推送签名不对：请让论坛后台 Webhook 的 Secret 与这里的 secrets 相同。")
    if not has_secret:
        return _("没有设置推送密钥，只靠定时查看；编辑和删除会晚一些知道。")
    if counts.get("pushed"):
        return _("推送正常，启动以来收到 {n} 条。").format(n=counts["pushed"])
    return _("启动以来还没有收到推送：请在论坛后台添加 Webhook，地址以 {path} 结尾。").format(path=path)


def waiting(count: int) -> str:
    """Return in words that answers wait for approval in the forum."""
    return _("有 {n} 条答复在论坛里等待审核才会显示：请把答复账号设为版主。").format(n=count)
