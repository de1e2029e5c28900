"""Figures of merit against scikit-learn and against what they mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

from classifiers import _measure
from classifiers._measure import Answers, average_precision, calibration_error, measure, roc_auc


def yes_no(seed: int, n: int = 400, steps: int = 20) -> Answers:
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.3).astype(np.int64)
    chance = np.round(np.clip(0.5 * truth + 0.6 * rng.random(n), 0, 1) * steps) / steps
    return Answers(("0", "1"), truth, (chance >= 0.5).astype(np.int64), np.column_stack((1 - chance, chance)))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_areas_agree_with_scikit_learn(seed: int) -> None:
    a = yes_no(seed)
    yes = a.chance[:, 1]
    assert average_precision(a.truth, yes) == pytest.approx(average_precision_score(a.truth, yes))
    assert roc_auc(a.truth, yes) == pytest.approx(roc_auc_score(a.truth, yes))


def test_figures_agree_with_scikit_learn() -> None:
    a = yes_no(4)
    found = measure(a)
    assert found["f1"] == pytest.approx(f1_score(a.truth, a.said), abs=1e-4)
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(a.truth, a.said, average="macro"), abs=1e-4)
    table = confusion_matrix(a.truth, a.said).tolist()
    assert found["confusion"]["rows_truth_columns_said"] == table
    assert found["classes"]["1"]["n"] == int(a.truth.sum())


def test_several_answers() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 300)
    said = np.where(rng.random(300) < 0.7, truth, rng.integers(0, 3, 300))
    chance = np.full((300, 3), 0.2)
    chance[np.arange(300), said] = 0.6
    found = measure(Answers(("a", "b", "c"), truth, said, chance))
    assert found["f1"] == found["macro_f1"]["value"]
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(truth, said, average="macro"), abs=1e-4)
    assert found["ece"] == pytest.approx(abs(0.6 - (truth == said).mean()), abs=1e-4)


def test_answers_that_do_not_occur_do_not_count() -> None:
    truth = np.zeros(10, dtype=np.int64)
    found = measure(Answers(("a", "b"), truth, truth, np.tile([0.9, 0.1], (10, 1))))
    assert found["macro_f1"]["value"] == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_intervals_hold_the_value(seed: int) -> None:
    found = measure(yes_no(seed))
    figures = [found["accuracy"], found["macro_f1"], found["classes"]["1"]["pr_auc"]]
    for figure in figures:
        low, high = figure["interval_95"]
        assert low - 0.02 <= figure["value"] <= high + 0.02
        assert high - low < 0.25


def test_intervals_cover_about_nineteen_times_in_twenty() -> None:
    """The accuracy of a coin that is right seven times in ten."""
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(100):
        truth = np.ones(200, dtype=np.int64)
        said = (rng.random(200) < 0.7).astype(np.int64)
        table = np.array([[0, 0], [int((said == 0).sum()), int(said.sum())]])
        draws = rng.multinomial(200, (table / 200).ravel(), size=500).reshape(-1, 2, 2)
        low, high = _measure._interval(_measure._accuracy(draws))
        covered += low <= 0.7 <= high
        assert truth.sum() == 200
    assert covered >= 86


def test_calibration_error_of_a_perfect_and_of_a_boastful_model() -> None:
    rng = np.random.default_rng(7)
    chance = rng.random(50_000)
    truth = (rng.random(50_000) < chance).astype(np.int64)
    honest = Answers(("0", "1"), truth, truth, np.column_stack((1 - chance, chance)))
    assert calibration_error(honest) < 0.015
    half = (rng.random(1000) < 0.5).astype(np.int64)
    boast = Answers(("0", "1"), half, half, np.tile([0.05, 0.95], (1000, 1)))
    assert calibration_error(boast) == pytest.approx(0.45, abs=0.05)


def test_one_kind_alone() -> None:
    ones = np.ones(5, dtype=np.int64)
    assert roc_auc(ones, np.arange(5.0)) == 0.5
    assert average_precision(0 * ones, np.arange(5.0)) == 0.0
