"""How a post, its reasons and a case's history are drawn. Member text only ever passes through ``html.escape``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

import streamlit as st

from monitor.core.model import CaseEvent, Decision, Effect, Label, Post, Reading, Reason, Signal, SourceState
from monitor.usecases.views import CaseView, PostView
from monitor.words import _
from review_ui.parts import words

# Grounds can only be quoted from these; a grievance or a tone is never a ground (rule 2).
QUOTABLE = (Label.SPAM, Label.ABUSE, Label.RISK, Label.RUMOUR)
SHOWN = (Label.RISK, Label.SPAM, Label.ABUSE, Label.RUMOUR, Label.GRIEVANCE)
FOLD_AT = 0.9


def flagged(reading: Reading | None) -> list[Signal]:
    """Return the flagged signals of a reading, strongest first."""
    if reading is None:
        return []
    found = [s for s in reading.signals if s.flag and s.label in SHOWN]
    return sorted(found, key=lambda s: -s.score)


def spans(post: Post, reading: Reading | None, labels: Sequence[Label] = SHOWN) -> list[Reason]:
    """Return the reasons that truly lie in the text, strongest signal first, without repeats."""
    found: list[Reason] = []
    seen: set[tuple[int, int]] = set()
    for signal in flagged(reading):
        if signal.label not in labels:
            continue
        for reason in signal.reasons:
            place = (reason.start, reason.end)
            if 0 <= reason.start < reason.end <= len(post.text) and place not in seen:
                seen.add(place)
                found.append(reason)
    return found


def _merged(reasons: Iterable[Reason]) -> list[tuple[int, int]]:
    """Join overlapping spans into disjoint ones, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((r.start, r.end) for r in reasons):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def marked(text: str, reasons: Iterable[Reason]) -> str:
    """Return ``text`` as HTML: escaped, with ``<mark>`` around the reasons and nothing else."""
    parts: list[str] = []
    done = 0
    for start, end in _merged(reasons):
        parts += [escape(text[done:start]), "<mark>", escape(text[start:end]), "</mark>"]
        done = end
    parts.append(escape(text[done:]))
    return "".join(parts)


def must_fold(reading: Reading | None) -> bool:
    """Say whether the text is folded until the reader asks for it: strong abuse."""
    return reading is not None and reading.flagged(Label.ABUSE) and reading.score(Label.ABUSE) >= FOLD_AT


def text(view: PostView, *, folded: bool = False, small: bool = False, plain: bool = False) -> None:
    """Draw the words of a post with the matched places marked."""
    body = escape(view.post.text) if plain else marked(view.post.text, spans(view.post, view.reading))
    style = "hy-post" + (" hy-small" if small else "") + (" hy-plain" if plain else "")
    if folded:
        style += " hy-fold"
    quoted = view.post.quoted
    said = f'<p class="hy-line">{_("引用他人")}: {escape(quoted)}</p>' if quoted else ""
    st.html(f'{said}<p class="{style}" lang="zh-CN">{body}</p>')


def where(post: Post, now: datetime) -> str:
    """Return channel, thread and age of a post as HTML."""
    thread = f" · {escape(post.thread)}" if post.thread else ""
    gone = {
        SourceState.VISIBLE: "",
        SourceState.HIDDEN: " · " + _("已在来源隐藏"),
        SourceState.REMOVED: " · " + _("已在来源删除"),
    }[post.source_state]
    edited = " · " + _("第 {n} 版").format(n=post.revision) if post.revision > 1 else ""
    return f"<b>{escape(post.channel)}</b>{thread} · {words.ago(post.posted_at, now)}{edited}{gone}"


def meta(html: str) -> None:
    """Draw one line of small print; ``html`` is ours and already escaped."""
    st.html(f'<p class="hy-meta">{html}</p>')


def tags(names: Iterable[str], hot: bool = False) -> str:
    """Return small framed words as HTML."""
    style = "hy-tag hy-hot" if hot else "hy-tag"
    return "".join(f'<span class="{style}">{escape(name)}</span>' for name in names)


def signals(reading: Reading | None) -> None:
    """Say in words what the machine thinks, after the text: a suggestion, with its matched terms."""
    if reading is None or reading.tier == "none":
        meta(_("机器未能判断，请人工阅读。"))
        return
    found = flagged(reading)
    if not found:
        meta(_("机器没有发现需要处理的内容。"))
        return
    for signal in found:
        why = "；".join(dict.fromkeys(f"“{r.text}” {r.why}".strip() for r in signal.reasons[:4]))
        line = f"{tags([words.likely(signal)], hot=True)}<span>{signal.score:.0%}</span>"
        meta(f"{line} {escape(why)}" if why else line)


def note(kind: str, html: str) -> None:
    """Draw a framed line: ``note`` (information), ``done`` or ``halt``; ``html`` is ours and escaped."""
    role = ' role="status"' if kind == "done" else ""
    st.html(f'<p class="hy-{kind}"{role}>{html}</p>')


def thread(posts: Sequence[Post], current: int, now: datetime) -> None:
    """Draw the neighbours of a post in its thread."""
    if len(posts) < 2:
        meta(_("没有上下文。"))
        return
    for post in posts:
        here = "<b>" + _("本条") + "</b> " if post.id == current else ""
        st.html(f'<p class="hy-line">{here}{words.ago(post.posted_at, now)}<br>{escape(post.text)}</p>')


def event_line(event: CaseEvent) -> str:
    """Return one line of a case's history as HTML."""
    move = str(event.detail.get("action") or event.detail.get("move") or "")
    what = event_name(event.kind, move)
    reason = f"：{escape(event.reason or _cause(event))}" if event.reason or _cause(event) else ""
    extra = event.detail.get("note")
    said = f"<br>{escape(str(extra))}" if extra else ""
    who = escape(event.actor)
    return f"{words.moment(event.at)} · {who}（{escape(words.role_word(event.role))}） · <b>{what}</b>{reason}{said}"


def _cause(event: CaseEvent) -> str:
    """Return in words why something did not leave."""
    causes = {"recalled": _("作者已在来源撤回原文"), "taken_back": _("处置已撤销")}
    return causes.get(str(event.detail.get("cause", "")), "")


def event_name(kind: str, move: str = "") -> str:
    """Return what happened, in words and escaped; an unknown kind is shown as it is."""
    names = {
        "opened": _("登记"),
        "attached": _("并入同文"),
        "claimed": _("领取"),
        "released": _("释放"),
        "noted": _("备注"),
        "proposed": _("提请第二人确认"),
        "assigned": _("指派"),
        "reply_drafted": _("起草答复"),
        "reply_approved": _("批准答复"),
        "reply_withdrawn": _("撤回答复"),
        "reply_sent": _("答复已发出"),
        "reply_failed": _("答复发送失败"),
        "effect_sent": _("已在渠道执行"),
        "effect_failed": _("渠道执行失败"),
        "effect_unknown": _("渠道结果未知"),
        "effect_cancelled": _("已取消执行"),
        "needs_human": _("需要人工"),
        "claim_saved": _("保存核实结论"),
        "claim_suggested": _("可能就是已知说法"),
        "appealed": _("作者申诉"),
        "upheld": _("维持原处置"),
        "overturned": _("改正原处置"),
        "corrected": _("发出更正"),
        "added": _("补充"),
        "reminded": _("催办"),
        "overdue": _("逾期"),
        "due_changed": _("调整期限"),
        "source_removed": _("来源已删除"),
        "source_restored": _("来源已恢复"),
        "source_edited": _("来源已修改"),
    }
    name = escape(names.get(kind) or move_name(kind))
    return f"{name} {escape(move_name(move))}" if move and move != kind else name


def move_name(move: str) -> str:
    """Return a move of the case table in words; an unknown one is shown as it is."""
    names = {
        "accept": _("受理"),
        "decline": _("不予受理"),
        "transfer": _("转办"),
        "start": _("开始办理"),
        "return": _("退回"),
        "ask": _("请补充材料"),
        "resume": _("继续办理"),
        "extend": _("延期"),
        "answer": _("答复"),
        "rate": _("评价"),
        "redo": _("重办"),
        "reopen": _("要求重办"),
        "withdraw": _("撤回"),
        "close": _("办结"),
        "decide": _("处置"),
        "reroute": _("转类"),
        "undo": _("撤销"),
        "withdrawn_at_source": _("作者已在来源撤回"),
        "keep": _("通过"),
        "remove": _("移除"),
        "hide": _("隐藏"),
        "mute": _("禁言"),
        "restore": _("恢复"),
        "uphold": _("维持"),
        "escalate": _("上报"),
        "dismiss": _("无需处理"),
    }
    return names.get(move, move)


def history(view: CaseView) -> None:
    """Draw the history of this item, oldest first; never of a person."""
    for event in view.events:
        st.html(f'<p class="hy-line">{event_line(event)}</p>')
    if not view.events:
        meta(_("还没有记录。"))


def decision_line(decision: Decision) -> str:
    """Return one decision in words as HTML, with its ground and quote."""
    rule = f" · {escape(words.rule_name(decision.rule))}" if decision.rule else ""
    quote = f" · “{escape(decision.quote.text)}”" if decision.quote else ""
    undone = " · " + _("已撤销") if decision.undone_at else ""
    return f"<b>{escape(words.action_name(decision.action))}</b>{rule}{quote}{undone}"


def effects(rows: Sequence[Effect]) -> None:
    """Draw what leaves for the channels and how far it is."""
    for row in rows:
        failed = f" · {escape(row.last_error)}" if row.last_error else ""
        state = escape(words.effect_state_name(row.state))
        st.html(f'<p class="hy-line">{escape(row.channel)} · {escape(row.kind.value)} · {state}{failed}</p>')
