"""What helps a person to answer: facts in force, where a statement runs, a calm beginning of a text.

The beginning is put together from the facts that people wrote down, carries a mark that the draft refuses to keep,
and so never leaves without a person's own hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.core.model import Case, CaseKind, Claim, ClaimState, Post, SourceState
from monitor.usecases._member import own_words
from monitor.usecases.claims import LONGEST_STATEMENT, in_force
from monitor.words import _

SUGGESTION = "〔建议稿，请核对后删去本行〕"
"""First line of every suggested text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the person who answers gets to see.

    Attributes:
        statement: the statement to check, or the first words of the case; at most 300 characters.
        claim: the verdict, if there is one; an expired one has the state ``expired`` and no date.
        facts: verified facts in words for everybody, only while they hold.
        sources: where the facts come from.
        spread: place -> number of posts that stand there.
        draft: a suggested beginning, marked as such.
        hints: advice on tone and on what is missing.
    """

    statement: str
    claim: Claim | None
    facts: tuple[str, ...]
    sources: tuple[str, ...]
    spread: Mapping[str, int]
    draft: str
    hints: tuple[str, ...]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_STATEMENT else text[: LONGEST_STATEMENT - 1] + "…"


def _place(post: Post) -> str:
    return post.channel if post.thread is None else f"{post.channel} · {post.thread}"


def _grievance() -> str:
    """Request, facts, decision, basis, next step: what an answer has to say (C, 信访工作条例 32)."""
    return (
        "您好！您反映的问题，现答复如下。\n"
        "一、您的诉求：\n"
        "二、核实到的情况：\n"
        "三、处理意见及依据：\n"
        "四、下一步安排与时间：\n"
        "如有不同意见，可以继续补充或要求重新办理。"
    )


def _clarification(claim: Claim | None, facts: Sequence[str], sources: Sequence[str]) -> str:
    if claim is None or not facts:
        return "大家好，大家关心的这件事，工会正在核实。有了结果会第一时间在这里说明，请先不要转发未经核实的内容。"
    basis = f"依据：{'；'.join(sources)}\n" if sources else ""
    return (
        f"大家好，关于“{claim.statement}”的说法，核实情况如下：\n{chr(10).join(facts)}\n{basis}"
        "如有新的情况，会第一时间在这里说明。还有疑问请直接回复，我们会答复。"
    )


def _hints(case: Case, claim: Claim | None, facts: Sequence[str], posts: Sequence[Post]) -> tuple[str, ...]:
    hints = [_("先说事实，再说依据，不评价提问的人。"), _("批评不是错误；谢谢提出问题的人。")]
    if case.kind is CaseKind.GRIEVANCE:
        hints.append(_("写明诉求、事实、处理意见、依据和下一步。"))
    elif claim is not None and claim.state is ClaimState.EXPIRED:
        hints.append(_("核实结论已经过期，请重新核实后再引用。"))
    elif not facts:
        hints.append(_("还没有核实结论，只能说明正在核实，并写明何时再答复。"))
    if any(post.source_state is SourceState.REMOVED for post in posts):
        hints.append(_("有的帖文已在来源删除；帖文全部删除的地方不会发送答复。"))
    return tuple(hints)


def _known(claim: Claim | None, now: datetime) -> Claim | None:
    """Return ``claim``; one whose facts hold no more as expired and without its date, so that it is checked anew."""
    if claim is None or claim.valid_until is None or now < claim.valid_until:
        return claim
    return replace(claim, state=ClaimState.EXPIRED, valid_until=None)


def prompt_of(case: Case, posts: Sequence[Post], claim: Claim | None, now: datetime) -> Prompt:
    """Return what helps to answer ``case``.

    Args:
        case: the case.
        posts: its posts, the first one first.
        claim: what was found out, if anything.
        now: facts that are expired by now are left out.
    """
    holds = in_force(claim, now)
    facts = _lines(claim.clarification) if claim is not None and holds else ()
    sources = _lines(claim.sources) if claim is not None and holds else ()
    known, own = _known(claim, now), [post for post in posts if not own_words(case, post.thread)]
    begin = _grievance() if case.kind is CaseKind.GRIEVANCE else _clarification(claim, facts, sources)
    return Prompt(
        statement=_cut(claim.statement if claim is not None else posts[0].text),
        claim=known,
        facts=facts,
        sources=sources,
        spread=Counter(_place(post) for post in own if post.source_state is not SourceState.REMOVED),
        draft=f"{SUGGESTION}\n{begin}",
        hints=_hints(case, known, facts, own),
    )


__all__ = ["SUGGESTION", "Prompt", "prompt_of"]
