"""HTML of other programs as plain words: line breaks where the page has them, quoted words apart from one's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any, Final

import nh3

from connectors._limits import clean_text

MOST: Final = 80_000
"""Longest HTML that is read, in characters; the words kept are 20,000 at most."""
IMAGE: Final = "[图片]"

_BREAKS = frozenset(
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
        "aside",
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
_KEPT: Final[dict[str, Any]] = {
    "tags": {*_BREAKS, "a", "img"},
    "attributes": {"a": {"href"}, "img": {"alt", "class"}, "aside": {"class"}},
    "clean_content_tags": {"script", "style", "template", "noscript", "svg", "math", "iframe", "object"},
    "url_schemes": {"http", "https"},
    "strip_comments": True,
    "link_rel": None,
}
_SPACES = re.compile(r"[ \t\f\v\u00a0]+")


class _Reader(HTMLParser):
    """Collects own and quoted words of clean HTML (this parser takes quadratic time for broken one)."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.own: list[str] = []
        self.quoted: list[str] = []
        self._quotes: list[str] = []
        self._links: list[tuple[str, int]] = []

    @property
    def _words(self) -> list[str]:
        return self.quoted if self._quotes else self.own

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _BREAKS:
            self._words.append("\n")
        if tag == "blockquote" or (tag == "aside" and "quote" in (given.get("class") or "").split()):
            self._quotes.append(tag)
        elif tag == "img":
            self._words.append(_picture(given))
        elif tag == "a":
            self._links.append((given.get("href") or "", len(self._words)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._links:
            self._close_link()
        if tag in self._quotes:
            del self._quotes[len(self._quotes) - 1 - self._quotes[::-1].index(tag) :]
        if tag in _BREAKS:
            self._words.append("\n")

    def _close_link(self) -> None:
        """Put the address behind the words of a link that hide it: that is where an advertisement leads."""
        address, begin = self._links.pop()
        said = "".join(self._words[begin:]).strip()
        if address.startswith(("http://", "https://")) and said and not said.startswith("@"):
            bare = address.partition("://")[2].rstrip("/")
            if bare not in said and said.rstrip("…./") not in bare:
                self._words.append(f" {address[:300]} ")

    def handle_data(self, data: str) -> None:
        self._words.append(data)


def _picture(given: dict[str, str | None]) -> str:
    """Return what stands for a picture: the name of an emoji, or that there was a picture."""
    alt = (given.get("alt") or "").strip()
    is_emoji = "emoji" in (given.get("class") or "") or (
        alt and len(alt) <= 8 and not any(letter.isalnum() for letter in alt)
    )
    return alt[:20] if alt and (is_emoji or (alt.startswith(":") and alt.endswith(":"))) else IMAGE


def _tidy(parts: Sequence[str]) -> str:
    lines = [_SPACES.sub(" ", line).strip() for line in "".join(parts).replace("\r", "\n").split("\n")]
    kept = [line for n, line in enumerate(lines) if line or (n and lines[n - 1])]
    return clean_text("\n".join(kept).strip("\n"))


def words_in(html: str) -> tuple[str, str | None]:
    """Return the author's own words in ``html`` and the quoted ones, None when nothing is quoted.

    Whatever the text, this ends and raises nothing: broken markup is read as far as it goes.
    """
    reader = _Reader()
    reader.feed(nh3.clean(html[:MOST], **_KEPT))
    reader.close()
    return _tidy(reader.own), _tidy(reader.quoted) or None


__all__ = ["IMAGE", "MOST", "words_in"]
