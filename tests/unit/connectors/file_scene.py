"""Files for the tests of the file channel: golden exports, workbooks made by hand, and writers of each format."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from monitor.core.privacy import clean

_GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "files"
GOLDEN = sorted(
    path for path in _GOLDEN.iterdir() if path.is_file() and not path.name.endswith((".posts.jsonl", ".py"))
)

# --- workbooks -------------------------------------------------------------------------------------

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def _relations(*pairs: tuple[str, str]) -> str:
    rows = (
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(pairs, 1)
    )
    return f'{HEAD}<Relationships xmlns="{_PACKAGE}">{"".join(rows)}</Relationships>'


def package(sheet: str | Iterable[str], strings: str | Iterable[str] = (), **parts: str) -> bytes:
    """Return an XLSX package around the XML of one sheet and of the table of strings."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        write_package(out, sheet, strings, **parts)
    return made.getvalue()


def write_package(
    out: zipfile.ZipFile, sheet: str | Iterable[str], strings: str | Iterable[str] = (), **parts: str
) -> None:
    """Write the parts of an XLSX package; ``sheet`` and ``strings`` may come in pieces."""
    sheets = f'<sheets><sheet name="表" sheetId="1" r:id="rId1" xmlns:r="{_OFFICE}"/></sheets>'
    out.writestr("_rels/.rels", _relations(("officeDocument", "xl/workbook.xml")))
    out.writestr(
        "xl/workbook.xml", parts.get("workbook", f'{HEAD}<workbook xmlns="{_MAIN}">{sheets}</workbook>')
    )
    related = _relations(
        ("worksheet", "worksheets/sheet1.xml"), ("styles", "styles.xml"), ("sharedStrings", "/xl/strings.xml")
    )
    out.writestr("xl/_rels/workbook.xml.rels", related)
    xfs = '<cellXfs><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>'
    out.writestr("xl/styles.xml", f'{HEAD}<styleSheet xmlns="{_MAIN}">{xfs}</styleSheet>')
    for name, root, pieces in (("strings", "sst", strings), ("worksheets/sheet1", "worksheet", sheet)):
        with out.open(f"xl/{name}.xml", "w", force_zip64=True) as part:
            part.write(f'{HEAD}<{root} xmlns="{_MAIN}">'.encode())
            for piece in [pieces] if isinstance(pieces, str) else pieces:
                part.write(piece.encode())
            part.write(f"</{root}>".encode())


def sheet_of(rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    """Yield the XML of a sheet with inline strings and numbers."""
    yield "<sheetData>"
    for number, row in enumerate(rows, 1):
        yield f'<row r="{number}">'
        for letter, cell in zip("ABCDEFGHIJ", row, strict=False):
            at = f'r="{letter}{number}"'
            if isinstance(cell, int | float):
                yield f"<c {at}><v>{cell}</v></c>"
            elif cell is not None:
                yield f'<c {at} t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
        yield "</row>"
    yield "</sheetData>"


def workbook(rows: Iterable[Sequence[Any]]) -> bytes:
    """Return an XLSX file with these rows."""
    return package(sheet_of(rows))


# --- writers ---------------------------------------------------------------------------------------


def _spoken(texts: list[str]) -> list[str]:
    """Return the texts that hold words, as the house keeps them."""
    return [
        text
        for text in (clean(text.replace("\r\n", "\n").replace("\r", "\n")) for text in texts)
        if text.strip()
    ]


def _as_jsonl(path: Path, texts: list[str]) -> list[str]:
    rows = [{"id": str(n), "text": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [clean(text.replace("\r\n", "\n").replace("\r", "\n")) for text in texts]


def _as_csv(path: Path, texts: list[str]) -> list[str]:
    kept = [text for text in texts if text.strip() and text.isprintable()]
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows([["编号", "内容"], *([n, text] for n, text in enumerate(kept))])
    return _spoken(kept)


def _as_xlsx(path: Path, texts: list[str]) -> list[str]:
    kept = [text for text in texts if text.strip() and text.isprintable() and "_x" not in text]
    path.write_bytes(workbook([["编号", "内容"], *([str(n), text] for n, text in enumerate(kept))]))
    return _spoken(kept)


def _as_qq_text(path: Path, texts: list[str]) -> list[str]:
    kept = [text.strip() for text in texts if text.strip() and text.isprintable()]
    rows = (f"2026-01-01 8:00:{n:02} 小(周)(2000200{n})\n{text}\n\n" for n, text in enumerate(kept))
    path.write_text("消息记录\n\n" + "".join(rows), encoding="utf-8-sig")
    return _spoken(kept)


def _as_qce(path: Path, texts: list[str]) -> list[str]:
    rows = [{"id": "9", "seq": str(n + 1), "content": {"text": text}} for n, text in enumerate(texts)]
    whole = {"chatInfo": {"type": "group", "peerUin": "700001"}, "messages": rows}
    path.write_text(json.dumps(whole), encoding="utf-8")
    return _spoken(texts)


def messages_of() -> list[Callable[[Path, list[str]], list[str]]]:
    """Return a writer per format: it writes texts to a file and returns what is to be read from it."""
    return [_as_jsonl, _as_csv, _as_xlsx, _as_qq_text, _as_qce]
