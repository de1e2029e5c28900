"""The suite's tables say what the models say: each is held to a count made another way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import corpora
from classifiers import _suite, deep, fast
from classifiers._registry import YES_NO
from classifiers._suite import Serving
from classifiers.fast import FastTier

OWN = Path(corpora.__path__[0])


@pytest.fixture(scope="module")
def model() -> FastTier:
    return fast.load()


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_small_talk_is_counted_by_source(model: FastTier, tmp_path: Path) -> None:
    talk = ["今天天气真好", "收到", "兼职刷单日结三百，加微信", "晚上吃面吗", "你等着，我弄死你全家"]
    with gzip.open(tmp_path / "pool.unlabelled.jsonl.gz", "wt", encoding="utf-8") as file:
        for number, text in enumerate(talk):
            file.write(json.dumps({"text": text, "source": "odd" if number % 2 else "even"}) + "\n")
    both = deep.load()
    lines = [cells(line) for line in _suite.everyday(Serving(model, both), OWN, tmp_path)][2:]
    assert [line[:3] for line in lines] == [
        ["even", "fast", "3"],
        ["odd", "fast", "2"],
        ["all", "fast", "5"],
        ["all", "both", "5"],
    ]
    for tier, line in ((model, lines[2]), (both, lines[3])):
        flagged = [tier.classify([text])[0] for text in talk]
        assert line[3:] == [f"{sum(one.flagged(label) for one in flagged) / 5:.1%}" for label in YES_NO]
        assert line[3] != "0.0%"


def test_without_the_pool_nothing_is_made_up(model: FastTier) -> None:
    assert len(list(_suite.everyday(Serving(model), OWN, None))) == 2


def test_the_normaliser_is_shown_beside_the_text_as_written(model: FastTier) -> None:
    lines = [
        cells(line)
        for line in _suite.evasion(Serving(model), OWN, None)
        if line.startswith("| abuse | all |")
    ]
    pairs = [
        json.loads(line) for line in (OWN / "evasion/pairs.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    mine = [pair for pair in pairs if pair["label"] == "abuse"]
    hidden = sum(one.flagged(YES_NO[3]) for one in model.classify([pair["disguised"] for pair in mine]))
    (found,) = lines
    assert found[2:3] + found[4:5] == [str(len(mine)), str(hidden)]
    assert int(found[5]) < hidden, "without the normaliser fewer are found"


def test_a_public_set_is_measured_by_both_tiers_and_by_what_learnt_on_it(
    model: FastTier, tmp_path: Path
) -> None:
    def write(split: str, talk: dict[str, str]) -> None:
        with gzip.open(tmp_path / f"little.spam.{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            for text, label in talk.items():
                file.write(json.dumps({"text": text, "label": label, "task": "spam"}) + "\n")

    write(
        "train",
        {f"甲乙{word}": "spam" for word in "丙丁戊己"} | {f"天地{word}": "ham" for word in "玄黄宇宙"},
    )
    write("dev", {"甲乙庚": "spam", "天地洪": "ham", "甲乙辛": "spam", "天地荒": "ham"})
    both = deep.load()
    (line,) = [cells(line) for line in _suite.public(Serving(model, both), OWN, tmp_path)][2:]
    assert line[:3] == ["little.spam", "spam", "4"]
    assert [line[at][:5] for at in (4, 7)] == ["0.333", "0.333"], "neither tier knows these words"
    assert line[8] == "1.000", "what learnt on the set does"
    (alone,) = [cells(line) for line in _suite.public(Serving(model), OWN, tmp_path)][2:]
    assert alone[7] == "–"


def test_a_damaged_set_is_told_and_the_others_are_measured(model: FastTier, tmp_path: Path) -> None:
    (tmp_path / "a.spam.dev.jsonl.gz").write_bytes(b"no gzip")
    with gzip.open(tmp_path / "b.spam.dev.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "收到", "label": "ham", "task": "spam"}\n')
    lines = [cells(line) for line in _suite.public(Serving(model), OWN, tmp_path)]
    assert [line[0] for line in lines[2:]] == ["a.spam", "b.spam"]
    assert "cannot be read" in lines[2][1]
    assert len({len(line) for line in lines}) == 1
