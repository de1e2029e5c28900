"""Words that go out to comment systems, and how to know them again there."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Mapping

from connectors._limits import MAX_ID, clean_text
from monitor.core.model import Effect
from monitor.core.privacy import clean

CUT = "…"
_UNWANTED = frozenset(
    [
        "uid",
        "mail",
        "mailMd5",
        "email",
        "email_encrypted",
        "author_email",
        "author_ip",
        "author_user_agent",
        "author_avatar_urls",
        "ip",
        "ipRegion",
        "ip_region",
        "addr",
        "ua",
        "browser",
        "os",
        "avatar",
        "link",
    ]
)
_LINK = re.compile(r"https?://[^\s<>\"，。；！？）】〕]+")
_ANYWHERE = re.compile(r"([\\`*_\[\]<>&~$^=|:])")
_LINE_START = re.compile(r"(?m)^( {0,3})([#>+\-])|^( {0,3}\d{1,9})([.)])")


def as_markdown(text: str) -> str:
    """Return ``text`` so that Markdown shows exactly these words; links stay links."""
    parts, end = [], 0
    for link in _LINK.finditer(text):
        parts += [_escaped(text[end : link.start()]), link[0]]
        end = link.end()
    lines = "".join([*parts, _escaped(text[end:])]).split("\n")
    return "\n".join(line.lstrip(" \t") for line in lines)


def _escaped(text: str) -> str:
    text = _ANYWHERE.sub(r"\\\1", text)
    return _LINE_START.sub(lambda m: f"{m[1] or ''}{m[3] or ''}\\{m[2] or m[4]}", text)


def as_html(text: str) -> str:
    """Return ``text`` as HTML that shows exactly these words."""
    return html.escape(text, quote=False)


def squeezed(text: str) -> str:
    """Return ``text`` without any space: systems change spaces, line breaks and paragraphs."""
    return "".join(clean_text(text).split())


def is_said(effect: Effect, text: str) -> bool:
    """Say whether a comment's words are those of ``effect``."""
    if effect.mark:
        return squeezed(effect.mark) in squeezed(text)
    return bool(text.strip()) and squeezed(text) == squeezed(effect.text)


def name_of(value: object) -> str | None:
    """Return the name that somebody wrote under, as an author, or None when there is none.

    A guest has no other name than the one they chose: two guests of one name are one author.
    """
    if not isinstance(value, str):
        return None
    name = " ".join(clean(value, 100).split())
    return f"name:{name}" if name else None


def thread_of(page: object) -> str | None:
    """Return the thread of a page: its address there, or its beginning and a digest when that is too long to keep."""
    if not isinstance(page, str) or not page.strip():
        return None
    if len(page) <= MAX_ID and page == clean(page):
        return page
    digest = hashlib.sha256(page.encode("utf-8", "replace")).hexdigest()[:16]
    return f"{clean(page, 120)}{CUT}{digest}"


def is_cut(thread: str) -> bool:
    """Say whether a thread does not hold the whole address of its page."""
    return CUT in thread[-17:]


def kept_of(given: object) -> str:
    """Return what the quarantine keeps of a row: neither addresses of people and machines nor their browsers' keys."""
    if isinstance(given, Mapping):
        given = {name: value for name, value in given.items() if name not in _UNWANTED}
    return json.dumps(given, ensure_ascii=False, default=str)


__all__ = ["as_html", "as_markdown", "is_cut", "is_said", "kept_of", "name_of", "squeezed", "thread_of"]
