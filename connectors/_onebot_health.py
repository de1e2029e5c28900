"""What a QQ channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connectors._limits import id_of
from connectors._onebot_api import Api, ask, attempt
from connectors._onebot_history import ACTION, page_params
from connectors._onebot_wire import STRICT, UNKNOWN, NoAction, profile_of
from monitor.core.errors import ConnectorError, Rejected, Unavailable
from monitor.words import _


@dataclass(slots=True)
class Findings:
    """What a look at the QQ program brought: its name, faults in words, our role in each group, its history."""

    program: str = UNKNOWN
    faults: list[str] = field(default_factory=list)
    roles: dict[str, str] = field(default_factory=dict)
    has_history: bool = True

    def words(self) -> str:
        """Return one line for the person who asked."""
        good = _("已连接 {program}，群内权限正常。").format(program=self.program)
        return " ".join(self.faults) or good


def trouble(kind: str, path: str) -> str:
    """Return in words why nothing is connected.

    Args:
        kind: ``token``, ``account``, ``address``, ``posted`` or empty for nothing known.
        path: our own address for reverse connections.
    """
    if kind == "token":
        return _("口令不一致：请在 QQ 程序和这里填写同一个口令。")
    if kind == "account":
        return _("连上来的是另一个 QQ 账号：请改用登记的账号，或修改设置 self_id。")
    if kind == "address":
        return _("连不上 QQ 程序的地址：请确认 QQ 程序已启动，地址和端口填写正确。")
    if kind == "posted":
        return _("只收到 HTTP 上报：能听，不能回复和撤回。要回复，请设置 api_url 或改用反向 WebSocket。")
    words = _("QQ 程序还没有连上。请在 QQ 程序里把反向 WebSocket 指向本服务的 {path}，口令与这里一致。")
    return words.format(path=path)


async def examine(api: Api, groups: list[str], seconds: float) -> Findings:
    """Ask the QQ program who it is, whether it is online, and what we may do in each group."""
    found = Findings()
    try:
        status = await ask(api, "get_status", {}, seconds)
    except ConnectorError:
        found.faults = [_("QQ 程序没有应答，请查看它的窗口或日志。")]
        return found
    if not isinstance(status, dict) or status.get("online") is not True:
        found.faults.append(_("QQ 账号已掉线，请重新登录。"))
    version = await attempt(api, "get_version_info", {}, seconds)
    name = version.get("app_name")
    found.program = f"{name or UNKNOWN} {version.get('app_version', '')}".strip()[:80]
    found.has_history = await _has_history(api, profile_of(name), groups[0], seconds)
    if not found.has_history:
        found.faults.append(
            _("这个 QQ 程序不提供历史消息：断线期间的消息补不回来，发送结果不明时需要人工核对。")
        )
    await _look_at_groups(api, groups, seconds, found)
    return found


async def _has_history(api: Api, profile: str, group: str, seconds: float) -> bool:
    try:
        await ask(api, ACTION, page_params(profile, group, None), seconds)
    except NoAction:
        return False
    except (Rejected, Unavailable):
        return profile != STRICT
    return True


async def _look_at_groups(api: Api, groups: list[str], seconds: float, found: Findings) -> None:
    login = await attempt(api, "get_login_info", {}, seconds)
    try:
        listed = await ask(api, "get_group_list", {}, seconds)
    except ConnectorError:
        found.faults.append(_("读不到群列表。"))
        return
    rows = listed if isinstance(listed, list) else []
    present = {id_of(row.get("group_id")) for row in rows if isinstance(row, dict)}
    found.roles = await roles_of(api, [g for g in groups if g in present], login.get("user_id"), seconds)
    for group in groups:
        if group not in present:
            found.faults.append(_("账号不在群 {group} 里：请先加群，或从设置里去掉。").format(group=group))
        elif found.roles.get(group) == "member":
            found.faults.append(
                _("账号在群 {group} 里不是管理员：可以回复，不能撤回或禁言。").format(group=group)
            )


async def roles_of(api: Api, groups: list[str], own: Any, seconds: float) -> dict[str, str]:
    """Return our role (owner, admin, member) in each group where the QQ program tells it."""
    user = id_of(own)
    if user is None or not user.isdecimal():
        return {}
    roles: dict[str, str] = {}
    for group in groups:
        params = {"group_id": int(group), "user_id": int(user), "no_cache": True}
        role = (await attempt(api, "get_group_member_info", params, seconds)).get("role")
        if role in ("owner", "admin", "member"):
            roles[group] = role
    return roles
