"""What a WeChat channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from connectors._wechat_api import Refused, TokenRefused
from monitor.core.errors import ConnectorError, RateLimited
from monitor.words import _


def trouble(error: ConnectorError) -> str:
    """Return in words why WeChat cannot be asked, and the mend; the only refusal that gets here is a missing right."""
    if isinstance(error, TokenRefused):
        return _token_trouble(error)
    if isinstance(error, RateLimited):
        return _("微信要求稍后再调用：今天的调用次数可能已用完，会自动继续。")
    if isinstance(error, Refused):
        return _("公众号没有留言接口的权限（48001）：需要已认证的公众号；没有权限时请设置 comments = false。")
    return _("连不上微信接口，或它没有正常应答：请检查这台机器能否访问 api.weixin.qq.com。")


def _token_trouble(error: TokenRefused) -> str:
    if error.number == 40164:
        words = _("微信不允许这台机器调用：请在公众平台的 IP 白名单里加上 {address}。")
        return words.format(address=error.address or _("本机的公网地址"))
    if error.number in (40013, 40002):
        return _("AppID 不对：请核对设置 appid。")
    if error.number in (40001, 40125):
        return _("AppSecret 不对或已重置：请重新填写 app_secret。")
    return _("微信不给 access_token（错误码 {code}）。").format(code=error.number)


def push_trouble(kind: str) -> str:
    """Return in words why a push was refused, and the mend.

    Args:
        kind: ``signature``, ``plain``, ``secret``, ``cipher``, ``appid`` or ``stale``.
    """
    if kind == "signature":
        return _("收到的推送签名不对：请在公众平台“服务器配置”里填写与这里相同的 Token。")
    if kind == "plain":
        return _("收到的推送没有加密：请在公众平台把消息加解密方式改成“安全模式”。")
    if kind == "secret":
        return _("收到的推送是加密的：请把 EncodingAESKey 填进 aes_secret。")
    if kind == "cipher":
        return _("收到的推送解不开：请核对 EncodingAESKey 与 aes_secret 是否相同。")
    if kind == "appid":
        return _("收到的推送属于另一个公众号：请核对设置 appid。")
    return _("收到的推送时间与本机相差太多：请校准本机时钟。")


def pushes(count: int, path: str) -> str:
    """Return in words how pushes come in."""
    if count:
        return _("推送正常，启动以来收到 {n} 条。").format(n=count)
    words = _("启动以来还没有收到推送：请在公众平台“服务器配置”里启用地址 {path}。")
    return words.format(path=path)


def watched(count: int, cannot_find: bool) -> str:
    """Return in words whose comments are looked at."""
    if cannot_find:
        return _("正在看 {n} 篇文章的留言；微信没有告诉新文章的编号，请把它写进 articles。").format(n=count)
    return _("正在看 {n} 篇文章的留言。").format(n=count)


def without_comments(count: int) -> str:
    """Return in words how many articles refuse to show comments."""
    return _("其中 {n} 篇没有开通留言或已删除。").format(n=count)
