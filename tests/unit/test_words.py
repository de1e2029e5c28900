"""Segmentation engines agree, key words name things and no persons, and a search by bigrams misses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers import words
from monitor.core.search import bigrams

ROOT = Path(__file__).resolve().parents[2]
WEEK = (ROOT / "corpora" / "demo" / "week.jsonl").read_text(encoding="utf-8").splitlines()
TEXTS = [row["text"] for row in map(json.loads, WEEK) if row["text"]]


def test_engines_agree_on_the_demo_week() -> None:
    for text in TEXTS:
        assert words.segmenter().cut(text) == words.reference().cut(text), text


def test_engines_agree_on_tags_of_campus_words() -> None:
    for text in ("年终绩效要砍", *(word for word, _, _ in words.lexicon())):
        assert words.segmenter().tags(text) == words.reference().tags(text)


@pytest.mark.parametrize("engine", [words.segmenter, words.reference])
def test_words_joined_are_the_text(engine: type) -> None:
    for text in [*TEXTS[:80], "a\udc80b 年终", "", "\x00 \n"]:
        clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
        assert "".join(engine().cut(text)) == clean


def test_campus_words_are_kept_whole() -> None:
    assert words.segmenter().cut("听说年终绩效要砍") == ["听说", "年终绩效", "要", "砍"]
    assert "非升即走" in words.segmenter().cut("讨厌非升即走")


def test_lexicon_has_a_frequency_for_every_word_once() -> None:
    rows = words.lexicon()
    assert len({word for word, _, _ in rows}) == len(rows) > 100
    assert all(frequency > 0 for _, frequency, _ in rows)


def test_nothing_is_loaded_or_written_at_import(tmp_path: Path) -> None:
    code = (
        "import sys, classifiers.words\n"
        "assert not {'jieba', 'rjieba', 'sklearn'} & set(sys.modules), 'loaded at import'\n"
        "assert classifiers.words.reference().cut('年终绩效') == ['年终绩效']\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={"TMPDIR": str(tmp_path)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("method", ["tfidf", "textrank"])
def test_keywords_say_what_posts_are_about(method: str) -> None:
    about = [text for text in TEXTS if "绩效" in text]
    found = words.keywords(about, 8, method)
    assert len(found) == 8
    assert any("绩效" in word.word for word in found)
    assert [word.weight for word in found] == sorted((word.weight for word in found), reverse=True)
    for word in found:
        assert word.posts == sum(word.word in words.segmenter().cut(text) for text in about)


def test_one_loud_post_does_not_fill_the_list() -> None:
    texts = ["食堂涨价 " * 50, "班车晚点", "班车又晚点了", "班车"]
    assert words.keywords(texts, 1)[0].word == "班车"


def test_names_of_persons_are_no_keywords() -> None:
    assert "王建国" not in {
        word.word for word in words.keywords(["王建国今天来了", "王建国又来了", "王建国"], 10)
    }


def test_keywords_of_nothing_are_none() -> None:
    assert words.keywords([], 5) == []
    assert words.keywords(["？？", "1"], 5) == []
    with pytest.raises(ValueError, match="method"):
        words.keywords(["x"], 5, "magic")


# --- search terms ----------------------------------------------------------------------------------


def test_bigrams_fold_width_and_case_and_stop_at_signs() -> None:
    assert bigrams("ＯＡ系统，OA 好") == ["oa", "a系", "系统"]
    assert words.search_terms("年终绩效") == ["年终", "终绩", "绩效"]


def test_one_letter_has_no_bigram() -> None:
    assert bigrams("好") == bigrams("") == bigrams("？！") == []


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=40), st.data())
def test_bigrams_of_a_part_are_among_those_of_the_whole(text: str, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, len(text)))
    high = data.draw(st.integers(low, len(text)))
    assert set(bigrams(text[low:high])) <= set(bigrams(text))


@given(st.text(max_size=40))
def test_bigrams_are_pairs_of_letters_each_once(text: str) -> None:
    pairs = bigrams(text)
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 and pair.isalnum() for pair in pairs)
