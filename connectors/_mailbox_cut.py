"""Cutting a letter: the words its sender wrote, apart from what they quote and what their program adds."""

from __future__ import annotations

import re
from typing import Final

_DIVIDERS: Final = (
    "原始邮件",
    "原邮件",
    "原始信件",
    "转发邮件信息",
    "转发的邮件",
    "转发邮件",
    "original message",
    "original email",
    "forwarded message",
)
_BLOCK_BEGINS: Final = re.compile(r"\W{0,4}(?:发件人|寄件者|寄件人|發件人|from)\W{0,4}[:：]", re.IGNORECASE)
_BLOCK_GOES_ON: Final = re.compile(
    r"\W{0,4}(?:发送时间|发送日期|傳送時間|日期|时间|收件人|收件者|主题|主旨|抄送|sent|date|to|cc|subject)\W{0,4}[:：]",
    re.IGNORECASE,
)
_WROTE: Final = re.compile(r"(?:写道|寫道|wrote)\s*[:：]?$", re.IGNORECASE)
_OPENING: Final = re.compile(
    r"^(?:在|于|於|on\s|.{0,80}<[^<>\s]{1,200}@|.{0,80}\d{4}\s*[年/-])", re.IGNORECASE
)
_PHONE: Final = re.compile(
    r"^[(（\[【]?(?:发自|來自|来自|發自|sent from |get outlook for |获取|下载)[^。，,]{1,40}$", re.IGNORECASE
)
_PROGRAMS: Final = re.compile(
    r"iphone|ipad|android|outlook|foxmail|mail|邮箱|手机|手機|huawei|华为|小米|oppo|vivo|荣耀|大师|客户端",
    re.IGNORECASE,
)
_LONGEST_SIGNATURE: Final = 12
_LONGEST_INTRO: Final = 300


def cut(text: str) -> tuple[str, str | None]:
    """Return the sender's own words and what they quoted (None when nothing).

    A letter that holds nothing but a quotation, such as one that is passed on without a word, is kept whole.
    """
    lines = text.split("\n")
    own, quoted = _parted(lines)
    words = "\n".join(_without_signature(own)).strip()
    if not words:
        return "\n".join(_without_signature(lines)).strip(), None
    return words, "\n".join(quoted).strip() or None


def _parted(lines: list[str]) -> tuple[list[str], list[str]]:
    own: list[str] = []
    quoted: list[str] = []
    at = 0
    while at < len(lines):
        if _is_divider(lines[at]) or _begins_block(lines, at):
            return own, quoted + lines[at:]
        intro = _intro(lines, at)
        end = _quotation(lines, at + intro, bool(intro))
        if intro and end == at + intro:
            return own, quoted + lines[at:]
        if end > at:
            quoted += lines[at:end]
            at = end
            continue
        own.append(lines[at])
        at += 1
    return own, quoted


def _is_divider(line: str) -> bool:
    bare = line.strip()
    words = bare.strip("-—–_=*·> \t").lower()
    return words != bare.lower() and len(words) <= 40 and any(each in words for each in _DIVIDERS)


def _begins_block(lines: list[str], at: int) -> bool:
    """Say whether the headers of an earlier letter stand here, as Outlook and Foxmail put them."""
    if not _BLOCK_BEGINS.match(lines[at][:40]):
        return False
    return any(_BLOCK_GOES_ON.match(line[:40]) for line in lines[at + 1 : at + 6])


def _intro(lines: list[str], at: int) -> int:
    """Return how many lines from here say who wrote what follows; 0 when none do."""
    first = lines[at].strip()
    if not first or not _OPENING.match(first[:_LONGEST_INTRO]):
        return 0
    said = ""
    for n, line in enumerate(lines[at : at + 3], 1):
        said = f"{said} {line.strip()}"
        if len(said) > _LONGEST_INTRO or not line.strip():
            return 0
        if _WROTE.search(said):
            return n
    return 0


def _quotation(lines: list[str], at: int, announced: bool) -> int:
    """Return where a run of lines that begin with ``>`` ends; one lone line may be the sender's own.

    Blank lines before an announced run and between two runs belong to it.
    """
    end = seen = at
    count = 0
    while seen < len(lines):
        line = lines[seen].strip()
        if line.startswith((">", "|")) if announced else line.startswith(">"):
            count, end = count + 1, seen + 1
        elif line or not (announced or count):
            break
        seen += 1
    is_quoted = announced or count > 1 or (count == 1 and lines[at].lstrip().startswith(("> ", ">>")))
    return end if count and is_quoted else at


def _without_signature(lines: list[str]) -> list[str]:
    kept = list(lines)
    for at in range(len(kept) - 1, max(-1, len(kept) - 1 - _LONGEST_SIGNATURE), -1):
        if kept[at].strip() == "--":
            del kept[at:]
            break
    while kept and (not kept[-1].strip() or _is_of_program(kept[-1].strip())):
        kept.pop()
    return kept


def _is_of_program(line: str) -> bool:
    return bool(_PHONE.match(line)) and bool(_PROGRAMS.search(line))


__all__ = ["cut"]
