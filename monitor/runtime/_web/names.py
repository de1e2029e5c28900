"""Names of things as the public reads them: kinds, states, grounds, and why an error stopped a form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from monitor.core.errors import BadInput, BadMove, Conflict, HuiyinError, NotAllowed, NotFound, StoreError
from monitor.core.model import Action, CaseKind, CaseState, Role, RuleCode
from monitor.core.workdays import SHANGHAI
from monitor.words import _


def moment(at: datetime) -> str:
    """Return a time as the wall clock of the university shows it."""
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


def day(at: datetime) -> str:
    """Return the day of a time at the university."""
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d")


def kind_name(kind: str) -> str:
    """Return a kind of case in words."""
    names: Mapping[str, str] = {
        CaseKind.MODERATION: _("内容审核"),
        CaseKind.GRIEVANCE: _("诉求"),
        CaseKind.CLARIFICATION: _("待澄清"),
        CaseKind.CARE: _("关怀"),
        CaseKind.APPEAL: _("申诉"),
    }
    return names[kind]


def state_name(state: str) -> str:
    """Return a state of a case in words."""
    names: Mapping[str, str] = {
        CaseState.PENDING: _("待处理"),
        CaseState.DECIDED: _("已处置"),
        CaseState.REGISTERED: _("已登记"),
        CaseState.ACCEPTED: _("已受理"),
        CaseState.DECLINED: _("不予受理"),
        CaseState.TRANSFERRED: _("已转办"),
        CaseState.RETURNED: _("已退回"),
        CaseState.IN_WORK: _("办理中"),
        CaseState.WAITING: _("待补充"),
        CaseState.EXTENDED: _("已延期"),
        CaseState.ANSWERED: _("已答复"),
        CaseState.RATED: _("已评价"),
        CaseState.REDO: _("重办"),
        CaseState.WITHDRAWN: _("已撤回"),
        CaseState.CLOSED: _("已办结"),
    }
    return names[state]


def action_name(action: str) -> str:
    """Return what was done to a post in words."""
    names: Mapping[str, str] = {
        Action.REMOVE: _("移除"),
        Action.HIDE: _("隐藏"),
        Action.MUTE: _("禁言"),
    }
    return names.get(action, action)


def decider_name(role: str) -> str:
    """Return in which role somebody decided."""
    names: Mapping[str, str] = {Role.MODERATOR: _("审核员"), Role.OFFICER: _("工会干部")}
    return names.get(role, _("工会"))


def rule_name(rule: str) -> str:
    """Return the ground of a restriction in words."""
    names: Mapping[str, str] = {
        RuleCode.SPAM_AD: _("垃圾广告"),
        RuleCode.FRAUD: _("诈骗"),
        RuleCode.FLOOD_DUPLICATE: _("刷屏"),
        RuleCode.DOXXING: _("泄露他人隐私"),
        RuleCode.INSULT_OR_THREAT: _("辱骂或威胁他人"),
        RuleCode.ILLEGAL: _("违法内容"),
        RuleCode.CONFIRMED_FALSEHOOD: _("已核实为不实"),
        RuleCode.AUTHORITY_ORDER: _("主管部门书面要求"),
        RuleCode.COPYRIGHT: _("侵犯著作权"),
        RuleCode.AUTHOR_REQUEST: _("作者本人要求"),
    }
    return names[rule]


def rule_meaning(rule: str) -> str:
    """Return what has to be shown before a post is restricted on this ground."""
    meanings: Mapping[str, str] = {
        RuleCode.SPAM_AD: _("与群或栏目无关的商业推广。"),
        RuleCode.FRAUD: _("骗取钱财、账号或个人信息的内容。"),
        RuleCode.FLOOD_DUPLICATE: _("短时间内反复发送同样的内容，妨碍他人说话。"),
        RuleCode.DOXXING: _("公开他人的电话、住址、证件号等隐私。"),
        RuleCode.INSULT_OR_THREAT: _("指向具体的人的辱骂或威胁；须引出原话。"),
        RuleCode.ILLEGAL: _("法律明文禁止的内容；须写明法律和条款。"),
        RuleCode.CONFIRMED_FALSEHOOD: _("经人工核实为不实，并已公开说明事实；须附上说明。"),
        RuleCode.AUTHORITY_ORDER: _("有主管部门的书面文件；须写明文号。"),
        RuleCode.COPYRIGHT: _("权利人提出并有依据的侵权内容。"),
        RuleCode.AUTHOR_REQUEST: _("作者本人要求处理自己的内容。"),
    }
    return meanings[rule]


def answerer_name(role: Role) -> str:
    """Return the mark under which answers of this role are given."""
    names: Mapping[Role, str] = {
        Role.LEADER: _("工会网络意见领袖"),
        Role.OFFICER: _("工会干部"),
        Role.HANDLER: _("承办单位"),
    }
    return names[role]


def trouble(error: HuiyinError) -> tuple[int, str]:
    """Return the status and the words for an error that stopped a form of a member."""
    if isinstance(error, NotFound):
        return 404, _("没有找到。请核对后再试。")
    if isinstance(error, NotAllowed):
        return 429, _("尝试次数太多，请一分钟后再试。")
    if isinstance(error, BadInput):
        return 422, _("填写的内容不完整或过长，请检查后再提交。")
    if isinstance(error, BadMove | Conflict):
        return 409, _("现在不能这样做：情况已经变化，请看最新状态。")
    if isinstance(error, StoreError):
        return 503, _("系统暂时无法保存，请稍后再提交。您写的内容还在下面。")
    return 500, _("出了一点问题，请稍后再试。")


__all__ = [
    "action_name",
    "answerer_name",
    "day",
    "decider_name",
    "kind_name",
    "moment",
    "rule_meaning",
    "rule_name",
    "state_name",
    "trouble",
]
