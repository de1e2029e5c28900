"""Stretches of text that carried an answer, against a plain search for the best stretch."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers import _reasons
from classifiers._features import BITS, grams
from classifiers._reasons import LONGEST, SPANS, Asked, stretches
from classifiers._text import normalise_batch

WORDS = st.text(st.sampled_from("听说绩效砍半食堂 ab,1"), max_size=60)


def found(
    texts: list[str], telling: str, rows: list[int] | None = None
) -> list[tuple[int, int, int, int, int]]:
    """Return stretches when every n-gram and word of ``telling`` weighs one and all else nothing."""
    batch = normalise_batch(texts)
    slots = np.zeros(1 << BITS, dtype=np.int32)
    known, _ = grams(normalise_batch([telling]), extras=True).distinct()
    slots[known] = 1
    table = np.array([[9.0, 0.0], [9.0, 1.0]], dtype=np.float32)
    chosen = np.arange(len(texts)) if rows is None else np.array(rows, dtype=np.int64)
    asked = Asked(np.ones(len(chosen), dtype=np.int64), chosen)
    told = stretches(table, slots, grams(batch, extras=True), batch, asked)
    return [(int(chosen[number]), *spans) for number, *spans in told]  # type: ignore[misc]


def test_telling_words_are_found() -> None:
    text = "各位老师好，麻烦看一下楼下的告示，兼职刷单，谢谢"
    row, _, _, start, end = found([text], "兼职刷单")[0]
    assert row == 0
    assert "兼职刷单" in text[start:end]
    assert len(text[start:end]) < 9


def test_second_stretch_is_another_one() -> None:
    text = "兼职刷单的来" + "嗯" * 20 + "还是兼职刷单"
    spans = [(start, end) for *_, start, end in found([text], "兼职刷单")]
    assert len(spans) == 2
    (one, two) = sorted(spans)
    assert one[1] <= two[0]


def test_a_weak_second_stretch_is_not_told() -> None:
    assert len(found(["兼职刷单的来" + "嗯" * 20 + "单"], "兼职刷单")) == 1


def test_answers_about_one_row_do_not_mix() -> None:
    """Two columns over one row: each is explained by its own weights."""
    batch = normalise_batch(["食堂" + "嗯" * 10 + "绩效"])
    slots = np.zeros(1 << BITS, dtype=np.int32)
    for slot, word in ((1, "食堂"), (2, "绩效")):
        slots[grams(normalise_batch([word]), (BITS), (2,)).buckets[1]] = slot
    table = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    asked = Asked(np.array([0, 1]), np.array([0, 0]))
    told = stretches(table, slots, grams(batch, extras=True), batch, asked)
    assert [(number, start, end) for number, _, _, start, end in told] == [(0, 0, 2), (1, 12, 14)]


def test_only_the_named_rows_are_told() -> None:
    texts = ["兼职刷单", "今天天气好", "", "兼职刷单快来"]
    assert {row for row, *_ in found(texts, "兼职刷单", [0, 2, 3])} == {0, 3}
    assert found([], "兼职") == []
    assert found(["", "\u200b"], "兼职") == []


@settings(max_examples=200)
@given(st.lists(WORDS, min_size=1, max_size=5))
def test_stretches_are_short_distinct_and_inside(texts: list[str]) -> None:
    batch = normalise_batch(texts)
    by_row: dict[int, list[tuple[int, int]]] = {}
    for row, first, last, start, end in found(texts, "听说绩效砍半"):
        assert batch.bounds[row] <= first < last < batch.bounds[row + 1]
        assert last - first <= LONGEST
        assert 0 <= start < end <= len(texts[row])
        by_row.setdefault(row, []).append((first, last))
    for spans in by_row.values():
        assert len(spans) <= SPANS
        assert all(a[1] <= b[0] for a, b in zip(sorted(spans), sorted(spans)[1:], strict=False))
    told = {row for row, text in enumerate(texts) if len(batch.row(row).text)}
    assert set(by_row) == told


@settings(max_examples=200)
@given(st.lists(st.floats(-2, 2, allow_nan=False), min_size=1, max_size=60), st.integers(0, 20))
def test_the_largest_sum_is_found(values: list[float], second: int) -> None:
    """Against trying every stretch, over two rows with a wall before each."""
    rows = [values, values[:second]]
    lengths = [len(row) + 1 for row in rows]
    bases = np.concatenate(([0], np.cumsum(lengths)))
    laid = np.concatenate([[-1e6, *row] for row in rows])
    nothing = np.zeros(2, dtype=np.int64)
    flat = _reasons._Flat(Asked(nothing, nothing), np.array(lengths), bases[:-1], nothing)
    starts, ends, sums = _reasons._largest(laid, flat)
    for number, row in enumerate(rows):
        if not row:
            continue
        every = [sum(row[a:b]) for a in range(len(row)) for b in range(a + 1, min(len(row), a + LONGEST) + 1)]
        assert abs(sums[number] - max(every)) < 1e-6
        low, high = starts[number] - bases[number] - 1, ends[number] - bases[number] - 1
        assert abs(sum(row[low:high]) - max(every)) < 1e-6
