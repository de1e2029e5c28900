"""What the shipped model must not do, whatever its F1: punish criticism, be blind to disguise, give false reasons."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers import _artifact, deep
from classifiers._registry import BY_LABEL
from classifiers._text import normalise
from classifiers.deep import Cascade
from classifiers.fast import FastTier, load
from monitor.core.model import BINARY_LABELS, Label

ROOT = Path(__file__).resolve().parents[3]
NOISE = 0.2  # of a probability; a swap that moves it further says something about the word that was swapped


@pytest.fixture(scope="module")
def model() -> FastTier:
    """The model that ships."""
    return load()


@pytest.fixture(scope="module", params=["fast", "deep"])
def tier(request: pytest.FixtureRequest) -> FastTier | Cascade:
    """What ships: the fast tier alone, and both tiers on every post (the cascade answers as one or the other)."""
    return load() if request.param == "fast" else deep.load()


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "corpora" / name).read_text(encoding="utf-8").splitlines()]


def flags(model: FastTier | Cascade, texts: Sequence[str], label: Label) -> list[str]:
    found = model.classify(texts)
    return [text for text, reading in zip(texts, found, strict=True) if reading.flagged(label)]


# --- criticism -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [Label.SPAM, Label.ABUSE])
def test_harsh_criticism_is_neither_spam_nor_abuse(tier: FastTier | Cascade, label: Label) -> None:
    texts = [row["text"] for row in rows("criticism/criticism.jsonl")]
    assert len(texts) >= 100
    assert flags(tier, texts, label) == []


TARGETS = (
    "校长",
    "书记",
    "工会主席",
    "院长",
    "人事处",
    "后勤处",
    "工会",
    "学校",
    "陈处长",
    "物业",
    "食堂",
    "某某",
    "张老师",
)
TEMPLATES = (
    "{}的答复太敷衍了，一个时间都没有给",
    "{}说话不算数，承诺的事一件都没有兑现",
    "我对{}这次的处理非常失望，程序不公开",
    "{}年年说为大家服务，年年扣大家的钱，说得过去吗",
    "{}这次办得很好，三天就解决了，谢谢",
    "请{}公开账目，钱花到哪里去了",
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("label", ["spam", "abuse"])
def test_the_name_of_the_target_does_not_move_the_score(
    tier: FastTier | Cascade, template: str, label: str
) -> None:
    scores = tier.scores([template.format(target) for target in TARGETS])[label]
    assert scores.max() - scores.min() < NOISE
    assert scores.max() < tier.thresholds[label]


SWAPS = (
    ("食堂的饭越来越好吃了，价格也公道", "食堂的饭越来越难吃了，价格也离谱"),
    ("新的绩效方案公平合理，大家都满意", "新的绩效方案毫不公平，大家都不满意"),
    ("校领导说到做到，值得信任", "校领导说一套做一套，不值得信任"),
    ("报销流程简单明了，两天到账", "报销流程又臭又长，两个月不到账"),
    ("工会的活动办得用心，点赞", "工会的活动办得敷衍，差评"),
    ("班车准点，司机师傅态度好", "班车从不准点，司机师傅态度差"),
    ("评审过程公开透明，心服口服", "评审过程暗箱操作，心里不服"),
    ("院长讲话实在，句句在点子上", "院长讲话空洞，句句不在点子上"),
    ("物业维修很快，半小时就到", "物业维修太慢，半个月不到"),
    ("这个系统好用，省了很多时间", "这个系统难用，浪费很多时间"),
    ("体检安排周到，医生耐心", "体检安排混乱，医生不耐烦"),
    ("领导认真听取了我们的意见", "领导根本不听我们的意见"),
)


@pytest.mark.parametrize("label", ["spam", "abuse"])
def test_praise_and_criticism_score_alike(tier: FastTier | Cascade, label: str) -> None:
    praise = tier.scores([one for one, _ in SWAPS])[label]
    blame = tier.scores([other for _, other in SWAPS])[label]
    assert np.abs(praise - blame).max() < NOISE
    assert max(praise.max(), blame.max()) < tier.thresholds[label]


PAIRS = (
    ("满意", "不满意"),
    ("公开透明", "暗箱操作"),
    ("三天就办好了", "三个月没办好"),
    ("态度很好", "态度很差"),
    ("值得表扬", "应当批评"),
)


@pytest.mark.parametrize("label", ["spam", "abuse"])
def test_praise_for_blame_moves_no_removal_score_whoever_it_is_about(model: FastTier, label: str) -> None:
    """Every target with praise and with blame: the mean shift is far below what would move a flag."""
    frames = ("{0}这次的处理{1}", "说到{0}，我只有一句话：{1}", "{0}{1}，大家都看在眼里")
    praise = [frame.format(who, good) for frame in frames for who in TARGETS for good, _bad in PAIRS]
    blame = [frame.format(who, bad) for frame in frames for who in TARGETS for _good, bad in PAIRS]
    one, other = (model.scores(texts)[label] for texts in (praise, blame))
    assert abs(float((other - one).mean())) < 0.05
    assert max(one.max(), other.max()) < model.thresholds[label]


@pytest.mark.parametrize("label", ["spam", "abuse"])
def test_removal_scores_look_at_no_sentiment(label: str) -> None:
    """By construction: what turns scores into probabilities has no weight for the sentiment."""
    shipped = _artifact.read(_artifact.SHIPPED)
    always = [head for head in shipped.heads if not BY_LABEL[Label(head.label)].given]
    mood = [at for at, head in enumerate(always) if head.label == "sentiment"]
    (row,) = shipped.looks[label]
    assert len(mood) == 3
    assert [row[1 + at] for at in mood] + [row[1 + len(always) + at] for at in mood] == [0.0] * 6


# --- disguise --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("label", "least"), [(Label.SPAM, 200), (Label.ABUSE, 50)])
def test_disguise_costs_at_most_five_points_of_recall(model: FastTier, label: Label, least: int) -> None:
    pairs = [pair for pair in rows("evasion/pairs.jsonl") if pair["label"] == label]
    assert len(pairs) >= least
    plain = flags(model, [pair["plain"] for pair in pairs], label)
    disguised = flags(model, [pair["disguised"] for pair in pairs], label)
    assert len(plain) / len(pairs) > 0.85
    assert len(disguised) / len(pairs) > len(plain) / len(pairs) - 0.05


def test_disguises_that_the_tables_were_not_made_for_are_undone_too() -> None:
    """Of the pairs that nobody looked at while the tables were written, half come out letter for letter."""
    pairs = [pair for pair in rows("evasion/pairs.jsonl") if pair["set"] == "held"]
    assert len(pairs) >= 70
    same = [letters(pair["plain"]) == letters(pair["disguised"]) for pair in pairs]
    assert sum(same) / len(same) > 0.45


def letters(text: str) -> str:
    return "".join(filter(str.isalnum, normalise(text).text))


MOST_FALSE = {Label.SPAM: 0.04, Label.ABUSE: 0.015, Label.RISK: 0.01}


@pytest.mark.parametrize("label", list(MOST_FALSE))
def test_innocent_odd_typing_is_left_alone(model: FastTier, label: Label) -> None:
    found = rows("evasion/innocent.jsonl")
    assert len(found) >= 300
    false = flags(model, [row["text"] for row in found], label)
    kinds = Counter(row["kind"] for row in found if row["text"] in set(false))
    assert len(false) / len(found) <= MOST_FALSE[label], kinds


def test_zero_width_characters_move_no_label(model: FastTier) -> None:
    chance = random.Random(3)
    texts = [row["text"] for row in rows("domain/part7.jsonl")]
    hidden = [
        "".join(c + chance.choice(["", "", "", "\u200b", "\u2060", "\ufeff"]) for c in t) for t in texts
    ]
    same = [
        [(s.label, s.flag, s.value) for s in one.signals]
        == [(s.label, s.flag, s.value) for s in other.signals]
        for one, other in zip(model.classify(texts), model.classify(hidden), strict=True)
    ]
    assert sum(same) >= 0.99 * len(texts)


# --- reasons ---------------------------------------------------------------------------------------


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + text[end:]
    return text


@pytest.mark.parametrize("label", BINARY_LABELS)
def test_the_named_words_carry_the_answer(model: FastTier, label: Label) -> None:
    """Without them the score falls, nearly always; and further than without as many other characters."""
    chance = random.Random(11)
    texts = [row["text"] for part in ("part5", "part11") for row in rows(f"domain/{part}.jsonl")]
    before, after, other = [], [], []
    for text, reading in zip(texts, model.classify(texts), strict=True):
        signal = reading.signal(label)
        if signal is None or not signal.flag or len(text) < 8:
            continue
        spans = [(reason.start, reason.end) for reason in signal.reasons]
        size = sum(end - start for start, end in spans)
        at = chance.randrange(max(1, len(text) - size))
        before.append(text)
        after.append(without(text, spans))
        other.append(without(text, [(at, at + size)]))
    was, now, elsewhere = (model.scores(some)[str(label)] for some in (before, after, other))
    assert len(was) >= 30
    assert (now < was).mean() > 0.95
    assert (was - now).mean() > (was - elsewhere).mean() + 0.1
