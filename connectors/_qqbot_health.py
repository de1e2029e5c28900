"""What a channel of the QQ official bot can say of its own state, in words a person can act on."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors._qqbot_api import Api
from connectors._qqbot_errors import CredentialsRefused
from connectors._qqbot_rights import Rights
from monitor.core.errors import ConnectorError, RateLimited, Rejected
from monitor.words import _


@dataclass(slots=True)
class Findings:
    """What a look at the platform brought: faults that must be mended, and hints about what is not possible."""

    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def words(self) -> str:
        """Return one line for the person who asked."""
        return " ".join([*self.faults, *self.hints]) or _("已连接 QQ 官方机器人，群内权限正常。")


def trouble(kind: str) -> str:
    """Return in words what is wrong with the connection.

    Args:
        kind: ``credentials``, ``busy``, ``silent``, ``gateway``, ``signature``, ``closed.CODE`` or empty.
    """
    if kind == "credentials":
        return _("AppID 或 AppSecret 不对，或机器人已被封禁：请到 QQ 开放平台核对后重新填写。")
    if kind == "busy":
        return _("QQ 平台要求稍后再试：调用太频繁，或今天的连接次数用完了。")
    if kind == "silent":
        return _("QQ 平台没有应答：请检查本机能否访问设置 api_url 里的地址。")
    if kind == "gateway":
        return _("连不上 QQ 的消息网关：请检查网络是否放行 wss 连接。")
    if kind == "signature":
        return _("收到的推送签名不对：请核对 AppSecret，并检查本机时间。")
    if kind == "closed.4915":
        return _("机器人已被平台封禁：请到 QQ 开放平台查看原因并申诉。")
    if kind == "closed.4914":
        return _("机器人已下架，只能在沙箱使用：请到 QQ 开放平台提交上线。")
    if kind == "closed.4014":
        return _("机器人没有群消息权限：请到 QQ 开放平台申请群聊权限。")
    if kind.startswith("closed."):
        code = kind.removeprefix("closed.")
        return _("QQ 平台拒绝了这个机器人（代码 {code}）：请到 QQ 开放平台核对权限。").format(code=code)
    return ""


def no_push(path: str) -> str:
    """Return in words that nothing was pushed yet, and where to."""
    words = _(
        "还没有收到 QQ 的推送：请在 QQ 开放平台把回调地址设为 https://本单位域名{path}，并勾选群消息事件。"
    )
    return words.format(path=path)


async def examine(api: Api, rights: Rights) -> Findings:
    """Get a token, and ask what the bot may do in each group."""
    found = Findings()
    try:
        await api.token()
        for group in sorted(rights.groups):
            await rights.learn(api, group)
            _look_at(rights, group, found)
    except CredentialsRefused:
        found.faults.append(trouble("credentials"))
    except RateLimited:
        found.faults.append(trouble("busy"))
    except Rejected as error:
        found.faults.append(_("QQ 平台拒绝了查询：{why}").format(why=str(error)))
    except ConnectorError:
        found.faults.append(trouble("silent"))
    _look_around(rights, found)
    return found


def _look_at(rights: Rights, group: str, found: Findings) -> None:
    state = rights.state(group)
    if not state.is_there:
        found.faults.append(_("机器人不在群 {group} 里：请群主添加，或从设置里去掉。").format(group=group))
        return
    if not state.can_tell:
        found.hints.append(_("平台没有开放群 {group} 的权限查询，能做什么要试了才知道。").format(group=group))
        return
    if rights.is_powerless(group):
        words = _("机器人在群 {group} 里不是管理员：可以回复，不能撤回或禁言。")
        found.hints.append(words.format(group=group))
    if state.may_speak is False:
        words = _("群 {group} 没有允许机器人主动发言：超过五分钟的答复发不出去，请群主打开。")
        found.hints.append(words.format(group=group))
    if state.hears in ("only_mention", "mention_and_context"):
        words = _("群 {group} 只让机器人收到@它的消息：要听到全部消息，请群主打开“接收全部消息”。")
        found.hints.append(words.format(group=group))


def _look_around(rights: Rights, found: Findings) -> None:
    if rights.strangers:
        words = _(
            "还在这些没有登记的群里听到消息：{groups}。是工会自己的群就填进设置 groups，不是就让机器人退群。"
        )
        found.hints.append(words.format(groups="、".join(rights.strangers)))
    if not rights.groups:
        found.faults.append(
            _("还没有登记群：请先在群里@机器人说一句话，再刷新本页，把显示的群编号填进设置 groups。")
        )


__all__ = ["Findings", "examine", "no_push", "trouble"]
