"""Collect every ``_("...")`` of the code into the message catalogue and compile it (needs the dev extra).

``python -m review_ui.catalogue`` keeps the English texts that exist, adds what is new with an empty text,
drops what is gone, and writes ``monitor/locale/{zh_CN,en}/LC_MESSAGES/huiyin.{po,mo}``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("monitor", "connectors", "classifiers", "review_ui")
LOCALE = ROOT / "monitor" / "locale"
LANGUAGES = ("zh_CN", "en")
# A fixed date keeps the files the same when nothing changed.
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of every ``_("literal")`` and ``words._("literal")``."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        first = node.args[0]
        if name == "_" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield node.lineno, first.value


def messages(root: Path = ROOT) -> dict[str, list[tuple[str, int]]]:
    """Return every message of the code with the places that use it."""
    found: dict[str, list[tuple[str, int]]] = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            place = path.relative_to(root).as_posix()
            for line, text in _calls(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(text, []).append((place, line))
    return found


def po_path(language: str) -> Path:
    """Return where the catalogue of a language lies."""
    return LOCALE / language / "LC_MESSAGES" / "huiyin.po"


def read(language: str) -> Catalog:
    """Return the stored catalogue of a language, an empty one at first."""
    path = po_path(language)
    if not path.exists():
        return Catalog(locale=language, domain="huiyin")
    with path.open("rb") as file:
        return read_po(file, locale=language, domain="huiyin")


def _fresh(language: str, found: dict[str, list[tuple[str, int]]]) -> Catalog:
    old = read(language)
    new = Catalog(
        locale=language,
        domain="huiyin",
        header_comment="# Messages of Huiyin. Apache-2.0.",
        project="huiyin",
        version="1",
        creation_date=_EPOCH,
        revision_date=_EPOCH,
        last_translator="Huiyin contributors",
        language_team=language,
        fuzzy=False,
    )
    for text in sorted(found):
        known = old.get(text)
        translated = text if language == "zh_CN" else str(known.string or "") if known else ""
        files = sorted({place for place, _line in found[text]})
        new.add(text, translated, locations=[(place, 0) for place in files])
    return new


def write(language: str, catalogue: Catalog) -> None:
    """Write the .po and the .mo of one language."""
    path = po_path(language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, catalogue, omit_header=False, include_lineno=False, sort_output=True, width=110)
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)


def main() -> int:
    """Bring the catalogues up to date; returns 1 when an English text is missing."""
    found = messages()
    for language in LANGUAGES:
        write(language, _fresh(language, found))
    missing = [m.id for m in read("en") if m.id and not m.string]
    for text in missing:
        sys.stderr.write(f"no English text: {text}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
