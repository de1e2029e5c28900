"""What a comment channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from connectors._comments_site import Blocked, NeedsPerson, SignInRefused
from monitor.core.errors import ConnectorError, RateLimited, Rejected
from monitor.words import _


def trouble(system: str, error: ConnectorError) -> str:
    """Return in words why the site cannot be used, and the mend."""
    if isinstance(error, SignInRefused):
        return _("{system} 不接受这里填写的账号或密码：请按说明重新生成并填写。").format(system=system)
    if isinstance(error, RateLimited):
        return _("{system} 要求稍后再访问：会自动继续；若经常出现，请把 poll_seconds 调大。").format(
            system=system
        )
    if isinstance(error, Blocked):
        return _(
            "网站地址有应答，但不是 {system} 的接口：请核对 url；若有防火墙或登录页，请放行这台机器。"
        ).format(system=system)
    if isinstance(error, NeedsPerson):
        return _(
            "{system} 要求验证码或两步验证，程序无法完成：请为这个账号关闭它，或允许这台机器直接登录。"
        ).format(system=system)
    if isinstance(error, Rejected):
        return _("{system} 拒绝了读取评论：请检查账号的权限。").format(system=system)
    return _("连不上 {system}，或它没有正常应答：请检查网址，以及这台机器能否访问它。").format(system=system)


def no_right(system: str) -> str:
    """Return in words that the account may not moderate."""
    return _("账号能登录，但没有管理评论的权限：请在 {system} 里把它设为可以管理评论的角色。").format(
        system=system
    )


def clock(system: str) -> str:
    """Return in words that the newest comments are of the future."""
    return _("{system} 上最新评论的时间比本机的时钟还晚：请校准两边的时钟，并核对时区设置。").format(
        system=system
    )


def good(system: str, count: int, acts: bool) -> str:
    """Return in words that everything works."""
    if acts:
        return _("{system} 连接正常，能读取评论（最近 {n} 条可见），能答复、隐藏和恢复。").format(
            system=system, n=count
        )
    return _("{system} 连接正常，只读取公开评论（最近 {n} 条可见）；要答复和处置，请填写账号和密码。").format(
        system=system, n=count
    )


__all__ = ["clock", "good", "no_right", "trouble"]
