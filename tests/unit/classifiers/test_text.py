"""The normaliser: what evasion does to a text is undone, and every character of the result leads back to the post."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers._sounds import hidden, sounds
from classifiers._text import BREAK, normalise, normalise_all, normalise_batch, plain, tables

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("part1", "part4", "part9")
POSTS = [
    json.loads(line)["text"]
    for name in PARTS
    for line in (ROOT / f"corpora/domain/{name}.jsonl").read_text(encoding="utf-8").splitlines()
]
CLEAN = [
    row
    for name in ("part2", "part3", "part6", "part12")
    for line in (ROOT / f"corpora/domain/{name}.jsonl").read_text(encoding="utf-8").splitlines()
    if not (row := json.loads(line))["spam"] and not row["abuse"]
]
BY_HAND = {ord(written[0]) << 32 | ord(written[1]) for written in sounds()}
# Everything that the tables and rules look at, and whatever else Unicode holds, lone surrogates and NUL included.
TRICKY = st.text(
    st.sampled_from(
        "加力卩口亻言弋写微薇信vxwqei n.·❤-_代兼职煞笔(liàn)聯网㎏½①🅥Ⅷ企鹅女表孑🐎🐧🐷死肥讠仑文岱款daikuan4弄王8蛋比较sb玳\u200b\u202e\ufe0f\ud800\n\t\x00a1。，"
    ),
    max_size=30,
)
ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("加.徽.亻言", "加微信"),
        ("力卩 V❤", "加微信"),
        ("ｗｘ：ＡＢＣ１２３", "微信:abc123"),
        ("互聯(lián)網(wǎng)", "互联网"),
        ("代.写.论.文", "代写论文"),
        ("带\u200b写\u202e论\u2060文", "带写论文"),
        ("1️⃣3️⃣8️⃣", "138"),
        ("①②③⑩", "12310"),
        ("🅥信", "微信"),
        ("𝓆𝓆", "qq"),
        ("尖职 曰结", "兼职 日结"),
        ("兼❤职", "兼职"),
        ("農學論紋", "农学论文"),
        ("w e i x i n", "微信"),
        ("дop", "дop"),
        ("加q裙", "加qq群"),
        ("傻b", "傻逼"),
        ("㎏½", "kg1⁄2"),
        ("Ａ\x00Ｂ", "a b"),
        ("企鹅号", "qq号"),
        ("加威看片", "加微信看片"),
        ("教师dai款", "教师贷款"),
        ("jian zhi，ri结", "兼职,日结"),
        ("滚(gun)蛋(dan)", "滚蛋"),
        ("代(d)刷(s)", "代刷"),
        ("进.Q.u.n", "进群"),
        ("扫🐎，死肥🐷", "扫码,死肥猪"),
        ("联系客服🐧", "联系客服qq"),
        ("春虫虫货", "蠢货"),
        ("白疒知", "白痴"),
        ("土立土及", "垃圾"),
        ("亻弋写讠仑文", "代写论文"),
        ("王8蛋", "王八蛋"),
        ("s.b", "sb"),
        ("银行咔", "银行卡"),
        ("溅货", "贱货"),
        ("加∨信", "加微信"),
        ("叁佰", "三百"),
    ],
)
def test_disguises_are_undone(written: str, meant: str) -> None:
    assert normalise(written).text == meant


@pytest.mark.parametrize(
    "text",
    [
        "参加微型党课", "施加威胁", "增加维修", "工会威信", "简直了", "今年出生", "企鹅馆", "扣分", "加班费", "加湿器",
        "女表演者", "A座 3楼", "v1.2 版", "周x", "微博", "他的发票", "wx.request 超时", "qq_plot 画歪了", "vx_port=8080", "沙比较多",
        "你🐎上来", "🐶丢了", "2班(x)", "nasa的照片", "女干部", "妇女支持", "左耳只剩", "国土立法", "因为信任", "肆虐", "chmod +x a",
        "dai_kuan.py", "sb. to do sth.", "jin tian de ke shi ji dian kai shi",
    ],
)  # fmt: skip
def test_ordinary_words_stay(text: str) -> None:
    assert normalise(text).text == text.lower()


@settings(max_examples=400, deadline=None)
@given(st.lists(TRICKY | ANY, max_size=6))
@example(["", "\n", "\ud800"])
def test_span_map_is_sound(texts: list[str]) -> None:
    batch = normalise_batch(texts)
    assert len(batch.bounds) == len(texts) + 1
    for number, text in enumerate(texts):
        row = batch.row(number)
        assert chr(BREAK) not in row.text
        assert len(row.text) == len(row.starts) == len(row.ends)
        if len(row.text):
            assert (np.diff(row.starts) >= 0).all()
            assert (np.diff(row.ends) >= 0).all()
            assert (row.ends > row.starts).all()
            assert row.starts[0] >= 0
            assert row.ends[-1] <= len(text)
            low, high = row.span(0, len(row.text))
            assert low == row.starts[0]
            assert high == row.ends[-1]


@settings(max_examples=400, deadline=None)
@given(TRICKY | ANY)
@example("加 徽 亻言")
@example("w.e.i.x.i.n")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once


@settings(max_examples=150, deadline=None)
@given(st.lists(TRICKY | ANY, max_size=5))
def test_a_row_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    assert normalise_all(texts) == [normalise(text).text for text in texts]
    assert plain(normalise_batch(texts)) == "".join(normalise(text).text + "\n" for text in texts)


def test_posts_keep_what_they_say() -> None:
    """Ordinary posts lose at most blanks and signs: every letter and character is still there, simplified."""
    fold = tables().fold
    for text in POSTS[::7]:
        kept = set(normalise(text).text)
        simple = {chr(fold[ord(c)]) for c in text if "\u4e00" <= c <= "\u9fff"}
        assert len(simple - kept) <= 4, text


def test_pairs_of_the_same_sound_are_rare_in_ordinary_posts() -> None:
    """The table takes no pair for a disguise that the ordinary posts of our own corpus hold."""
    keys = set(hidden().keys.tolist())
    for text in (row["text"] for row in CLEAN):
        assert not {ord(a) << 32 | ord(b) for a, b in pairwise(text)} & keys - BY_HAND, text


def test_zero_width_characters_change_nothing() -> None:
    chance = random.Random(7)
    for text in POSTS[::5]:
        hidden = "".join(
            c + chance.choice(["", "", "\u200b", "\u200d", "\ufeff", "\u2060", "\u00ad"]) for c in text
        )
        assert normalise(hidden).text == normalise(text).text


def test_bidirectional_marks_change_nothing() -> None:
    for text in POSTS[::31]:
        assert normalise("\u202e" + text + "\u202c").text == normalise(text).text


def test_spans_lead_to_the_disguised_word() -> None:
    text = "要的老师👉加.徽.亻言 abc123"
    row = normalise(text)
    at = row.text.index("加微信")
    low, high = row.span(at, at + 3)
    assert text[low:high] == "加.徽.亻言"


def test_sounds_are_pairs_and_lead_to_words_that_stay() -> None:
    table = sounds()
    assert all(len(written) == len(meant) == 2 for written, meant in table.items())
    assert not set(table) & set(table.values())
    assert len(hidden().keys) > 100_000
    for written, meant in table.items():
        assert normalise(written).text == normalise(meant).text


def test_tables_lead_to_fixed_points() -> None:
    fold = tables().fold
    live = fold[fold != 0xFFFFFFFF]
    assert (fold[live] == live).all()
