"""The commands classify, evaluate, train and models as a user or a script meets them."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from classifiers._version import Made
from monitor.cli import _lines
from monitor.cli._lines import Format
from monitor.cli.main import build

ROOT = Path(__file__).resolve().parents[3]
PART = ROOT / "corpora/domain/part1.jsonl"
ANSWERS = {"spam", "rumour", "grievance", "abuse", "risk", "sentiment", "topic", "urgency", "tier", "models"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data directory."""
    monkeypatch.setenv("HUIYIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def call(*arguments: str | Path, given: bytes | str = b"") -> Result:
    words = [str(word) for word in arguments]
    return CliRunner().invoke(build(words), words, input=given)


def objects(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- classify --------------------------------------------------------------------------------------


def test_every_line_is_answered_in_order_and_passed_through(data: Path) -> None:
    lines = PART.read_text(encoding="utf-8").splitlines()[:300]
    posts = [
        {"id": row["id"], "text": row["text"], "x": {"deep": [1, 2.5, None]}}
        for row in map(json.loads, lines)
    ]
    result = call("classify", "-", given="\n".join(json.dumps(post) for post in posts))
    assert result.exit_code == 0, result.stderr
    found = objects(result)
    assert [row["id"] for row in found] == [post["id"] for post in posts]
    for row, post in zip(found, posts, strict=True):
        assert {key: value for key, value in row.items() if key not in ANSWERS} == post
        assert set(row) >= ANSWERS
        for label in ("spam", "rumour", "grievance", "abuse", "risk"):
            assert 0 <= row[label]["score"] <= 1
            assert ("reasons" in row[label]) == row[label]["flag"]
            for reason in row[label].get("reasons", []):
                assert post["text"][reason["start"] : reason["end"]] == reason["text"]
                assert reason["why"]
        assert row["sentiment"]["label"] in ("negative", "neutral", "positive")
        assert (row["topic"] is not None) == (row["grievance"]["flag"] or row["rumour"]["flag"])
        if not row["grievance"]["flag"]:
            assert row["grievance"]["topic"] is None
            assert row["grievance"]["urgency"] is None
        assert row["tier"] in ("fast", "deep")
        assert row["models"]["spam"].startswith("spam@")


def test_own_labels_of_a_row_make_way_for_the_answers(data: Path) -> None:
    (row,) = objects(call("classify", given='{"text": "收到", "spam": 1, "topic": "pay", "note": "n"}'))
    assert row["spam"]["flag"] is False
    assert row["topic"] is None
    assert row["note"] == "n"


def test_lines_that_cannot_be_read_are_named_and_the_others_go_on(data: Path) -> None:
    given = (
        b'{"text": "a"}\n{"id": 1}\n\nnot json\n[1]\n\xff\xfe\n{"text": 5}\n{"text": "b", "n": NaN}\n'
        + b"[" * 100_000
        + b"\n"
    )
    result = call("classify", "--format", "jsonl", "-", given=given + b'{"text": "\\ud800z"}')
    assert result.exit_code == 3
    found = objects(result)
    assert [row.get("error", {}).get("code") for row in found] == [
        None, "text", "json", "shape", "encoding", "text", "json", "too_deep", None,
    ]  # fmt: skip
    assert [row["line"] for row in found if "error" in row] == [2, 4, 5, 6, 7, 8, 9]
    assert all(row["error"]["message"] for row in found if "error" in row)
    assert found[-1]["text"] == "\ud800z"
    assert "7" in result.stderr


def test_text_lines_are_numbered(data: Path) -> None:
    found = objects(call("classify", "--format", "text", given="食堂的饭\n\n{“text”: 1}"))
    assert [(row["id"], row["text"]) for row in found] == [(1, "食堂的饭"), (2, ""), (3, "{“text”: 1}")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('\ufeff{"text": "a"}\n', ["a"]),
        ('\n\n{"text": "a"}', ["a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("", []),
    ],
)
def test_the_form_is_guessed(data: Path, given: str, expected: list[str]) -> None:
    assert [row["text"] for row in objects(call("classify", given=given))] == expected


def test_explain_tells_reasons_for_every_answer(data: Path) -> None:
    (row,) = objects(call("classify", "--explain", "-", given="麻烦工会问问食堂的排队"))
    assert all(row[label]["reasons"] for label in ("spam", "rumour", "grievance", "abuse", "risk"))


def test_the_answers_do_not_depend_on_explain(data: Path) -> None:
    text = PART.read_text(encoding="utf-8")
    plain, told = objects(call("classify", given=text)), objects(call("classify", "--explain", given=text))
    for one, other in zip(plain, told, strict=True):
        for label in ("spam", "rumour", "grievance", "abuse", "risk"):
            assert (one[label]["score"], one[label]["flag"]) == (other[label]["score"], other[label]["flag"])


def test_wrong_use_ends_with_two_and_a_missing_tier_with_one(data: Path, tmp_path: Path) -> None:
    assert call("classify", tmp_path / "nothing.jsonl").exit_code == 2
    assert call("classify", "--tier", "huge").exit_code == 2
    slot = data.parent / "data" / "models-deep"
    slot.mkdir(parents=True)
    (slot / "active.json").write_text('{"history": ["deep-gone"]}', encoding="utf-8")
    done = _process("classify", "--tier", "deep", "-", given=b"x")
    assert done.returncode == 1
    assert "deep-gone" in done.stderr.decode()
    assert done.stdout == b""
    (row,) = objects(call("classify", "--tier", "fast", given="收到"))
    assert row["tier"] == "fast"


def test_a_damaged_model_ends_with_one_and_a_mend(data: Path, made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "v")
    assert call("models", "add", tmp_path / "v").exit_code == 0
    assert call("models", "use", "1.0").exit_code == 0
    (data / "models/1.0/weights.npz").write_bytes(b"")
    done = _process("classify", "-", given=b"x", data=data)
    assert done.returncode == 1
    assert "huiyin models rollback" in done.stderr.decode()


def _process(*words: str, given: bytes, data: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **({"HUIYIN_DATA": str(data)} if data else {})}
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", *words],
        input=given,
        capture_output=True,
        env=environment,
        timeout=60,
    )


def test_answers_come_while_the_input_is_still_open(data: Path) -> None:
    """A pipe that stays open: each post is answered before the next one is written."""
    with subprocess.Popen(
        [sys.executable, "-m", "monitor.cli", "classify", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for number in range(3):
            running.stdin.write(json.dumps({"id": number, "text": "收到"}).encode() + b"\n")
            running.stdin.flush()
            assert json.loads(running.stdout.readline())["id"] == number
        running.stdin.close()
        assert running.wait(30) == 0


def test_classifying_imports_neither_sklearn_nor_jieba(data: Path) -> None:
    code = (
        "import sys\nfrom monitor.cli.main import main\n"
        "try:\n main(['classify', '-'])\nexcept SystemExit:\n pass\n"
        "print([name for name in ('sklearn', 'jieba', 'pandas', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"\xe6\x94\xb6", capture_output=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == b"[]"


def test_it_starts_soon(data: Path) -> None:
    """Under two seconds of processor time from nothing to the first answer (the machine may be busy)."""
    before = os.times()
    assert _process("classify", "-", given="收到".encode()).returncode == 0
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 3.0


# --- reading lines ---------------------------------------------------------------------------------


class Drips(io.RawIOBase):
    """A stream that hands out a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content, self._size = content, size

    def read1(self, _most: int = -1) -> bytes:
        piece, self._content = self._content[: self._size], self._content[self._size :]
        return piece


LINES = st.lists(
    st.sampled_from([b"", b" ", b"{", b'{"text":"a"}', "食堂".encode(), b"\xff", b'{"text":1}', b"x\r"]),
    max_size=8,
)


@settings(max_examples=200)
@given(LINES, st.integers(1, 9), st.sampled_from(list(Format)))
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], size: int, form: Format) -> None:
    content = b"\n".join(lines)
    drips: Any = Drips(content, size)
    found = [line for batch in _lines.batches(drips, form) for line in batch]
    whole = [line for batch in _lines.batches(io.BytesIO(content), form) for line in batch]
    assert found == whole


def test_a_line_without_end_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lines, "_LONGEST", 100)
    drips: Any = Drips(b"a\n" + b"x" * 1000 + b"\nb\n", 64)
    found = [line for batch in _lines.batches(drips, Format.TEXT) for line in batch]
    assert [line.code for line in found] == ["", "too_long", ""]
    assert [line.number for line in found] == [1, 2, 3]


# --- evaluate --------------------------------------------------------------------------------------


def test_evaluate_prints_every_figure(data: Path) -> None:
    result = call("evaluate", "spam", PART, "--json")
    assert result.exit_code == 0, result.stderr
    (found,) = objects(result)
    assert found["n"] == 445
    assert found["classes"]["1"]["n"] == 79
    assert {"accuracy", "macro_f1", "pr_auc", "ece", "confusion", "posts_per_s", "f1", "model"} <= set(found)
    assert {"precision", "recall", "f1", "precision_95", "recall_95", "f1_95"} <= set(found["classes"]["1"])
    assert "f1: " in call("evaluate", "spam", PART).stdout


def test_evaluate_reads_public_rows_packed_or_not(data: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "收到谢谢", "label": "ham", "task": "spam"},
        {"text": "兼职刷单日结加微信", "label": "spam", "task": "spam"},
        {"text": "别的任务", "label": "offensive", "task": "offensive"},
    ]
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in rows).encode()))
    (found,) = objects(call("evaluate", "spam", path, "--json"))
    assert (found["n"], found["rows"]) == (2, 3)
    (found,) = objects(call("evaluate", "offensive", path, "--json"))
    assert (found["n"], found["question"]) == (1, "abuse")


def test_evaluate_quotes_failures_when_asked(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"text": "兼职刷单日结加微信", "spam": 0}\n{"text": "收到", "spam": 0}\n', encoding="utf-8"
    )
    (found,) = objects(call("evaluate", "spam", path, "--json", "--failures", "5"))
    (failure,) = found["failures"]
    assert (failure["text"], failure["truth"], failure["said"]) == ("兼职刷单日结加微信", "0", "1")
    assert "兼职刷单日结加微信" in call("evaluate", "spam", path, "--failures", "1").stdout
    assert "兼职" not in call("evaluate", "spam", path).stdout


def test_evaluate_values(data: Path) -> None:
    for task, n in (("sentiment", 445), ("topic", 206), ("urgency", 218)):
        (found,) = objects(call("evaluate", task, PART, "--json"))
        assert found["n"] == pytest.approx(n, abs=15)
        assert found["f1"] == found["macro_f1"]["value"]


def test_evaluate_claim_match_and_pairs(data: Path, tmp_path: Path) -> None:
    claims, queries, pairs = tmp_path / "c.jsonl", tmp_path / "q.jsonl", tmp_path / "p.jsonl"
    _write(claims, [{"id": "a", "claim": "绩效工资下学期砍掉一半"}, {"id": "b", "claim": "食堂的油是地沟油"}])
    _write(
        queries,
        [
            {"id": 1, "query": "听说绩效工资下学期要砍掉一半？", "relevant": ["a"]},
            {"id": 2, "query": "今天的月亮真圆啊大家看见没有", "relevant": []},
        ],
    )
    (found,) = objects(call("evaluate", "claim_match", queries, "--claims", claims, "--json"))
    assert (found["hit_at_1"], found["hit_at_3"], found["any_match_auc"]) == (1.0, 1.0, 1.0)
    assert found["same"] == {"said": 1, "precision": 1.0, "coverage": 1.0}
    _write(
        pairs,
        [
            {"a": "绩效工资下学期砍掉一半", "b": "下学期绩效工资砍掉一半", "label": "1"},
            {"a": "绩效工资下学期砍掉一半", "b": "食堂的油是地沟油", "label": "0"},
        ],
    )
    (found,) = objects(call("evaluate", "pair", pairs, "--json"))
    assert found["roc_auc"] == 1.0


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")


def test_evaluate_wrong_use(data: Path, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}', encoding="utf-8")
    assert _process("evaluate", "nonsense", str(PART), given=b"").returncode == 2
    assert _process("evaluate", "spam", str(tmp_path / "x.jsonl"), given=b"").returncode == 2
    assert _process("evaluate", "claim_match", str(PART), given=b"").returncode == 2


# --- train and models ------------------------------------------------------------------------------


def test_train_adds_a_version_that_can_be_used_and_left_again(data: Path, corpus: Path) -> None:
    result = call("train", "all", "--version", "1.0", "--corpus", corpus)
    assert result.exit_code == 0, result.stderr
    (told,) = objects(result)
    assert told["version"] == "1.0"
    assert told["promoted"] is False
    assert told["held_out_f1"]["spam"] > 0.9
    assert (data / "models/1.0/card.md").read_text(encoding="utf-8").startswith("# fast 1.0")
    listed = [
        row for row in objects(call("models", "list", "--json")) if not row["version"].startswith("deep-")
    ]
    assert [(row["version"], row["serves"]) for row in listed][1:] == [("1.0", False)]
    assert call("models", "use", "1.0").exit_code == 0
    assert objects(call("classify", given="x"))[0]["models"]["spam"] == "spam@1.0"
    assert objects(call("models", "rollback")) == [{"serves": "shipped"}]
    assert objects(call("classify", given="x"))[0]["models"]["spam"] != "spam@1.0"
    assert "1.0" in call("models", "list").stdout


def test_train_promotes_only_what_is_better(data: Path, corpus: Path, made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "v")
    call("models", "add", tmp_path / "v")
    call("models", "use", "1.0")
    same = call("train", "all", "--version", "1.1", "--corpus", corpus, "--promote-if-better")
    assert objects(same)[0]["promoted"] is False
    assert same.exit_code == 1
    assert "spam" in same.stderr
    assert "1.1" not in objects(call("classify", given="x"))[0]["models"]["spam"]
    own = tmp_path / "own.jsonl"
    _write(
        own,
        [{"text": f"猕猴桃团购{n}", "spam": 1} for n in range(150)]
        + [{"text": f"苹果树下{n}", "spam": 0} for n in range(150)],
    )
    better = call(
        "train", "spam", "--data", own, "--version", "1.2", "--corpus", corpus, "--promote-if-better"
    )
    assert objects(better)[0]["promoted"] is True, better.stderr
    assert objects(call("classify", given="x"))[0]["models"]["spam"] == "spam@1.2"


def test_train_writes_into_a_folder_of_its_own(data: Path, corpus: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "letter.txt").write_text("keep me", encoding="utf-8")
    assert _process("train", "all", "--corpus", str(corpus), "--out", str(full), given=b"").returncode == 2
    assert [path.name for path in full.iterdir()] == ["letter.txt"]
    assert _process("train", "nonsense", given=b"").returncode == 2
    out = call("train", "all", "--version", "3.0", "--corpus", corpus, "--out", tmp_path / "new")
    assert out.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "card.md", "evaluation.json", "gold.npz", "manifest.json", "weights.npz",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def _not_too_slow() -> Iterator[None]:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 60
