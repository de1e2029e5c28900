"""Long answers in several messages: no character and no link is broken, and every part says who speaks and for what.

An answer ends with the role mark and name of who gave it and the visible reference (rules M-15 and E-04); a notice
begins with its mark. What is cut off before that end gets a line of its own with mark, reference and number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import regex

from connectors._limits import clean_text
from monitor.core.model import Effect

LONGEST: Final = 2000
"""Longest message where the platform does not document a limit, in characters."""

_LINK: Final = re.compile(r"(?:https?://|www\.)[\x21-\x7e]+", re.IGNORECASE)
_CHARACTER: Final = regex.compile(r"\X")
_ROLE: Final = re.compile(r"【[^】\n]{1,40}】")
_STOPS: Final = ("\n", "。", "！", "？", "；", "，", " ")
_MOST_PARTS: Final = 99
Size = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Part:
    """One message of an answer; ``mark`` is what tells it from every other message, empty when nothing does."""

    text: str
    mark: str


# --- cutting ---------------------------------------------------------------------------------------


def _boundaries(text: str, limit: int, size: Size) -> list[int]:
    """Return the places between whole characters (grapheme clusters) at which at most ``limit`` stands before."""
    found, taken = [0], 0
    for cluster in _CHARACTER.finditer(text):
        taken += size(cluster[0])
        if taken > limit:
            break
        found.append(cluster.end())
    return found


def _inside_link(text: str, at: int) -> int | None:
    """Return the start of the link that a cut at ``at`` would break."""
    for link in _LINK.finditer(text, max(0, at - 4096), min(len(text), at + 4096)):
        if link.start() < at < link.end():
            return link.start()
    return None


def _cut(text: str, limit: int, size: Size) -> int:
    """Return where to cut ``text``, which is longer than ``limit``."""
    places = _boundaries(text, limit, size)
    last = places[-1]
    if last == 0:  # one character with more marks on it than fit
        return next(n for n in range(1, len(text) + 1) if size(text[: n + 1]) > limit or n == len(text))
    whole, at = set(places), last
    for stop in _STOPS:
        found = text.rfind(stop, last * 2 // 3, last)
        if found >= 0 and found + 1 in whole:
            at = found + 1
            break
    start = _inside_link(text, at)
    return start if start and start in whole else at if start is None else last


def split_text(text: str, limit: int = LONGEST, size: Size = len) -> list[str]:
    """Return ``text`` in parts of at most ``limit``; joined they are the text again.

    Args:
        text: what is to be said.
        limit: most of one part, at least 2.
        size: how the platform counts; the size of two texts together is the sum of theirs.
    """
    parts = []
    while size(text) > limit:
        at = _cut(text, limit, size)
        parts.append(text[:at])
        text = text[at:]
    return [*parts, text]


# --- marking ---------------------------------------------------------------------------------------


def _halves(text: str, mark: str) -> tuple[str, str, str]:
    """Return the words, the end that must stay whole (signature, reference, link), and the role mark."""
    lines = text.split("\n")
    at = max((number for number, line in enumerate(lines) if mark in line), default=len(lines))
    first = at - 1 if at > 0 and at < len(lines) and _ROLE.match(lines[at - 1]) else at
    role = _ROLE.match(lines[first]) if first < len(lines) else None
    role = role or _ROLE.match(text)
    return "\n".join(lines[:first]).rstrip("\n"), "\n".join(lines[first:]), role[0] if role else ""


def _chunks(words: str, room: int, last_room: int, size: Size) -> Iterator[str]:
    """Yield the words in chunks that fit into ``room``, the last one into ``last_room``: perhaps an empty one."""
    chunks = [chunk for chunk in split_text(words, room, size) if chunk.strip()]
    yield from chunks[:-1]
    final = chunks[-1] if chunks else ""
    if size(final) <= last_room:
        yield final
    else:
        yield final
        yield ""


def parts_of(text: str, mark: str, limit: int = LONGEST, size: Size = len) -> list[Part]:
    """Return an answer or notice as the messages in which it leaves.

    Args:
        text: the whole text as it was approved.
        mark: the visible reference that stands in it.
        limit: most of one message.
        size: how the platform counts.
    """
    text = clean_text(text).strip("\n")
    if not text.strip():
        return []
    if size(text) <= limit:
        return [Part(text, mark)]
    words, end, role = _halves(text, mark) if mark else (text, "", "")
    number = f"（{_MOST_PARTS}/{_MOST_PARTS}）"
    note = f"\n{role}编号{mark}{number}"
    room, last_room = limit - size(note), limit - size(f"\n{end}{number}")
    if not mark or not end or room < limit // 3 or last_room < 0:
        return [Part(chunk, "") for chunk in split_text(text, limit, size) if chunk.strip()]
    chunks = list(_chunks(words, room, last_room, size))
    total = len(chunks)
    if total == 1:
        return [Part(f"{chunks[0].rstrip()}\n{end}", mark)]
    marks = [f"{mark}（{n}/{total}）" for n in range(1, total + 1)]
    said = [f"{chunk.rstrip()}\n{role}编号{one}" for chunk, one in zip(chunks[:-1], marks, strict=False)]
    final = end[::-1].replace(mark[::-1], marks[-1][::-1], 1)[::-1]
    said.append(f"{chunks[-1].rstrip()}\n{final}".strip("\n"))
    return [Part(one, each) for one, each in zip(said, marks, strict=True)]


def parts(effect: Effect, limit: int = LONGEST, size: Size = len) -> list[Part]:
    """Return the messages in which an effect leaves (see :func:`parts_of`)."""
    return parts_of(effect.text, effect.mark, limit, size)


__all__ = ["LONGEST", "Part", "parts", "parts_of", "split_text"]
