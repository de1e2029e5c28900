"""``huiyin import``: counts that add up, twice is once, nothing stored in a rehearsal, memory that stays flat."""

from __future__ import annotations

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cli_world import Huiyin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import bootstrap, config
from monitor.core.ports import PostFilter

KEYS = {"read", "new", "duplicate", "updated", "quarantined", "seconds"}


def write(path: Path, *lines: object) -> Path:
    path.write_text(
        "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines),
        encoding="utf-8",
    )
    return path


def texts(data: Path) -> list[str]:
    app = bootstrap.build(config.load(None, data, {}), models=False)
    with app.deps.uow.read() as store:
        found = [post.text for post in reversed(store.posts.page(PostFilter(), None, 10_000))]
    app.close()
    return found


def counted(row: dict[str, int]) -> tuple[int, ...]:
    return tuple(row[key] for key in ("read", "new", "duplicate", "updated", "quarantined"))


def test_the_counts_add_up_and_twice_is_once(huiyin: Huiyin, data: Path, tmp_path: Path) -> None:
    posts = [{"id": f"{n}", "text": f"第 {n} 条", "author": f"a{n}"} for n in range(1203)]
    file = write(tmp_path / "posts.jsonl", *posts)
    first = huiyin("import", file, "--channel", "forum")
    (row,) = first.rows()
    assert set(row) == KEYS
    assert (first.code, counted(row)) == (0, (1203, 1203, 0, 0, 0))
    assert counted(huiyin("import", file, "--channel", "forum").rows()[0]) == (1203, 0, 1203, 0, 0)
    posts[7]["text"] = "改过的"
    write(file, *posts)
    assert counted(huiyin("import", file, "--channel", "forum").rows()[0]) == (1203, 0, 1202, 1, 0)


def test_what_cannot_be_read_is_parked_and_the_rest_goes_on(
    huiyin: Huiyin, data: Path, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "p.jsonl", {"id": "1", "text": "一"}, "{not json", {"id": "3"}, {"id": "4", "text": "四"}
    )
    answer = huiyin("import", file, "--channel", "forum")
    assert (answer.code, counted(answer.rows()[0])) == (3, (4, 2, 0, 0, 2))
    assert texts(data) == ["一", "四"]


def test_a_rehearsal_stores_nothing_and_counts_the_same(huiyin: Huiyin, data: Path, tmp_path: Path) -> None:
    huiyin("import", write(tmp_path / "a.jsonl", {"id": "1", "text": "一"}), "--channel", "forum")
    file = write(
        tmp_path / "b.jsonl",
        {"id": "1", "text": "一"},
        {"id": "1", "text": "壹"},
        {"id": "2", "text": "二"},
        "{",
    )
    rehearsed = huiyin("import", file, "--channel", "forum", "--dry-run")
    assert texts(data) == ["一"]
    real = huiyin("import", file, "--channel", "forum")
    assert rehearsed.code == real.code == 3
    assert counted(rehearsed.rows()[0]) == counted(real.rows()[0]) == (4, 1, 1, 1, 1)


def test_every_format_is_known_by_its_name_and_by_itself(huiyin: Huiyin, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["id", "text"], ["1", "一"], ["2", "二"]])
    assert counted(huiyin("import", file, "--channel", "t", "--format", "csv").rows()[0]) == (2, 2, 0, 0, 0)
    assert counted(huiyin("import", file, "--channel", "t").rows()[0]) == (2, 0, 2, 0, 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere.jsonl", "--channel", "forum"], 2),
        ([".", "--channel", "forum"], 2),
        (["{file}"], 2),
        (["{file}", "--channel", "群 一"], 2),
        (["{file}", "--channel", "forum", "--format", "pdf"], 2),
        (["{file}", "--channel", "forum", "--format", "xlsx"], 1),
    ],
)
def test_wrong_use_says_what_to_do_and_stores_nothing(
    huiyin: Huiyin, data: Path, tmp_path: Path, words: list[str], code: int
) -> None:
    file = write(tmp_path / "p.jsonl", {"id": "1", "text": "一"})
    answer = huiyin("import", *(word.format(file=file) for word in words))
    assert (answer.code, answer.out) == (code, "")
    assert answer.err
    assert "Traceback" not in answer.err
    assert texts(data) == []


def test_a_channel_that_is_only_imported_into_is_known_afterwards(
    huiyin: Huiyin, data: Path, tmp_path: Path
) -> None:
    huiyin("import", write(tmp_path / "p.jsonl", {"id": "1", "text": "一"}), "--channel", "forum")
    (row,) = huiyin("channel", "list", "--json").rows()
    assert (row["name"], row["type"], row["declared"]) == ("forum", "file", False)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_bytes_are_counted_line_by_line(
    huiyin: Huiyin, data: Path, tmp_path: Path, lines: list[bytes]
) -> None:
    file = tmp_path / "any.jsonl"
    file.write_bytes(b"\n".join(lines))
    answer = huiyin("import", file, "--channel", "forum", "--format", "jsonl", "--dry-run")
    assert answer.code in (0, 3)
    (row,) = answer.rows()
    assert row["read"] == row["new"] + row["duplicate"] + row["updated"] + row["quarantined"]


@pytest.mark.slow
def test_memory_stays_flat_however_long_the_file_is(tmp_path: Path) -> None:
    """Peak memory of an import of 20,000 posts is that of 2,000, give or take the page cache."""
    peaks = []
    for count in (2_000, 20_000):
        folder = tmp_path / f"{count}"
        folder.mkdir()
        file = write(
            folder / "p.jsonl",
            *({"id": f"{n}", "text": f"第 {n} 条，食堂今天人很多" * 3} for n in range(count)),
        )
        words = [
            sys.executable,
            "-m",
            "monitor.cli",
            "--data",
            str(folder / "d"),
            "import",
            str(file),
            "--channel",
            "f",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        made = subprocess.run(words, capture_output=True, text=True, check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(count, made.stdout.strip(), f"peak {peak / 1024:.0f} MiB (before {before / 1024:.0f})")
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 40 * 1024
