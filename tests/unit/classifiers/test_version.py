"""A model version: made, written, checked, used, promoted when better, rolled back."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import little_corpus
import numpy as np
import pytest

from classifiers import _artifact, _train, _version
from classifiers._gold import Compared, Gold
from classifiers._registry import BY_LABEL, QUESTIONS
from classifiers._version import Made
from classifiers.fast import FastTier, load
from monitor.core.errors import ClassifierError
from monitor.core.model import Label


def test_a_version_answers_what_it_learnt(made: Made) -> None:
    model = FastTier(made.model)
    spam, abuse, plain = model.classify(["兼职刷单日结加微信", "你这个废物滚", "收到"])
    assert spam.flagged(Label.SPAM)
    assert abuse.flagged(Label.ABUSE)
    assert not any(signal.flag for signal in plain.signals)
    (case,) = model.classify(["食堂一直没人管"])
    assert case.flagged(Label.GRIEVANCE)
    assert case.value(Label.TOPIC) == "canteen"
    assert case.value(Label.URGENCY) == "normal"


def test_the_figures_are_of_a_model_that_had_not_seen_the_test_parts(made: Made) -> None:
    assert made.evaluation["held_out_parts"] == ["part3"]
    assert set(made.evaluation["held_out"]) == {str(q.label) for q in QUESTIONS}
    assert made.evaluation["held_out"]["spam"]["n"] == len(little_corpus.rows(3, "l3"))
    assert made.evaluation["cross_validated"]["spam"]["n"] == made.facts["rows"]
    assert made.facts["measured_without"] == ["part3.jsonl"]


def test_the_measured_model_has_not_read_the_held_out_words(corpus: Path) -> None:
    """A word that only the test part holds has no weight in the measured model."""
    found = _version.read_corpus(corpus)
    odd = _train.Example(
        "魑魅魍魉加微信", {"text": "x", **little_corpus.EASY, **little_corpus.CALM, "spam": 1}, "part3"
    )
    changed = replace(found, parts={**found.parts, "part3": [*found.parts["part3"], odd]})
    assert odd not in changed.learn()
    assert odd in changed.held()
    assert odd in changed.all()


def test_the_card_names_sources_and_figures(made: Made) -> None:
    card = made.model.card
    for word in ("part1.jsonl", "part3.jsonl", "CC BY 4.0", "| spam |", "had not seen", "Known limits"):
        assert word in card
    assert all(f"**{question.label}**" in card for question in QUESTIONS)


def test_written_and_read_again_it_answers_the_same(made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "v")
    texts = [row["text"] for row in little_corpus.rows(9, "x")]
    before, after = FastTier(made.model).scores(texts), load(tmp_path / "v").scores(texts)
    for name, scores in before.items():
        assert np.abs(scores - after[name]).max() < 0.04, name  # weights are kept in coarse steps
    assert _artifact.evaluation(tmp_path / "v") == json.loads(json.dumps(made.evaluation))


def test_the_same_corpus_gives_the_same_bytes(made: Made, corpus: Path, tmp_path: Path) -> None:
    made.save(tmp_path / "one")
    _version.make(_version.read_corpus(corpus), "1.0").save(tmp_path / "two")
    for name in ("weights.npz", "manifest.json", "evaluation.json", "card.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


# --- damage ----------------------------------------------------------------------------------------


def _edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"hash_version": 1}, "train it again"),
        ({"normaliser_version": 0}, "train it again"),
        ({"word_list": "other"}, "train it again"),
        ({"format": 99}, "unknown format"),
        ({"format": 2}, "earlier release"),
        ({"heads": []}, "do not fit"),
        ({"bits": 40}, "do not fit"),
        ({"thresholds": None}, "do not fit"),
        ({"weights_sha256": "0"}, "hash"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    made: Made, tmp_path: Path, change: dict[str, Any], word: str
) -> None:
    made.save(tmp_path / "v")
    _edit(tmp_path / "v", **change)
    with pytest.raises(ClassifierError, match=word):
        _artifact.read(tmp_path / "v")


@pytest.mark.parametrize("name", ["weights.npz", "manifest.json"])
def test_a_damaged_or_missing_file_is_refused(made: Made, tmp_path: Path, name: str) -> None:
    made.save(tmp_path / "v")
    path = tmp_path / "v" / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ClassifierError):
        _artifact.read(tmp_path / "v")
    path.unlink()
    with pytest.raises(ClassifierError):
        _artifact.read(tmp_path / "v")


def test_a_model_without_every_question_is_refused(made: Made) -> None:
    with pytest.raises(ClassifierError, match="train all"):
        FastTier(replace(made.model, thresholds={}))


@pytest.mark.parametrize("look", [((1.0, 2.0),), (), ((1.0,) * 17,) * 2])
def test_a_look_of_another_shape_is_refused(made: Made, look: Any) -> None:
    with pytest.raises(ClassifierError, match="train all"):
        FastTier(replace(made.model, looks={**made.model.looks, "spam": look}))


# --- the versions of an installation ---------------------------------------------------------------


def test_add_use_and_rollback(made: Made, tmp_path: Path) -> None:
    models = tmp_path / "models"
    made.save(tmp_path / "v")
    assert _artifact.add(models, tmp_path / "v") == "1.0"
    with pytest.raises(ClassifierError, match="already"):
        _artifact.add(models, tmp_path / "v")
    assert _artifact.active_folder(models) == _artifact.SHIPPED
    _artifact.use(models, "1.0")
    _artifact.use(models, "1.0")
    assert _artifact.active_folder(models) == models / "1.0"
    assert [found.serves for found in _artifact.versions(models)] == [False, True]
    assert _artifact.rollback(models) == "shipped"
    with pytest.raises(ClassifierError, match="shipped one serves"):
        _artifact.rollback(models)
    assert _artifact.active_folder(models) == _artifact.SHIPPED


def test_a_damaged_version_is_listed_with_its_fault(made: Made, tmp_path: Path) -> None:
    models = tmp_path / "models"
    made.save(tmp_path / "v")
    _artifact.add(models, tmp_path / "v")
    (models / "1.0" / "weights.npz").write_bytes(b"nothing")
    shipped, broken = _artifact.versions(models)
    assert shipped.fault == ""
    assert "hash" in broken.fault
    with pytest.raises(ClassifierError):
        _artifact.use(models, "1.0")


@pytest.mark.parametrize("name", ["../x", "shipped", "", "A", "a/b", ".hidden"])
def test_unsafe_version_names_are_refused(made: Made, tmp_path: Path, name: str) -> None:
    with pytest.raises(ClassifierError):
        _artifact.add_made(tmp_path / "models", name, made.save)
    if name != "shipped":
        with pytest.raises(ClassifierError):
            _artifact.use(tmp_path / "models", name)


def test_a_version_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        folder.mkdir()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        _artifact.add_made(tmp_path / "models", "2.0", fail)
    assert [found.folder for found in _artifact.versions(tmp_path / "models")] == [_artifact.SHIPPED]


# --- is it better? ---------------------------------------------------------------------------------


def _gain(question: str, gain: float, wide: float = 0.02) -> Compared:
    return Compared(question, 500, 0.8, 0.8 + gain, gain, (gain - wide, gain + wide))


@pytest.mark.parametrize(
    ("gains", "question", "better"),
    [
        ({"spam": 0.1}, Label.SPAM, True),
        ({"spam": 0.0}, Label.SPAM, False),
        ({"abuse": 0.1}, Label.SPAM, False),
        ({"spam": 0.1, "abuse": -0.1}, Label.SPAM, False),
        ({"spam": 0.1, "abuse": -0.003}, Label.SPAM, True),
    ],
)
def test_better_means_better_at_the_question_and_worse_nowhere(
    made: Made, tmp_path: Path, gains: dict[str, float], question: Label, better: bool
) -> None:
    made.save(tmp_path / "old")
    found = [_gain(name, gain) for name, gain in gains.items()]
    assert (_version.objections(made, tmp_path / "old", found, [BY_LABEL[question]]) == []) is better


def test_a_small_loss_that_is_certain_is_a_regression(made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "old")
    found = [_gain("spam", 0.1), _gain("abuse", -0.004, wide=0.001)]
    assert found[1].worse
    assert _version.objections(made, tmp_path / "old", found, [BY_LABEL[Label.SPAM]]) != []


def test_versions_measured_on_other_parts_are_not_compared(made: Made, tmp_path: Path) -> None:
    replace(made, evaluation={**made.evaluation, "held_out_parts": ["part1"]}).save(tmp_path / "old")
    assert _version.objections(made, tmp_path / "old", [_gain("spam", 0.1)]) != []


def test_a_version_without_kept_answers_is_not_compared(made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "old")
    (tmp_path / "old" / "gold.npz").write_bytes(b"broken")
    found = _version.compared(made, tmp_path / "old")
    assert found == []
    assert _version.objections(made, tmp_path / "old", found) != []


def test_the_same_answers_gain_nothing_and_worse_ones_lose_beyond_chance(made: Made, tmp_path: Path) -> None:
    """Pairs are by post: a version that errs on a third of the posts is worse, whatever the noise of F1."""
    made.save(tmp_path / "old")
    assert {one.gain for one in _version.compared(made, tmp_path / "old")} == {0.0}
    spoilt = made.gold.said["spam"].copy()
    spoilt[::3] = 1 - spoilt[::3]
    worse = replace(made, gold=Gold(made.gold.posts, {**made.gold.said, "spam": spoilt}))
    (spam,) = (one for one in _version.compared(worse, tmp_path / "old") if one.question == "spam")
    assert spam.worse
    assert spam.interval[0] <= spam.gain <= spam.interval[1] < 0
    truth = np.array([row["spam"] for row in little_corpus.rows(3, "l3")])
    hits = 2 * (spoilt & truth).sum() / (spoilt.sum() + truth.sum())
    assert spam.new == pytest.approx(hits, abs=1e-4)


def test_kept_answers_hold_no_text(made: Made, tmp_path: Path) -> None:
    made.save(tmp_path / "old")
    with np.load(tmp_path / "old/gold.npz") as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} <= {"u", "i"}


def test_a_users_posts_can_make_it_better(made: Made, corpus: Path, tmp_path: Path) -> None:
    """The old version does not know the user's word; a tenth of the user's posts is never learnt from."""
    lines = [{"text": f"猕猴桃团购{n}", "label": "spam", "task": "spam"} for n in range(200)]
    lines += [{"text": f"苹果树下{n}", "label": "ham", "task": "spam"} for n in range(200)]
    path = tmp_path / "own.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(json.dumps(row) for row in lines).encode()))
    data = _version.read_data([path], BY_LABEL[Label.SPAM])
    assert len(data.held) + len(data.learn) == 400
    assert 20 <= len(data.held) < 80
    assert not {e.text for e in data.held} & {e.text for e in data.learn}
    taught = _version.make(_version.read_corpus(corpus), "2.0", data)
    assert taught.evaluation["data_held_out"]["spam"]["f1"] > 0.95
    assert "own.jsonl.gz (as given by the user)" in taught.model.card
    made.save(tmp_path / "old")
    found = _version.compared(taught, tmp_path / "old")
    assert _version.objections(taught, tmp_path / "old", found, [BY_LABEL[Label.SPAM]]) == []


def test_rows_that_nobody_reviewed_teach_nothing(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    row = {"text": "x", "spam": 1, "proposed": {"spam": 1}, "decided_by": "mod.li"}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(ClassifierError, match="nobody has reviewed"):
        _version.read_data([path], None)
    path.write_text(json.dumps({"text": "x", "spam": 1, "reviewed_by": "mod.wang"}), encoding="utf-8")
    data = _version.read_data([path], None)
    assert len(data.learn) + len(data.held) == 1


def test_data_teaches_the_named_question_alone(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(
        json.dumps({"text": "x", "spam": 1, "abuse": 1, "sentiment": "negative"}), encoding="utf-8"
    )
    (one,) = [*(data := _version.read_data([path], BY_LABEL[Label.ABUSE])).learn, *data.held]
    assert BY_LABEL[Label.ABUSE].truth(one.row) == "1"
    assert BY_LABEL[Label.SPAM].truth(one.row) is None
    (every,) = [*(data := _version.read_data([path], None)).learn, *data.held]
    assert BY_LABEL[Label.SENTIMENT].truth(every.row) == "negative"


# --- what cannot be learnt -------------------------------------------------------------------------


def test_too_little_is_refused(corpus: Path, tmp_path: Path) -> None:
    few = [
        _train.Example("甲", {"text": "甲", "spam": 1}, "a"),
        _train.Example("乙", {"text": "乙", "spam": 0}, "b"),
    ]
    with pytest.raises(ClassifierError, match="too few rows"):
        _train.train(few, "1")
    with pytest.raises(ClassifierError, match="two files"):
        _train.folds(["a", "a"])
    with pytest.raises(ClassifierError, match=r"split\.json"):
        _version.read_corpus(tmp_path)
    (tmp_path / "split.json").write_text('{"test": ["part9"]}', encoding="utf-8")
    with pytest.raises(ClassifierError, match="lacks parts"):
        _version.read_corpus(tmp_path)
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(ClassifierError, match=r"bad\.jsonl\.gz"):
        list(_train.read_rows(tmp_path / "bad.jsonl.gz"))


def test_lines_that_are_no_posts_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\nnot json\n[1]\n{"text": 1}\n{"text": "b"}\n', encoding="utf-8")
    assert [row["text"] for _, row in _train.read_rows(path) if row] == ["a", "b"]
    assert [number for number, row in _train.read_rows(path) if row is None] == [3, 4, 5]
