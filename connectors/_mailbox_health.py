"""What a mailbox can say of its own state, in words a person can act on."""

from __future__ import annotations

from collections.abc import Mapping

from connectors import _mailbox_imap as imap
from connectors import _smtp as smtp
from monitor.core.errors import ConnectorError
from monitor.words import _


def reading(count: int) -> str:
    """Return in words that letters can be read."""
    return _("信箱可以收信，里面现有 {n} 封。").format(n=count)


def reading_trouble(error: ConnectorError) -> str:
    """Return in words why letters cannot be read, and the mend."""
    if isinstance(error, imap.SignInRefused):
        return _(
            "收信服务器不接受用户名和密码：请核对 user 与 password；多数国内邮箱要在网页版开启 IMAP 并改用授权码。"
        )
    if isinstance(error, imap.NoFolder):
        return _("信箱里没有设置 folder 指定的文件夹：请核对它的名字。")
    if isinstance(error, imap.Untrusted):
        return _("收信服务器的证书不可信：学校自建的证书请用 trusted_ca 指出签发机构的文件。")
    return _("连不上收信服务器，或它没有正常应答：请核对 host、port 与 security。")


def sending() -> str:
    """Return in words that answers can be sent."""
    return _("可以发信，答复会按原信的会话寄出。")


def no_sending() -> str:
    """Return in words that the channel only listens."""
    return _("没有设置 smtp_host，只收信，不能答复。")


def sending_trouble(error: ConnectorError) -> str:
    """Return in words why answers cannot be sent, and the mend."""
    if isinstance(error, smtp.SignInRefused):
        return _("发信服务器不接受用户名和密码：请核对 smtp_user 与 smtp_password（或授权码）。")
    if isinstance(error, smtp.Untrusted):
        return _("发信服务器的证书不可信：学校自建的证书请用 trusted_ca 指出签发机构的文件。")
    return _("连不上发信服务器，或它没有正常应答：请核对 smtp_host、smtp_port 与 smtp_security。")


def left_out(counts: Mapping[str, int]) -> str:
    """Return in words what came and is no post; empty when nothing did."""
    automatic, bounced = counts.get("ignored.auto_reply", 0), counts.get("broken.bounce", 0)
    said = []
    if automatic:
        said.append(_("启动以来略过 {n} 封自动回复。").format(n=automatic))
    if bounced:
        said.append(_("有 {n} 封退信在隔离区：可能有答复没有送到，请看信箱。").format(n=bounced))
    return " ".join(said)
