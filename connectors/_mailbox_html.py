"""HTML letters as plain words: cleaned first, quoted history and signatures apart from one's own words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

import nh3

MOST: Final = 200_000
"""Longest HTML that is read, in characters."""
DEEPEST: Final = 300
"""Deepest nesting that is cleaned; beyond it only the words are taken, for cleaning time grows with its square."""

_BREAKS: Final = frozenset(
    [
        "p",
        "div",
        "li",
        "ul",
        "ol",
        "br",
        "hr",
        "tr",
        "table",
        "blockquote",
        "section",
        "article",
        "header",
        "footer",
        "pre",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "dt",
        "dd",
    ]
)
_KEPT: Final = _BREAKS | {"span", "img", "a", "td", "includetail", "sign"}
_DROPPED: Final = {
    "script",
    "style",
    "head",
    "title",
    "template",
    "noscript",
    "svg",
    "math",
    "iframe",
    "object",
}
_QUOTES: Final = (
    "gmail_quote",
    "gmail_extra",
    "yahoo_quoted",
    "ntes-mailmaster-quote",
    "isreplycontent",
    "moz-cite-prefix",
    "history-quote-wrapper",
    "qmquote",
    "xm_mail_oringinal_describe",
    "mail-editor-reference-message-container",
)
_REST: Final = ("divrplyfwdmsg", "appendonsend", "mail-quote-separator")
_SIGNATURES: Final = ("gmail_signature", "moz-signature", "mail_signature", "xm_signature", "ntes-signature")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*?(/?)>")
_VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_SPACES: Final = re.compile(r"[ \t\f\v\u00a0\n]+")
_BLOCK, _LINE = "\0", "\1"
_BLOCKS: Final = re.compile(r" ?\0[ \0]*")


class _Reader(HTMLParser):
    """Collects own and quoted words of HTML that was cleaned: every tag in it is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.own: list[str] = []
        self.quoted: list[str] = []
        self.pictures = 0
        self._open: list[str] = []  # "quote", "sign" or "" per open tag
        self._rest = False

    def _put(self, words: str) -> None:
        if "sign" in self._open:
            return
        (self.quoted if self._rest or "quote" in self._open else self.own).append(words)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in _BREAKS:
            self._put(_LINE if tag == "br" else _BLOCK)
        if tag == "img":
            self.pictures += 1
        if tag in _VOID:
            return
        marks = f"{given.get('id', '')} {given.get('class', '')}".lower()
        self._rest = self._rest or any(each in marks for each in _REST)
        self._open.append(_part(tag, marks))

    def handle_endtag(self, tag: str) -> None:
        if self._open:
            self._open.pop()
        if tag in _BREAKS:
            self._put(_BLOCK)

    def handle_data(self, data: str) -> None:
        self._put(data.replace(_BLOCK, "").replace(_LINE, ""))


def _part(tag: str, marks: str) -> str:
    if tag in ("blockquote", "includetail") or any(each in marks for each in _QUOTES):
        return "quote"
    return "sign" if tag == "sign" or any(each in marks for each in _SIGNATURES) else ""


def _is_deep(html: str) -> bool:
    depth = 0
    for close, tag, itself in _TAG.findall(html):
        if tag.lower() not in _VOID and not itself:
            depth += -1 if close else 1
            if depth > DEEPEST:
                return True
    return False


def _tidy(parts: Sequence[str]) -> str:
    whole = _BLOCKS.sub(_LINE, _SPACES.sub(" ", "".join(parts)))
    lines = [line.strip() for line in whole.split(_LINE)]
    kept = [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
    return "\n".join(kept).strip("\n")


def words_in(html: str) -> tuple[str, str | None, int]:
    """Return the sender's own words, the quoted ones (None when there are none) and how many pictures there are.

    Whatever the markup, this ends in time and raises nothing.
    """
    html = html[:MOST]
    attributes = {tag: {"id", "class"} for tag in _KEPT}
    cleaned = nh3.clean(
        _TAG.sub(" ", html) if _is_deep(html) else html,
        tags=set(_KEPT),
        clean_content_tags=set(_DROPPED),
        attributes=attributes,
        link_rel=None,
    )
    reader = _Reader()
    reader.feed(cleaned)
    reader.close()
    return _tidy(reader.own), _tidy(reader.quoted) or None, reader.pictures


__all__ = ["DEEPEST", "MOST", "words_in"]
