"""The suite's tables say what the models say: each is held to a count made another way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import corpora
from classifiers import _suite, fast
from classifiers._registry import YES_NO
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
    lines = list(_suite.everyday(model, OWN, tmp_path))
    flagged = [model.classify([text])[0] for text in talk]
    assert [cells(line)[:2] for line in lines[2:]] == [["even", "3"], ["odd", "2"], ["all", "5"]]
    told = cells(lines[-1])[2:]
    assert told == [f"{sum(one.flagged(label) for one in flagged) / 5:.1%}" for label in YES_NO]
    assert told[0] != "0.0%"


def test_without_the_pool_nothing_is_made_up(model: FastTier) -> None:
    assert len(list(_suite.everyday(model, OWN, None))) == 2


def test_the_normaliser_is_shown_beside_the_text_as_written(model: FastTier) -> None:
    lines = [cells(line) for line in _suite.evasion(model, OWN, None) if line.startswith("| abuse | all |")]
    pairs = [
        json.loads(line) for line in (OWN / "evasion/pairs.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    mine = [pair for pair in pairs if pair["label"] == "abuse"]
    hidden = sum(one.flagged(YES_NO[3]) for one in model.classify([pair["disguised"] for pair in mine]))
    (found,) = lines
    assert found[2:3] + found[4:5] == [str(len(mine)), str(hidden)]
    assert int(found[5]) < hidden, "without the normaliser fewer are found"
