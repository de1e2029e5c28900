"""User-facing words: Chinese is the source text, English comes from the catalogue.

``_("审核")`` returns the text in the language chosen by :func:`use` for the current context (thread or task).
Call it inside functions, never at import time.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = ("zh", "en")
_FOLDER = Path(__file__).parent / "locale"
_current: ContextVar[str] = ContextVar("huiyin_language", default="zh")


@cache
def _catalogue(lang: str) -> gettext.NullTranslations:
    name = {"zh": "zh_CN", "en": "en"}.get(lang, "zh_CN")
    return gettext.translation("huiyin", localedir=_FOLDER, languages=[name], fallback=True)


def use(lang: str) -> None:
    """Choose the language of the current context: ``zh`` or ``en`` (anything else means ``zh``)."""
    _current.set(lang if lang in LANGUAGES else "zh")


def language() -> str:
    """Return the language of the current context."""
    return _current.get()


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Use ``lang`` inside a ``with`` block."""
    token = _current.set(lang if lang in LANGUAGES else "zh")
    try:
        yield
    finally:
        _current.reset(token)


def _(text: str) -> str:
    """Return ``text`` (Chinese) in the current language."""
    return _catalogue(_current.get()).gettext(text)
