"""What a QQ channel can say of its own state, in words a person can act on."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from connectors._limits import id_of
from connectors._onebot_api import Api, ask, attempt
from connectors._onebot_history import ACTION, page_params
from connectors._onebot_wire import STRICT, UNKNOWN, NoAction, profile_of
from monitor.core.errors import ConnectorError, Rejected, Unavailable
from monitor.core.model import Health
from monitor.core.ports import Capability
from monitor.words import _


class _Channel(Protocol):
    name: str
    capabilities: frozenset[Capability]
    counts: Counter[str]


class _Times(Protocol):
    @property
    def call_seconds(self) -> float: ...


async def examine(api: Api | None, channel: _Channel, groups: list[str], times: _Times) -> Health:
    """Return the health of a channel; ``api`` is None when nothing is connected."""
    detail = {key: str(count) for key, count in sorted(channel.counts.items())}
    names = frozenset(str(each) for each in channel.capabilities)
    if api is None:
        path = f"/onebot/v11/{channel.name}"
        words = _("QQ 程序还没有连上。请在 QQ 程序里把反向 WebSocket 指向本服务的 {path}，口令与这里一致。")
        return Health(False, words.format(path=path), names, detail)
    try:
        status = await ask(api, "get_status", {}, times.call_seconds)
    except ConnectorError as error:
        return Health(False, _("QQ 程序没有应答：{error}").format(error=error), names, detail)
    version = await attempt(api, "get_version_info", {}, times.call_seconds)
    faults = (
        []
        if isinstance(status, dict) and status.get("online") is True
        else [_("QQ 账号已掉线，请重新登录。")]
    )
    if Capability.READ_BACK in channel.capabilities and not await _has_history(api, version, groups, times):
        channel.capabilities -= {Capability.READ_BACK}
        faults.append(_("这个 QQ 程序不提供历史消息：断线期间的消息补不回来，发送结果不明时需要人工核对。"))
    faults += await _group_faults(api, groups, times)
    program = f"{version.get('app_name', UNKNOWN)} {version.get('app_version', '')}".strip()[:80]
    good = _("已连接 {program}，群内权限正常。").format(program=program)
    names = frozenset(str(each) for each in channel.capabilities)
    return Health(not faults, " ".join(faults) or good, names, detail)


async def _has_history(api: Api, version: dict[str, Any], groups: list[str], times: _Times) -> bool:
    profile = profile_of(version.get("app_name"))
    try:
        await ask(api, ACTION, page_params(profile, groups[0], None), times.call_seconds)
    except NoAction:
        return False
    except (Rejected, Unavailable):
        return profile != STRICT
    return True


async def _group_faults(api: Api, groups: list[str], times: _Times) -> list[str]:
    login = await attempt(api, "get_login_info", {}, times.call_seconds)
    own = id_of(login.get("user_id"))
    try:
        listed = await ask(api, "get_group_list", {}, times.call_seconds)
    except ConnectorError:
        return [_("读不到群列表。")]
    present = (
        {id_of(row.get("group_id")) for row in listed if isinstance(row, dict)}
        if isinstance(listed, list)
        else set()
    )
    faults = []
    for group in groups:
        if group not in present:
            faults.append(_("账号不在群 {group} 里：请先加群，或从设置里去掉。").format(group=group))
        elif own is not None and await _role(api, group, own, times) == "member":
            faults.append(_("账号在群 {group} 里不是管理员：可以回复，不能撤回或禁言。").format(group=group))
    return faults


async def _role(api: Api, group: str, own: str, times: _Times) -> object:
    params = {"group_id": int(group), "user_id": int(own), "no_cache": True}
    member = await attempt(api, "get_group_member_info", params, times.call_seconds)
    return member.get("role")
