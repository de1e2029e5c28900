"""What a Discuz! channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connectors._discuz_api import Closed, Moved, Refused, SignInRefused
from monitor.core.errors import ConnectorError, RateLimited
from monitor.words import _


def trouble(error: ConnectorError) -> str:
    """Return in words why the forum cannot be read, and the mend."""
    if isinstance(error, SignInRefused):
        return _sign_in(error.name)
    if isinstance(error, Closed):
        return _closed(str(error))
    if isinstance(error, RateLimited):
        return _("论坛要求稍后再来，会自动继续。")
    if isinstance(error, Moved):
        return _(
            "论坛把我们转到了别的地址：请在浏览器里打开论坛，把地址栏里的地址（例如 https 开头的）填进 url。"
        )
    if isinstance(error, Refused):
        return _forum(error.name)
    return _("连不上论坛，或它没有正常应答：请检查设置 url，以及这台机器能否打开论坛首页。")


def _sign_in(name: str) -> str:
    if name.startswith("submit_sec"):
        return _(
            "论坛登录要验证码：请站长在“全局 → 验证设置”里关掉登录验证码，"
            "或者在 password 里改填浏览器登录后的两个 Cookie（…_auth 和 …_saltkey）。"
        )
    if name.startswith("login_question"):
        return _("这个账号设了安全提问：请在论坛里取消它的安全提问。")
    if name == "login_strike":
        return _("密码错得太多，论坛把登录锁住了：等 15 分钟，并核对 username 和 password。")
    if name == "cookies":
        return _(
            "Cookie 已经失效：请在浏览器里重新登录（勾选“自动登录”），再把新的两个 Cookie 填进 password。"
        )
    if name.startswith("login_"):
        return _("账号或密码不对：请核对 username 和 password。")
    return _("论坛不让这个账号登录（{code}）：请在浏览器里用它登录一次，看看论坛说什么。").format(code=name)


def _closed(told: str) -> str:
    if "mobile_is_closed" in told:
        return _(
            '论坛关着手机接口：请站长在“全局 → 手机版访问设置”里开启手机版，或改用 source = "rss"（只能看到主题）。'
        )
    if "module_not_exists" in told:
        return _(
            '论坛的手机接口缺少需要的模块：请站长更新“掌上论坛”插件，或改用 source = "rss"（只能看到主题）。'
        )
    return _(
        '论坛的手机接口打不开（/api/mobile/index.php）：请站长放行这台机器的地址，或改用 source = "rss"（只能看到主题）。'
    )


def _forum(name: str) -> str:
    if name == "forum_nonexistence":
        return _("没有这个版块：请核对 forums，版块编号就是版块网址里 fid 后面的数字。")
    words = _("论坛不让我们看这个版块（{code}）：请给账号所在的用户组开放浏览权限。")
    return words.format(code=name or "-")


def feed_trouble(error: ConnectorError) -> str:
    """Return in words why the forum's feed cannot be read, and the mend."""
    if "switched off" in str(error):
        return _("论坛关着 RSS：请站长在“全局 → 站点功能”里开启 RSS。")
    if isinstance(error, RateLimited):
        return _("论坛要求稍后再来，会自动继续。")
    return _("读不到论坛的 RSS：请检查设置 url 和 forums，以及这台机器能否打开论坛首页。")


def reading(site: Mapping[str, object], names: Sequence[str]) -> str:
    """Return in words what is read."""
    version = str(site.get("truediscuzversion") or site.get("discuzversion") or "?")[:20]
    words = _("论坛连接正常（Discuz! {version}），正在看版块：{names}。")
    return words.format(version=version, names="、".join(name[:40] for name in names))


def acting(is_visitor: bool, moderates: bool) -> str:
    """Return in words what may be done."""
    if is_visitor:
        return _("没有填账号，只能看，不能答复；需要答复请填 username 和 password。")
    if moderates:
        return _("账号是版主：可以答复、屏蔽、恢复和删除。")
    return _("账号不是版主：只能答复；要屏蔽或删除，请站长把它设为这个版块的版主。")


def feeding(count: int) -> str:
    """Return in words what is read by the feed."""
    return _("RSS 正常，正在看 {n} 个版块的新主题；RSS 看不到回复，也不能答复。").format(n=count)


__all__ = ["acting", "feed_trouble", "feeding", "reading", "trouble"]
