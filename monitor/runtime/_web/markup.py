"""HTML by construction: whatever is put into an element is escaped, unless it is markup made here."""

from __future__ import annotations

from html import escape
from typing import Final

VOID: Final = frozenset({"input", "meta", "br", "hr", "link"})
_BIDI: Final = (0x200B, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS: Final = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))
_SHOWN: Final = dict.fromkeys(_CONTROLS, "\ufffd") | {code: f"⟨{code:04X}⟩" for code in _BIDI}
"""What a page must not swallow: controls become a replacement mark, invisible and bidi characters a name (X-05)."""


class Markup(str):
    """Text that is HTML already; only this module makes it."""

    __slots__ = ()


def safe(text: str) -> Markup:
    """Return ``text`` as it may stand in an element or in a quoted attribute."""
    return Markup(escape(text.translate(_SHOWN), quote=True))


def join(*parts: str | None) -> Markup:
    """Return the parts one after another, each escaped unless it is markup; None is nothing."""
    return Markup(
        "".join(part if isinstance(part, Markup) else safe(part) for part in parts if part is not None)
    )


def _attribute(name: str, value: str | int | bool) -> str:
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return "" if value is False else f' {name}="{safe(str(value))}"'


def tag(name: str, /, *inside: str | None, **attributes: str | int | bool | None) -> Markup:
    """Return one element.

    Args:
        name: of the element.
        inside: its content, escaped unless it is markup.
        attributes: ``class_`` stands for ``class``, ``aria_label`` for ``aria-label``; True writes the bare
            name, False and None leave it out.
    """
    opened = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    if name in VOID:
        return Markup(f"<{name}{opened}>")
    return Markup(f"<{name}{opened}>{join(*inside)}</{name}>")


def paragraphs(text: str, **attributes: str | None) -> Markup:
    """Return a text of several lines as paragraphs."""
    return join(*(tag("p", line, **attributes) for line in text.split("\n") if line.strip()))


__all__ = ["Markup", "join", "paragraphs", "safe", "tag"]
