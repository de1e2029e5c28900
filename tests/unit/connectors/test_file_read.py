"""Reading one file: bad lines cost only themselves, encodings and traps are told, ids stay the same."""

from __future__ import annotations

import codecs
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from file_scene import package, sheet_of, workbook

from connectors._file_table import COLUMNS
from connectors.file import read
from monitor.core.errors import Malformed, Unavailable
from monitor.core.model import Broken, PostKind, RawPost

GOOD = {"id": "good", "text": "后面的还在"}


def items(path: Path, form: str = "auto") -> list[RawPost | Broken]:
    return list(read(path, form, "c"))


def posts(path: Path, form: str = "auto") -> list[RawPost]:
    return [item for item in items(path, form) if isinstance(item, RawPost)]


def reasons(path: Path, form: str = "auto") -> list[str]:
    return [item.reason for item in items(path, form) if isinstance(item, Broken)]


def write(path: Path, *lines: object) -> Path:
    """Write lines: bytes as they stand, texts as UTF-8, everything else as JSON."""
    raw = (
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    )
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


# --- JSON Lines ------------------------------------------------------------------------------------

BAD_LINES: dict[str, tuple[bytes, str]] = {
    "half": (b'{"id": "x", "text": "', "json"),
    "bytes": (b'{"id": "x", "text": "\xff\xfe"}', "encoding"),
    "deep": (b"[" * 100_000, "too_deep"),
    "deep and closed": (b'{"id":"x","text":"x","more":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    "too long": (b'{"id": "x", "text": "' + b"a" * 1_048_576 + b'"}', "too_large"),
    "no id": (b'{"text": "x"}', "no_id"),
    "empty id": (b'{"id": " ", "text": "x"}', "no_id"),
    "true as id": (b'{"id": true, "text": "x"}', "no_id"),
    "no text": (b'{"id": "x"}', "no_text"),
    "text is a number": (b'{"id": "x", "text": 7}', "no_text"),
    "a list": (b'["x"]', "shape"),
    "a number": (b"7", "shape"),
    "huge number": (b'{"id": "x", "text": "x", "posted_at": 1e999}', "number"),
    "unknown kind": (b'{"id": "x", "text": "x", "kind": "rating.given"}', "kind"),
    "url is a list": (b'{"id": "x", "text": "x", "url": []}', "shape"),
    "nul alone": (b"\x00", "json"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_told_with_its_place_and_its_neighbours_go_on(tmp_path: Path, name: str) -> None:
    raw, reason = BAD_LINES[name]
    found = items(write(tmp_path / "p.jsonl", {"id": "first", "text": "前面"}, raw, GOOD))
    assert [item.text for item in found if isinstance(item, RawPost)] == ["前面", "后面的还在"]
    (bad,) = [item for item in found if isinstance(item, Broken)]
    assert (bad.reason, bad.position, bad.channel) == (reason, "2", "c")
    assert raw.startswith(bad.payload)
    assert 0 < len(bad.payload) <= 65_536


ODD_LINES: dict[str, tuple[dict[str, Any] | bytes, dict[str, Any]]] = {
    "lone surrogate": (b'{"id": "x", "text": "a\\ud83dz"}', {"text": "a\ufffdz"}),
    "nul": (b'{"id": "x", "text": "a\\u0000z"}', {"text": "az"}),
    "a mebibyte of spaces": (b'{"id": "x", "text": "x"}' + b" " * 1_000_000, {"text": "x"}),
    "a long text": ({"id": "x", "text": "长" * 30_000}, {"text": "长" * 19_999 + "…"}),
    "id over 2^53": ({"id": 9007199254740993, "text": "x"}, {"external_id": "9007199254740993"}),
    "seconds": (
        {"id": "x", "text": "x", "posted_at": 1767225600},
        {"posted_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ),
    "milliseconds": (
        {"id": "x", "text": "x", "posted_at": 1767225600000},
        {"posted_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ),
    "no zone is Shanghai": (
        {"id": "x", "text": "x", "posted_at": "2026-01-01 08:00:00"},
        {"posted_at": datetime(2026, 1, 1, tzinfo=UTC)},
    ),
    "1970": ({"id": "x", "text": "x", "posted_at": 0}, {"posted_at": None}),
    "9999": ({"id": "x", "text": "x", "posted_at": "9999-12-31T23:59:59Z"}, {"posted_at": None}),
    "no time": ({"id": "x", "text": "x", "posted_at": "昨天"}, {"posted_at": None}),
    "html in a nickname": ({"id": "x", "text": "x", "author": "<b>x</b>"}, {"author": "<b>x</b>"}),
    "crlf": (b'{"id": "x", "text": "x"}\r', {"text": "x"}),
}


@pytest.mark.parametrize("name", ODD_LINES)
def test_an_odd_line_is_still_a_post(tmp_path: Path, name: str) -> None:
    line, fields = ODD_LINES[name]
    first, second = posts(write(tmp_path / "p.jsonl", line, GOOD))
    assert {key: getattr(first, key) for key in fields} == fields
    assert second.text == "后面的还在"


def test_the_same_id_with_other_words_is_handed_over_again(tmp_path: Path) -> None:
    """The store makes a new revision of it."""
    path = write(tmp_path / "p.jsonl", {"id": "1", "text": "先"}, {"id": "1", "text": "后"})
    assert [(post.external_id, post.text) for post in posts(path)] == [("1", "先"), ("1", "后")]


def test_a_line_without_end_at_the_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert [post.external_id for post in posts(path)] == ["good"]


# --- encodings -------------------------------------------------------------------------------------

TABLE = "编号,作者,内容\r\n1,老李,三食堂二楼又停水了\r\n2,小周,已报修\r\n"
LINES = '{"id": "1", "text": "三食堂二楼又停水了"}\r\n{"id": "2", "text": "已报修"}\r\n'
ENCODED = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "gb18030": lambda text: text.encode("gb18030"),
    "utf-16 le": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16 be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize(("ending", "text"), [(".csv", TABLE), (".jsonl", LINES), ("", TABLE), ("", LINES)])
def test_every_encoding_gives_the_same_posts(tmp_path: Path, encoding: str, ending: str, text: str) -> None:
    path = tmp_path / f"p{ending}"
    path.write_bytes(ENCODED[encoding](text))
    assert [(post.external_id, post.text) for post in posts(path)] == [
        ("1", "三食堂二楼又停水了"),
        ("2", "已报修"),
    ]


def test_one_damaged_byte_makes_no_other_encoding_of_a_file(tmp_path: Path) -> None:
    """Read as GB18030 the whole file would turn into other words without anybody being told."""
    path = tmp_path / "p.csv"
    path.write_bytes(TABLE.encode().replace("小周".encode(), b"\xe5\xb0"))
    assert [post.text for post in posts(path)] == ["三食堂二楼又停水了", "已报修"]


def test_what_is_no_text_at_all_is_said(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"\n".join(bytes([0x80, 0xFF, 0x81, n]) for n in range(0xA0, 0xFF)))
    with pytest.raises(Malformed, match="save it as UTF-8") as told:
        posts(path)
    assert told.value.reason == "encoding"


# --- CSV -------------------------------------------------------------------------------------------


def test_a_formula_is_a_text_and_nothing_more(tmp_path: Path) -> None:
    cells = ['=HYPERLINK("http://example.org","点我")', "+1", "-1", "@SUM(1)", "=cmd|' /C calc'!A0"]
    rows = "".join('{},"{}"\r\n'.format(n, cell.replace('"', '""')) for n, cell in enumerate(cells))
    path = write(tmp_path / "p.csv", f"id,text\r\n{rows}")
    assert [post.text for post in posts(path)] == cells


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_quote_that_is_never_closed_costs_its_line_only(tmp_path: Path, delimiter: str) -> None:
    lines = ["id,text", '1,"没有闭合', "2,还在", '3,"也是""好的"', '4,"又没有', "5,还在", '6,"两\n行"']
    path = write(tmp_path / "p.csv", *(line.replace(",", delimiter) for line in lines))
    found = items(path)
    assert [item.external_id for item in found if isinstance(item, RawPost)] == ["2", "3", "5", "6"]
    assert [(item.reason, item.position) for item in found if isinstance(item, Broken)] == [
        ("csv", "2"),
        ("csv", "5"),
    ]
    assert found[-1] == RawPost("c", "6", "两\n行")


def test_an_endless_record_and_an_endless_line_are_bounded(tmp_path: Path) -> None:
    endless = '1,"' + "甲" * 3_000_000
    path = write(
        tmp_path / "p.csv", "id,text", endless, "2,还在", '3,"' + ("x" * 999 + "\n") * 1500, "4,也还在"
    )
    found = items(path)
    assert [item.external_id for item in found if isinstance(item, RawPost)] == ["2", "4"]
    assert all(len(item.payload) <= 65_536 for item in found if isinstance(item, Broken))
    assert [item.reason for item in found if isinstance(item, Broken)][:2] == ["too_large", "csv"]


def test_the_best_column_wins_and_a_running_number_is_no_id(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv", "序号,昵称,QQ号,内容（必填）,Time", "1,小周,20002000,停水,2026-01-01T08:00:00"
    )
    (post,) = posts(path)
    assert (post.author, post.text, post.posted_at) == ("20002000", "停水", datetime(2026, 1, 1, tzinfo=UTC))
    assert post.external_id.startswith("row-")


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-01 15:04",
        "2026/1/1 15:04",
        "2026/1/1 15:04:00",
        "2026.1.1 15:04",
        "2026年1月1日 15:04",
        "2026年1月1日15时4分",
        "2026/1/1 下午3:04",
        "2026/1/1 3:04 PM",
        "2026-01-01T07:04:00Z",
        "1767251040",
        "1767251040000",
        "46023.627777777779",
    ],
)
def test_a_time_is_read_as_people_and_spreadsheets_write_it(tmp_path: Path, written: str) -> None:
    (post,) = posts(write(tmp_path / "p.csv", "text;时间", f"x;{written}"))
    assert post.posted_at == datetime(2026, 1, 1, 7, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", ["1970/1/1", "9999/12/31", "2026/2/30", "0001-01-01", "1e300", "昨天", "24:61"]
)
def test_an_impossible_time_is_none(tmp_path: Path, written: str) -> None:
    (post,) = posts(write(tmp_path / "p.csv", "text;时间", f"x;{written}"))
    assert post.posted_at is None


def test_a_number_that_a_spreadsheet_has_rounded_is_refused_not_repaired(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "id,作者,text", "7.58889E+18,a,x", "1,2.0002E+10,x", "2,a,1.5E+10")
    assert reasons(path) == ["rounded", "rounded"]
    assert [post.text for post in posts(path)] == ["1.5E+10"]


def test_without_a_column_of_texts_nothing_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="内容") as told:
        posts(write(tmp_path / "p.csv", "a,b", "1,2"))
    assert told.value.reason == "columns"


def test_every_name_of_a_column_stands_in_the_documentation() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "connectors.md"
    words = set(page.read_text(encoding="utf-8").lower().replace("|", " ").split())
    assert not [name for names in COLUMNS.values() for name in names if name not in words]


# --- ids -------------------------------------------------------------------------------------------


def csv_rows(path: Path, rows: Iterable[tuple[str, str, str]]) -> Path:
    return write(path, "时间,作者,内容", *(",".join(row) for row in rows))


ROWS = [(f"2026-01-01 08:{n // 3:02}:00", f"u{n % 2}", "收到" if n % 3 else f"第 {n} 条") for n in range(30)]


def test_overlapping_exports_without_ids_merge(tmp_path: Path) -> None:
    """Equal posts of the same second stay apart by their order; what both files have has one id."""
    first = posts(csv_rows(tmp_path / "a.csv", ROWS[:21]))
    second = posts(csv_rows(tmp_path / "b.csv", ROWS[12:]))
    ids = {post.external_id for post in first} | {post.external_id for post in second}
    assert len(ids) == len(ROWS)
    assert len({post.external_id for post in first}) == 21


def test_the_same_rows_as_csv_and_as_xlsx_have_the_same_ids(tmp_path: Path) -> None:
    book = tmp_path / "a.xlsx"
    book.write_bytes(workbook([["时间", "作者", "内容"], *ROWS]))
    assert posts(book) == posts(csv_rows(tmp_path / "a.csv", ROWS))


def test_an_id_cannot_be_tried_out_against_a_list_of_members(tmp_path: Path) -> None:
    """The digest has no key, so who said it must not be part of it; twins are told apart by their order."""
    (first,) = posts(csv_rows(tmp_path / "a.csv", [("2026-01-01 08:00", "20002000", "收到")]))
    (second,) = posts(csv_rows(tmp_path / "b.csv", [("2026-01-01 08:00", "30003000", "收到")]))
    assert first.external_id == second.external_id


# --- XLSX ------------------------------------------------------------------------------------------


def book(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "b.xlsx"
    path.write_bytes(data)
    return path


def test_a_cell_is_what_was_stored_with_it_or_its_formula_as_a_text(tmp_path: Path) -> None:
    sheet = (
        '<sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>内容</t></is></c></row>'
        '<row r="3"><c r="A3" t="str"><f>A1&amp;"!"</f><v>内容!</v></c></row>'
        "<row><c><f>1+1</f></c></row>"
        '<row r="2"><c r="A9" t="b"><v>1</v></c></row>'
        '<row><c t="s"><v>0</v></c></row>'
        '<row><c t="s"><v>7</v></c></row>'
        '<row r="x"><c r="?" t="e"><v>#N/A</v></c></row></sheetData>'
    )
    strings = "<si><r><t>三食堂</t></r><r><t>_x000D_停水</t></r><rPh><t>みず</t></rPh></si>"
    path = book(tmp_path, package(sheet, strings))
    assert [post.text for post in posts(path)] == ["内容!", "=1+1", "1", "三食堂\n停水", "#N/A"]
    assert reasons(path) == ["xlsx"]


def test_a_traps_row_numbers_and_columns_are_not_believed(tmp_path: Path) -> None:
    """Nobody waits for the rows in between, and places stay in the order of the file."""

    def row(number: str, column: str, text: str) -> str:
        return f'<row r="{number}"><c r="{column}{number}" t="inlineStr"><is><t>{text}</t></is></c></row>'

    told = [("1", "A", "text"), ("99999999999", "A", "一"), ("1048570", "B", "没有内容"), ("7", "ZZZ", "远")]
    told += [("3", "A", "二"), ("1048576", "A", "三"), ("x", "A", "太多")]
    sheet = "".join(row(*each) for each in told).replace(
        "text</t>", 'text</t></is></c><c r="B1" t="str"><v>id</v><is>'
    )
    path = book(tmp_path, package(f"<sheetData>{sheet}</sheetData>"))
    assert [post.text for post in posts(path)] == ["一", "二", "三"]
    bad = [(item.reason, item.position) for item in items(path) if isinstance(item, Broken)]
    assert bad == [("no_text", "1048570"), ("rows", "1048578")]


def test_a_damaged_sheet_gives_what_stands_before_the_damage(tmp_path: Path) -> None:
    good = "".join(sheet_of([["id", "text"], ["1", "一"], ["2", "二"]]))
    path = book(tmp_path, package(good.replace("</sheetData>", "<row><c></row>")))
    assert [post.text for post in posts(path)] == ["一", "二"]
    assert reasons(path) == ["xlsx"]


ENTITIES = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "part", ["xl/worksheets/sheet1.xml", "xl/strings.xml", "xl/workbook.xml", "_rels/.rels"]
)
def test_a_document_type_is_refused_in_every_part(tmp_path: Path, part: str) -> None:
    good = package("".join(sheet_of([["id", "text"], ["1", "&amp;b;"]])))
    path = tmp_path / "evil.xlsx"
    source = book(tmp_path, good)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            new.writestr(name, text.replace("?>", "?>" + ENTITIES, 1) if name == part else text)
    try:
        found = reasons(path)
    except Malformed as error:
        found = [error.reason]
    assert found in (["dtd"], ["xlsx"], ["columns"])


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("xl/workbook.xml", "<workbook/>")
        with out.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as part:
            for _time in range(100):
                part.write(b"<row/>" * 200_000)
    with pytest.raises(Malformed, match="absurd") as told:
        posts(path)
    assert told.value.reason == "bomb"


def test_a_tag_without_end_and_a_cell_without_end_take_no_memory(tmp_path: Path) -> None:
    """Neither is tight enough to be refused by its size alone."""
    import random

    noise = random.Random(1)
    letters = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6_000_000))
    head = "".join(sheet_of([["id", "text"], ["1", "一"]])).replace("</sheetData>", "")
    tag = book(tmp_path, package([head, f'<row a="{letters}"/>', "</sheetData>"]))
    assert reasons(tag) == ["bomb"]
    cell = f'<row><c r="A3" t="inlineStr"><is><t>2</t></is></c><c t="str"><v>{letters}</v></c></row>'
    long = book(tmp_path, package([head, cell, "</sheetData>"]))
    assert [len(post.text) for post in posts(long)] == [1, 20_000]


def test_the_sheet_with_the_texts_is_found_and_hidden_ones_are_not_read(tmp_path: Path) -> None:
    import openpyxl

    made = openpyxl.Workbook()
    made.active.append(["这是封面"])
    hidden = made.create_sheet("统计")
    hidden.append(["内容"])
    hidden.append(["不该读"])
    hidden.sheet_state = "hidden"
    shown = made.create_sheet("数据")
    shown.append(["内容", "时间"])
    shown.append(["该读的", datetime(2026, 1, 1, 8)])  # noqa: DTZ001
    made.save(tmp_path / "o.xlsx")
    (post,) = posts(tmp_path / "o.xlsx")
    assert (post.text, post.posted_at) == ("该读的", datetime(2026, 1, 1, tzinfo=UTC))


def test_numbers_of_members_in_a_sheet_are_whole_or_refused(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["编号", "qq", "内容"], [1, 20002000, "整数"], [2.0, 20002000.0, "小数点"]]
    path = book(tmp_path, workbook([*rows, [7588888888888888888, 1, "坏了"], [4, 1.23e17, "也坏了"]]))
    assert [(p.external_id, p.author) for p in posts(path)] == [("1", "20002000"), ("2", "20002000")]
    assert reasons(path) == ["rounded", "rounded"]


# --- formats ---------------------------------------------------------------------------------------

NOT_OURS = {
    "old xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "save it as .xlsx"),
    "mht": (b"From: <Saved by Tencent MsgMgr>\r\nMIME-Version: 1.0\r\n", "text file"),
    "pdf": (b"%PDF-1.7\n", "not known"),
    "a zip that is no workbook": (b"PK\x03\x04" + b"\x00" * 100, "save it anew"),
    "empty": (b"", "empty"),
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_what_is_none_of_ours_says_what_to_do(tmp_path: Path, name: str) -> None:
    data, words = NOT_OURS[name]
    path = tmp_path / "file.bin"
    path.write_bytes(data)
    with pytest.raises(Malformed, match=words):
        posts(path)


@pytest.mark.parametrize(("form", "reason"), [("xlsx", "xlsx"), ("qq-txt", "banner"), ("qce-json", "shape")])
def test_a_wrong_name_for_the_format_is_told(tmp_path: Path, form: str, reason: str) -> None:
    with pytest.raises(Malformed) as told:
        posts(write(tmp_path / "p", GOOD), form)
    assert told.value.reason == reason


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    for form in ("auto", "jsonl", "csv", "xlsx", "qq-txt", "qce-json"):
        with pytest.raises(Unavailable, match="check its path"):
            posts(tmp_path / "nowhere.csv", form)


def test_a_workbook_is_known_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(workbook([["内容"], ["一"]]))
    assert [post.text for post in posts(path)] == ["一"]


# --- exports of qq-chat-exporter -------------------------------------------------------------------


def test_a_recall_takes_the_words_with_it(tmp_path: Path) -> None:
    row = {
        "seq": "1",
        "id": "9",
        "recalled": True,
        "content": {"text": "说错了"},
        "sender": {"uin": "20002000"},
    }
    whole = {"chatInfo": {"type": "group", "peerUin": "700001"}, "messages": [row]}
    (post,) = posts(write(tmp_path / "e.json", whole))
    assert (post.kind, post.text, post.external_id) == (PostKind.REMOVAL, "", "700001:1")


def test_an_export_that_was_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    rows = [{"seq": str(n), "content": {"text": f"第 {n} 条"}} for n in range(1, 6)]
    whole = json.dumps({"chatInfo": {"type": "group", "peerUin": "700001"}, "messages": rows}).encode()
    path = tmp_path / "e.json"
    path.write_bytes(whole[:-30])
    assert [post.external_id for post in posts(path)] == [f"700001:{n}" for n in range(1, 5)]
    assert reasons(path) == ["json"]


def test_pictures_of_members_are_passed_over_unread(tmp_path: Path) -> None:
    """Even a gigantic part beside the messages, before or after them, is never held."""
    avatars = {"20002000": "data:image/png;base64," + 'A\\"[{' * 700_000}
    row = {"seq": "1", "content": {"text": "在"}}
    whole = {
        "avatars": avatars,
        "chatInfo": {"type": "group", "peerUin": "7"},
        "messages": [row],
        "more": avatars,
    }
    assert [post.text for post in posts(write(tmp_path / "e.json", whole), "qce-json")] == ["在"]


def test_a_private_chat_leaves_no_number_of_a_member_behind(tmp_path: Path) -> None:
    whole = {
        "chatInfo": {"type": "private", "peerUin": "20002000"},
        "messages": [{"id": "9", "seq": "5", "content": {"text": "在"}, "sender": {"uin": "20002000"}}],
    }
    (post,) = posts(write(tmp_path / "e.json", whole))
    assert (post.external_id, post.thread, post.handle) == ("qq-9", None, None)
