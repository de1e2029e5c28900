"""Posts find the claim they tell; what a mutation changes keeps it out of the band ``same``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers._evaluate import evaluate_matching, references
from classifiers._facts import Facts, differences, focus
from classifiers.claims import SUGGEST_FROM, Match, Matcher, Reference, in_order

ROOT = Path(__file__).resolve().parents[2]
WEEK = [json.loads(x) for x in (ROOT / "corpora/demo/week.jsonl").read_text(encoding="utf-8").splitlines()]

CLAIMS = [
    Reference("pay", "今年年终绩效要砍三成", "false", "年终绩效办法没有变化，总额不减。"),
    Reference("kinder", "附属幼儿园下周起取消延时班", "partly", "缓到期末。"),
    Reference("gas", "西区食堂发生爆炸，三人受伤", "false", "软管漏气，已修好，无人受伤。"),
    Reference("title", "明年起申报副教授必须主持国家级项目", "unverified"),
    Reference("bus", "南区班车下个月起改为每小时一班", "true"),
    Reference("noro", "附小有十几个孩子感染诺如病毒停课", "false"),
]
MATCHER = Matcher(CLAIMS)


def best(text: str) -> Match | None:
    return next(iter(MATCHER.match([text])[0]), None)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("听说今年年终绩效要砍三成？真的假的", "pay"),
        ("【速转】内部消息：今年年終績效要砍三成！！", "pay"),
        ("今年年终绩效要砍30%", "pay"),
        ("网传附属幼儿园下周起取消延时班，是真的吗", "kinder"),
        ("听说西区食堂发生爆炸，三人受伤？", "gas"),
        ("据说明年起申报副教授必须主持国家级项目", "title"),
        ("附小有十几个孩子感染诺如病毒停课了", "noro"),
    ],
)
def test_the_same_statement_is_the_same(text: str, claim: str) -> None:
    found = best(text)
    assert found is not None
    assert (found.claim_id, found.band, found.differs) == (claim, "same", ())


@pytest.mark.parametrize(
    ("text", "claim", "differs"),
    [
        ("今年年终绩效要砍一半", "pay", "number"),
        ("今年年终绩效要涨三成", "pay", "opposite"),
        ("今年年终绩效不会砍三成", "pay", "negation"),
        ("明年年终绩效要砍三成", "pay", "date"),
        ("今年年终绩效要砍", "pay", "number"),
        ("附属幼儿园下周起恢复延时班", "kinder", "opposite"),
        ("附属幼儿园明天起取消延时班", "kinder", "date"),
        ("西区食堂发生爆炸，三人受伤是谣言", "gas", "negation"),
        ("南区班车下个月起改为每2小时一班", "bus", "number"),
    ],
)
def test_a_changed_fact_is_only_a_suggestion(text: str, claim: str, differs: str) -> None:
    found = best(text)
    assert found is not None
    assert (found.claim_id, found.band) == (claim, "suggest")
    assert differs in found.differs


def test_a_long_post_that_tells_the_claim_finds_it() -> None:
    text = (
        "刚从楼下回来，看到好几位老师在议论，我也不太清楚情况，先问问群里。大家说今年年终绩效要砍三成，"
        "我房贷还没还完，孩子还在上小学，心里没底，麻烦工会帮忙问问财务处。"
    )
    found = best(text)
    assert found is not None
    assert found.claim_id == "pay"


@pytest.mark.parametrize(
    "text", ["收到", "", "？？", "👍", "中午食堂吃什么", "周六健步走还有名额吗", "打印机卡纸了", "\ud800"]
)
def test_nothing_fits_small_talk(text: str) -> None:
    assert best(text) is None


def test_small_talk_of_the_demo_week_is_hardly_ever_matched() -> None:
    told = [row["text"] for row in WEEK if row["story"] == "pay_cut" and row["expect"]["rumour"]]
    talk = [row["text"] for row in WEEK if row["story"] == "talk"]
    matcher = Matcher([Reference("pay", "今年年终绩效要砍"), *CLAIMS[1:]])
    assert sum(bool(row) for row in matcher.match(told)) >= 3
    assert sum(bool(row) for row in matcher.match(talk)) <= len(talk) * 0.025


def test_other_wordings_of_a_claim_lead_to_it_once() -> None:
    slang = "年底那笔奖金要打七折，财务已经在改表了"
    found = best(slang)
    assert found is not None
    assert (found.claim_id, found.differs) == ("pay", ())
    matcher = Matcher([*CLAIMS, Reference("pay", "听说年底那笔奖金要打七折")])
    assert [match.claim_id for match in matcher.match([slang])[0]] == ["pay"]
    assert [
        match.claim_id for match in matcher.match(["今年年终绩效要砍三成，年底那笔奖金要打七折"])[0]
    ].count("pay") == 1


def test_matches_come_best_first_and_scores_are_in_range() -> None:
    for row in MATCHER.match([claim.statement for claim in CLAIMS]):
        assert row[0].score > 0.9
        assert [match.score for match in row] == sorted((match.score for match in row), reverse=True)
        assert all(SUGGEST_FROM <= match.score <= 1.0 for match in row)
    assert [row[0].claim_id for row in MATCHER.match([c.statement for c in CLAIMS])] == [c.id for c in CLAIMS]


def test_clarification_serves_where_a_claim_has_no_statement() -> None:
    matcher = Matcher([Reference("a", "", "false", "软管漏气，已经修好，没有人受伤"), *CLAIMS])
    assert matcher.match(["软管漏气，已经修好，没有人受伤"])[0][0].claim_id == "a"


def test_result_does_not_depend_on_neighbours() -> None:
    texts = [row["text"] for row in WEEK][:60]
    assert MATCHER.match(texts) == [MATCHER.match([text])[0] for text in texts]


def test_no_claims_no_matches() -> None:
    assert Matcher([]).match(["今年年终绩效要砍三成"]) == [[]]
    assert MATCHER.match([]) == []


def campus(name: str, half: str = "") -> list[dict[str, object]]:
    lines = (ROOT / "corpora/claims" / name).read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if half in ("", row["set"])]


def test_campus_claims_told_in_other_words_are_found_and_near_misses_are_never_the_same() -> None:
    claims = references(campus("claims.jsonl"))
    held = evaluate_matching(claims, campus("posts.jsonl", "held"))
    assert held["ranked_hit_at_1"] >= 0.88
    assert held["ranked_hit_at_3"] >= 0.96
    assert held["hit_at_1"] >= 0.88
    whole = evaluate_matching(claims, campus("posts.jsonl"))
    assert whole["same"]["precision"] >= 0.98
    assert whole["same"]["coverage"] >= 0.4


# --- facts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("砍三成", "砍30%"),
        ("补贴三十万元", "补贴30万元"),
        ("十二月三号停水", "12月3日停水"),
        ("减半", "砍一半"),
        ("是不是要砍", "要砍"),
        ("没有不发", "发"),
        ("一百二十人", "120人"),
        ("二〇二六年", "2026年"),
    ],
)
def test_two_spellings_of_one_fact_agree(one: str, other: str) -> None:
    assert differences(Facts.of(one), Facts.of(other)) == ()


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("砍三成", "砍五成", "number"),
        ("补30万", "补3万", "number"),
        ("12月3日停水", "12月4日停水", "date"),
        ("周一停水", "周二停水", "date"),
        ("发年终奖", "不发年终奖", "negation"),
        ("并非取消", "取消", "negation"),
        ("津贴上调", "津贴下调", "opposite"),
        ("取消编外绩效", "取消在编绩效", "opposite"),
    ],
)
def test_changed_facts_are_named(one: str, other: str, name: str) -> None:
    assert name in differences(Facts.of(one), Facts.of(other))
    assert name in differences(Facts.of(other), Facts.of(one))


def test_focus_leaves_out_what_the_claim_does_not_speak_of() -> None:
    post = "我昨天没睡好。听说年终绩效要砍三成！食堂的菜又不好吃"
    assert focus(post, "今年年终绩效要砍三成") == "听说年终绩效要砍三成"


@given(st.text(max_size=60), st.text(max_size=60))
def test_order_likeness_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert 0.0 <= in_order(one, other) <= 1.0
    assert in_order(one, other) == in_order(other, one)
    assert in_order(one, one) in {0.0, 1.0}


def test_order_likeness_counts_the_common_subsequence() -> None:
    assert in_order("abcd", "axcxd") == 0.75
    assert in_order("甲乙丙", "丙乙甲") == pytest.approx(1 / 3)


@given(st.text(alphabet="零一二两三四五六七八九十百千万亿成折%月日0123456789.不没砍涨", max_size=20))
def test_any_text_has_facts(text: str) -> None:
    assert differences(Facts.of(text), Facts.of(text)) == ()
