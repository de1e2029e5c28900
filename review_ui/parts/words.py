"""Names of things as people read them: kinds, states, rules, scores, times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from monitor.core.model import (
    Action,
    Actor,
    CaseKind,
    CaseState,
    ClaimState,
    EffectState,
    Label,
    ReplyState,
    Role,
    RuleCode,
    Signal,
)
from monitor.words import _

HERE = ZoneInfo("Asia/Shanghai")


def role_name(role: Role) -> str:
    """Return the screen name of a role."""
    names: Mapping[Role, str] = {
        Role.MODERATOR: _("审核员"),
        Role.LEADER: _("意见领袖"),
        Role.OFFICER: _("工会干部"),
        Role.HANDLER: _("承办人"),
        Role.CUSTODIAN: _("保密员"),
        Role.ADMIN: _("管理员"),
        Role.MEMBER: _("教职工"),
        Role.SYSTEM: _("系统"),
    }
    return names[role]


def role_names(actor: Actor) -> list[str]:
    """Return the screen names of an actor's roles in a fixed order."""
    return [role_name(role) for role in Role if role in actor.roles]


def role_word(code: str) -> str:
    """Return the screen name for a role's code as events store it."""
    return role_name(Role(code)) if code in set(Role) else code


def kind_name(kind: CaseKind) -> str:
    """Return the screen name of a kind of case."""
    names: Mapping[CaseKind, str] = {
        CaseKind.MODERATION: _("内容审核"),
        CaseKind.GRIEVANCE: _("诉求"),
        CaseKind.CLARIFICATION: _("待澄清"),
        CaseKind.CARE: _("关怀"),
        CaseKind.APPEAL: _("申诉"),
    }
    return names[kind]


def state_name(state: CaseState) -> str:
    """Return the screen name of a case's state."""
    names: Mapping[CaseState, str] = {
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


def action_name(action: Action) -> str:
    """Return what a decision did, as a verb."""
    names: Mapping[Action, str] = {
        Action.KEEP: _("通过"),
        Action.REMOVE: _("移除"),
        Action.HIDE: _("隐藏"),
        Action.MUTE: _("禁言"),
        Action.RESTORE: _("恢复"),
        Action.UPHOLD: _("维持"),
        Action.ESCALATE: _("上报"),
        Action.DISMISS: _("无需处理"),
    }
    return names[action]


def rule_name(rule: RuleCode) -> str:
    """Return the ground of a restriction in words."""
    names: Mapping[RuleCode, str] = {
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


def reply_state_name(state: ReplyState) -> str:
    """Return where an answer stands."""
    names: Mapping[ReplyState, str] = {
        ReplyState.DRAFT: _("草稿"),
        ReplyState.APPROVED: _("已批准"),
        ReplyState.SENT: _("已发出"),
        ReplyState.FAILED: _("发送失败"),
        ReplyState.WITHDRAWN: _("已撤回"),
    }
    return names[state]


def claim_state_name(state: ClaimState) -> str:
    """Return the verdict about a statement."""
    names: Mapping[ClaimState, str] = {
        ClaimState.UNVERIFIED: _("待核实"),
        ClaimState.TRUE: _("属实"),
        ClaimState.FALSE: _("不实"),
        ClaimState.PARTLY: _("部分属实"),
        ClaimState.OPINION: _("观点"),
        ClaimState.EXPIRED: _("过期"),
    }
    return names[state]


def effect_state_name(state: EffectState) -> str:
    """Return where an outgoing act stands."""
    names: Mapping[EffectState, str] = {
        EffectState.NEW: _("等待发出"),
        EffectState.SENDING: _("正在发出"),
        EffectState.UNKNOWN: _("结果未知"),
        EffectState.SENT: _("已发出"),
        EffectState.NEEDS_HUMAN: _("需要人工"),
        EffectState.CANCELLED: _("已取消"),
    }
    return names[state]


def label_name(label: Label) -> str:
    """Return the question that a signal answers."""
    names: Mapping[Label, str] = {
        Label.SPAM: _("广告"),
        Label.RUMOUR: _("待核说法"),
        Label.GRIEVANCE: _("诉求"),
        Label.ABUSE: _("辱骂"),
        Label.RISK: _("人身风险"),
        Label.SENTIMENT: _("情绪"),
        Label.TOPIC: _("主题"),
        Label.URGENCY: _("紧急程度"),
    }
    return names[label]


def topic_name(key: str) -> str:
    """Return the screen name of a topic key; an unknown key is shown as it is."""
    names: Mapping[str, str] = {
        "pay": _("薪酬绩效"),
        "title": _("职称评聘"),
        "workload": _("工作量与考核"),
        "contract": _("合同编制人事"),
        "housing": _("住房公寓"),
        "children": _("子女入学托育"),
        "health": _("医疗体检"),
        "canteen": _("食堂后勤"),
        "facilities": _("设施停车班车"),
        "welfare": _("工会福利活动"),
        "reimbursement": _("报销与教学科研条件"),
        "safety": _("校园安全与师德"),
        "retirement": _("退休养老"),
        "other": _("其他"),
        "": _("未分类"),
    }
    return names.get(key, key)


def sentiment_name(key: str) -> str:
    """Return the screen name of a sentiment."""
    names: Mapping[str, str] = {
        "negative": _("负面"),
        "neutral": _("中性"),
        "positive": _("正面"),
        "": _("未判断"),
    }
    return names.get(key, key)


def urgency_name(key: str) -> str:
    """Return the screen name of an urgency."""
    names: Mapping[str, str] = {"high": _("紧急"), "normal": _("一般"), "low": _("不急")}
    return names.get(key, key)


def likely(signal: Signal) -> str:
    """Return a signal in words: how sure the machine is, and of what."""
    name = label_name(signal.label)
    if signal.score >= 0.9:
        return _("很可能是{what}").format(what=name)
    if signal.score >= 0.7:
        return _("可能是{what}").format(what=name)
    return _("也许是{what}").format(what=name)


def moment(at: datetime | None) -> str:
    """Return a time as the wall clock here shows it."""
    return _("无") if at is None else at.astimezone(HERE).strftime("%m-%d %H:%M")


def ago(at: datetime, now: datetime) -> str:
    """Return how long ago ``at`` was, in one short word."""
    passed = max(now - at, timedelta())
    minutes = int(passed.total_seconds() // 60)
    steps: tuple[tuple[int, Callable[[], str]], ...] = (
        (1, lambda: _("刚刚")),
        (60, lambda: _("{n} 分钟前").format(n=minutes)),
        (48 * 60, lambda: _("{n} 小时前").format(n=minutes // 60)),
    )
    for limit, word in steps:
        if minutes < limit:
            return word()
    return _("{n} 天前").format(n=minutes // 1440)


def until(at: datetime, now: datetime) -> str:
    """Return how much time is left until ``at``, or by how much it has passed."""
    hours = int((at - now).total_seconds() // 3600)
    if hours < 0:
        late = -hours
        return _("逾期 {n} 天").format(n=late // 24) if late >= 48 else _("逾期 {n} 小时").format(n=late)
    return _("还剩 {n} 天").format(n=hours // 24) if hours >= 48 else _("还剩 {n} 小时").format(n=hours)
