"""The frame around every page for persons: strict policy, no scripts, Chinese first with an English twin."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from monitor.runtime._web.markup import Markup, join, tag
from monitor.words import LANGUAGES, _, language

STYLE: Final = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
"""No scripts, no pictures, no fonts, no requests: only our own style sheet, and forms to ourselves."""


def language_of(request: web.Request, given: str | None = None) -> str:
    """Return the language that a page was asked in: a field of the form, else of the query; Chinese otherwise."""
    wanted = given if given is not None else request.query.get("lang", "")
    return wanted if wanted in LANGUAGES else "zh"


def here(path: str, **query: str) -> str:
    """Return a path of ours in the present language."""
    if language() != "zh":
        query["lang"] = language()
    return f"{path}?{urlencode(query)}" if query else path


def _switch(path: str) -> Markup:
    if language() == "zh":
        return tag("a", "English", href=f"{path}?lang=en", lang="en", hreflang="en")
    return tag("a", "中文", href=path, lang="zh-CN", hreflang="zh-CN")


def _footer(path: str, union: str) -> Markup:
    return tag(
        "footer",
        tag("a", _("写给工会"), href=here("/box")),
        tag("a", _("凭回执查询"), href=here("/box/r")),
        tag("a", _("公开数据"), href=here("/open")),
        _switch(path),
        tag("p", f"{union} · 回音 Huiyin"),
    )


def page(
    title: str, *inside: str | None, path: str, union: str, status: int = 200, wide: bool = False
) -> web.Response:
    """Return a whole page.

    Args:
        title: of the window and the page.
        inside: what stands below the title, escaped unless it is markup.
        path: where the language switch leads; never one that holds a receipt.
        union: how the union signs.
        status: of the answer.
        wide: for tables.
    """
    lang = {"zh": "zh-CN", "en": "en"}[language()]
    # The header says no-referrer. This line relaxes it for our own host only: with no-referrer a browser sends
    # `Origin: null` along with a form, and over plain HTTP nothing else would tell our own page from a foreign one.
    referrer = tag("meta", name="referrer", content="same-origin")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="robots", content="noindex"),
        referrer,
        tag("title", f"{title} · {_('回音')}"),
        Markup(f"<style>{STYLE}</style>"),
    )
    body = tag(
        "body", tag("main", tag("h1", title), *inside, _footer(path, union), class_="wide" if wide else None)
    )
    html = join(Markup("<!doctype html>"), tag("html", head, body, lang=lang))
    headers = {"Content-Security-Policy": POLICY, "Content-Language": lang}
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=headers)


def alert(text: str) -> Markup:
    """Return what went wrong, announced to screen readers."""
    return tag("p", text, class_="error", role="alert")


def notice(text: str) -> Markup:
    """Return what was done."""
    return tag("p", text, class_="done", role="status")


def form(action: str, *fields: str | None, button: str, quiet: bool = False) -> Markup:
    """Return a form that is posted to ``action`` in the present language."""
    return tag(
        "form",
        tag("input", type="hidden", name="lang", value=language()),
        *fields,
        tag("button", button, type="submit", class_="quiet" if quiet else None),
        method="post",
        action=action,
        accept_charset="utf-8",
    )


def hidden(**values: str) -> Markup:
    """Return hidden fields; ``do_`` stands for ``do``."""
    return join(*(tag("input", type="hidden", name=k.rstrip("_"), value=v) for k, v in values.items()))


def choice(name: str, legend: str, options: dict[str, str], chosen: str = "") -> Markup:
    """Return radio buttons: value -> words."""
    buttons = (
        tag(
            "label",
            tag("input", type="radio", name=name, value=value, required=True, checked=value == chosen),
            words,
        )
        for value, words in options.items()
    )
    return tag("fieldset", tag("legend", legend), *buttons, class_="choice")


__all__ = [
    "POLICY",
    "STYLE",
    "alert",
    "choice",
    "form",
    "here",
    "hidden",
    "language_of",
    "notice",
    "page",
]
