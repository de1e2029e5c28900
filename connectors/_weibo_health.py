"""What a Weibo channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from connectors._weibo_api import NO_RIGHT, Refused, Token, TokenRefused
from monitor.core.errors import ConnectorError, RateLimited
from monitor.words import _

SOON = 3
"""Days before its end from which an access token is talked about."""


def trouble(error: ConnectorError) -> str:
    """Return in words why Weibo cannot be asked, and the mend."""
    if isinstance(error, TokenRefused):
        words = _(
            "授权已失效（错误码 {code}）：请用工会的微博重新授权，把新的 access_token 填进 access_token。"
        )
        return words.format(code=error.number)
    if isinstance(error, RateLimited):
        return _("微博的调用次数用完了，会自动继续；如果经常这样，请把 poll_seconds 调大。")
    if isinstance(error, Refused):
        return _refused(error.number)
    return _("连不上微博接口，或它没有正常应答：请检查这台机器能否访问 api.weibo.com。")


def _refused(number: int) -> str:
    if number == 10004:
        return _("微博不允许这台机器调用（10004）：请在应用的“安全设置”里加上这台机器的公网地址。")
    if number == 21321:
        return _("应用还没有通过审核（21321）：请在微博开放平台提交审核，或把工会的微博加为测试账号。")
    if number in NO_RIGHT:
        return _("应用没有评论接口的权限（{code}）：请在微博开放平台申请。").format(code=number)
    return _("微博拒绝了（错误码 {code}）。").format(code=number)


def listening(mentions: bool, commercial: bool) -> str:
    """Return in words what is read, and what Weibo leaves out."""
    what = _("正在看收到的评论和 @ 工会的内容。") if mentions else _("正在看收到的评论。")
    if commercial:
        return what + _("用的是商业接口，评论是全的，也可以删除自己微博下的评论。")
    return what + _(
        "注意：普通接口只给出一部分评论（授权过本应用的用户的），不是全部；"
        "要看全需要商业接口，或者从微博导出后用 huiyin import 导入。"
    )


def lasting(token: Token) -> str:
    """Return in words how long the access token is good."""
    if token.days is None:
        return _("微博没有说授权到哪天为止。")
    if token.days < SOON:
        return _("授权只剩 {n} 天，请尽快重新授权。").format(n=token.days)
    return _("授权还有 {n} 天。").format(n=token.days)


__all__ = ["lasting", "listening", "trouble"]
