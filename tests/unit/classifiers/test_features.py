"""Features: the hash is frozen, rows do not mix, words and shapes are what they say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers._features import BITS, ORDERS, grams, word_list
from classifiers._text import normalise_batch, plain

GRAMS = [
    [22310, 494916, 3357197],
    [810874, 679599, 3877810],
    [3812755, 1749137, 264473],
    [2613930, 919703, 0],
]
ALL = [
    0,
    22310,
    193540,
    238774,
    326548,
    442702,
    483295,
    548181,
    572292,
    584115,
    679599,
    685735,
    810874,
    879828,
    886823,
    948154,
    1435608,
    1500460,
    1676978,
    1921291,
    2077752,
    2113683,
    2284089,
    2354258,
    2365742,
    2375343,
    2390964,
    2434580,
    2520157,
    2613930,
    2617570,
    2912334,
    2937280,
    2938982,
    3034041,
    3054772,
    3129436,
    3347858,
    3525188,
    3632799,
    3812755,
    3844255,
    3895325,
    3959161,
    4069399,
    4168337,
]
WORDS = "70de3ac76a81"

TEXT = st.text(st.sampled_from("食堂加微信abc 12?!，。“[\n\ud800听说绩效"), max_size=20)


def buckets(text: str, extras: bool = True) -> list[int]:
    found, _ = grams(normalise_batch([text]), extras=extras).distinct()
    return [int(bucket) for bucket in found]


def test_hash_is_frozen() -> None:
    """A model fits the hash it was trained with: change HASH_VERSION and train again when these change."""
    assert grams(normalise_batch(["食堂1"]), BITS, ORDERS).buckets.tolist() == GRAMS
    assert buckets("听说食堂涨价3元?") == ALL
    assert word_list() == WORDS


def test_features_without_extras_are_a_part_of_all() -> None:
    text = "听说食堂要涨价，真的吗？"
    assert set(buckets(text, extras=False)) < set(buckets(text))


def test_digits_are_alike() -> None:
    assert buckets("排号37") == buckets("排号52")


def test_begin_and_end_are_features() -> None:
    assert set(buckets("ab", extras=False)) != set(buckets("ba", extras=False))
    one, two = set(buckets("甲乙丙", extras=False)), set(buckets("乙丙丁", extras=False))
    assert one & two
    assert one - two


@settings(max_examples=200)
@given(st.lists(TEXT, max_size=5))
def test_rows_do_not_mix(texts: list[str]) -> None:
    found, pointer = grams(normalise_batch(texts), extras=True).distinct()
    for number, text in enumerate(texts):
        alone, _ = grams(normalise_batch([text]), extras=True).distinct()
        assert found[pointer[number] : pointer[number + 1]].tolist() == alone.tolist()
        assert (np.diff(alone) > 0).all()


@settings(max_examples=100)
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_words_cover_their_row(texts: list[str]) -> None:
    batch = normalise_batch(texts)
    extras = grams(batch, extras=True).extras
    assert extras is not None
    words = extras.words
    whole = plain(batch)
    for row, start, length in zip(words.rows, words.starts, words.lengths, strict=True):
        assert batch.bounds[row] <= start
        assert start + length < batch.bounds[row + 1]
        assert whole[start : start + length].strip()


def test_same_word_same_bucket_wherever_it_stands() -> None:
    batch = normalise_batch(["食堂", "今天的 食堂", "去 食堂 吧"])
    extras = grams(batch, extras=True).extras
    assert extras is not None
    whole, words = plain(batch), extras.words
    found = {
        int(bucket)
        for start, length, bucket in zip(words.starts, words.lengths, words.buckets, strict=True)
        if whole[start : start + length] == "食堂"
    }
    assert len(found) == 1


def test_shapes_count_signs_and_runs() -> None:
    def shape(text: str) -> list[int]:
        extras = grams(normalise_batch([text]), extras=True).extras
        assert extras is not None
        return [int(number) for number in extras.shapes[0]]

    base = shape("天地人和")
    for place, text in ((1, "天地人?"), (2, "天地人!"), (3, "天地人1"), (4, "天地人,"), (5, "天地人@")):
        assert shape(text)[place] != base[place]
    assert shape("天地12345人")[8] != shape("天地1234x5人")[8]
    assert shape("天地ab人")[9] != shape("天a地b人")[9]
    assert shape("人" * 100)[0] != base[0]
    assert shape("好???")[1] == shape("好????")[1]
