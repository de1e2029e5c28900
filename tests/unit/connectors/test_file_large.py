"""Large files with flat memory.

Each is read by a process of its own, and its peak is VmHWM: ru_maxrss begins with the size of whoever started it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_scene import sheet_of, write_package

READ = """
import json, sys, time
from pathlib import Path
from connectors.file import read
from monitor.core.model import Broken
begun, posts, bad = time.process_time(), 0, 0
for item in read(Path(sys.argv[1]), "auto", "c"):
    bad += isinstance(item, Broken)
    posts += not isinstance(item, Broken)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([posts, bad, int(peak) // 1024, round(time.process_time() - begun, 1)]))
"""
SAID = "三食堂二楼又停水了，请后勤处尽快处理，谢谢大家关注"


def measure(path: Path) -> tuple[int, int, float]:
    """Return posts, Broken items and peak MiB of a process that reads ``path``."""
    made = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    posts, bad, peak, seconds = json.loads(made.stdout)
    print(f"{path.name}: {posts} posts, {bad} broken, peak {peak} MiB, {seconds} s of CPU")
    return posts, bad, peak


def shared(count: int) -> tuple[Iterator[str], Iterator[str]]:
    """Return sheet and strings as Excel writes them: every text once in the table of strings."""

    def sheet() -> Iterator[str]:
        yield '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
        for n in range(count):
            yield (
                f'<row r="{n + 2}" spans="1:2" ht="15" customHeight="1">'
                f'<c r="A{n + 2}" t="s"><v>{2 * n + 2}</v></c><c r="B{n + 2}" t="s"><v>{2 * n + 3}</v></c></row>'
            )
        yield "</sheetData>"

    def strings() -> Iterator[str]:
        yield "<si><t>编号</t></si><si><t>内容</t></si>"
        for n in range(count):
            yield f"<si><t>p{n}</t></si><si><t>第 {n} 条：{SAID}</t></si>"

    return sheet(), strings()


@pytest.mark.slow
def test_a_hundred_thousand_rows_of_a_workbook_take_no_more_memory_than_a_few(tmp_path: Path) -> None:
    """A million rows took 123 MiB with a table of strings and 50 MiB without; see docs/connectors.md."""
    peaks = []
    for count in (1_000, 100_000):
        path = tmp_path / f"{count}.xlsx"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            write_package(out, *shared(count))
        posts, bad, peak = measure(path)
        assert (posts, bad) == (count, 0)
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 40


def test_inline_rows_csv_and_exports_stay_flat_too(tmp_path: Path) -> None:
    count = 30_000
    texts = [f"第 {n} 条：{SAID}" for n in range(count)]
    book = tmp_path / "inline.xlsx"
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        write_package(out, sheet_of([["内容"], *([text] for text in texts)]))
    table = tmp_path / "table.csv"
    table.write_text("内容\n" + "\n".join(texts), encoding="gb18030")
    chat = tmp_path / "chat.json"
    rows = [{"id": str(n), "seq": str(n + 1), "content": {"text": text}} for n, text in enumerate(texts)]
    whole = {
        "chatInfo": {"type": "group", "peerUin": "7"},
        "messages": rows,
        "avatars": {"1": "A" * 8_000_000},
    }
    chat.write_text(json.dumps(whole), encoding="utf-8")
    log = tmp_path / "log.txt"
    log.write_text(
        "消息记录\n" + "".join(f"2026-01-01 8:00:00 周(20002000)\n{text}\n\n" for text in texts),
        encoding="utf-8",
    )
    for path in (book, table, chat, log):
        posts, bad, peak = measure(path)
        assert (posts, bad) == (count, 0), path.name
        assert peak < 80, path.name
