"""Near duplicates are found under disguise; chatter, quotations and strangers stand alone."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from classifiers.groups import Grouper, bands, is_chatter, signature, similarity, skeletons
from monitor.cli import groups as commands

ROOT = Path(__file__).resolve().parents[2]
WEEK = [json.loads(x) for x in (ROOT / "corpora/demo/week.jsonl").read_text(encoding="utf-8").splitlines()]
POSTS = [row for row in WEEK if row["event"] == "message"]

ADS = (
    "考研复试保过班，内部名额，不过全退，需要的老师私聊领取资料，先到先得，仅限本周",
    "教师专享低息贷款，最快十分钟到账，额度三十万，不查征信，联系客服办理",
    "高价回收购物卡、加油卡、旧手机，当天上门结算，常年有效，同行勿扰",
    "带薪休假旅居体验官招募，食宿全包，每天只要拍照打卡，名额有限，速来登记",
)
FILL = " .-_|/~*★❤·"
SWAP = str.maketrans(
    {"过": "過", "费": "費", "贷": "貸", "手": "手", "领": "領", "联": "聯", "专": "專", "0": "０"}
)
NEAR = str.maketrans(
    {
        "内": "㓁",
        "班": "斑",
        "资": "姿",
        "到": "倒",
        "征": "徽",
        "购": "构",
        "卡": "咔",
        "薪": "新",
        "宿": "俗",
    }
)


def disguise(text: str, seed: int) -> str:
    """Hide an advertisement as spammers do: signs between characters, other script, likenesses, words around it."""
    chance = random.Random(seed)
    if chance.random() < 0.4:
        text = text.translate(SWAP)
    if chance.random() < 0.5:
        place = chance.randrange(len(text) - 6)
        text = text[:place] + text[place : place + 6].translate(NEAR) + text[place + 6 :]
    if chance.random() < 0.6:
        sign = chance.choice(FILL)
        text = "".join(char + (sign if chance.random() < 0.7 else "") for char in text)
    if chance.random() < 0.5:
        text = (
            chance.choice(["", "🔥🔥", "各位老师 ", "【推荐】"])
            + text
            + chance.choice(["", "！！！", "👍👍", "谢谢", "扫码"])
        )
    return text


def groups_of(texts: Sequence[str]) -> list[int]:
    return [grouped.group for grouped in Grouper().add(range(len(texts)), texts)]


def pair_scores(gold: Sequence[object], found: Sequence[int]) -> tuple[float, float]:
    """Return pairwise precision and recall; gold None belongs to nothing."""
    both = right = wanted = 0
    for one, other in combinations(range(len(gold)), 2):
        same = gold[one] is not None and gold[one] == gold[other]
        wanted += same
        both += found[one] == found[other]
        right += same and found[one] == found[other]
    return right / max(1, both), right / max(1, wanted)


def test_campaign_of_the_demo_week_is_one_group() -> None:
    found = groups_of([row["text"] for row in POSTS])
    gold = [row["story"] if row["story"] == "campaign" else None for row in POSTS]
    members = {group for group, label in zip(found, gold, strict=True) if label}
    assert len(members) <= 2
    strangers = [
        row["text"]
        for row, group in zip(POSTS, found, strict=True)
        if group in members and row["story"] != "campaign"
    ]
    assert strangers == []


def test_disguised_advertisements_find_each_other_among_ordinary_posts() -> None:
    talk = [
        row["text"] for row in POSTS if row["story"] == "talk" and not is_chatter(skeletons([row["text"]])[0])
    ]
    rows = [
        (disguise(ad, 100 * number + seed), number) for number, ad in enumerate(ADS) for seed in range(25)
    ]
    mixed = [*rows, *((text, None) for text in talk[:200])]
    random.Random(7).shuffle(mixed)
    gold: list[object] = [None if label is None else label for _, label in mixed]
    found = groups_of([text for text, _ in mixed])
    advertising = [at for at, label in enumerate(gold) if label is not None]
    precision, recall = pair_scores([gold[at] for at in advertising], [found[at] for at in advertising])
    assert precision == 1.0
    assert recall >= 0.9
    touched = {found[at] for at in advertising}
    assert not [mixed[at][0] for at, label in enumerate(gold) if label is None and found[at] in touched]


@pytest.mark.parametrize(
    "text", ["收到", "+1", "1", "好的谢谢", "哈哈哈哈", "👍", "？", "", "[图片]", "辛苦了！"]
)
def test_chatter_stands_alone(text: str) -> None:
    assert groups_of([text, text, text]) == [0, 1, 2]


def test_short_texts_must_be_equal() -> None:
    assert groups_of(["停水", "停电", "停水", "停水。", "停水了吗"]) == [0, 1, 0, 0, 4]
    assert groups_of(["食堂涨价", "食堂涨价了", "食堂涨价！"]) == [0, 1, 0]


def test_warning_that_quotes_an_advertisement_is_not_of_the_campaign() -> None:
    warning = (
        "提醒大家：今天群里好几个小号在发“" + ADS[1] + "”，这是典型的套路贷，保卫处已经报备，"
        "家里有人点过链接的马上改密码、冻结银行卡，别不好意思说。"
    )
    assert groups_of([ADS[1], warning]) == [0, 1]


def test_similarity_is_to_the_first_post_of_the_group() -> None:
    grouper = Grouper()
    first, second, third = grouper.add([11, 12, 13], [ADS[0], ADS[0] + "！！", ADS[0][:-4] + "截止周五"])
    assert (first.group, first.similarity) == (11, 1.0)
    assert (second.group, second.similarity) == (11, 1.0)
    assert third.group == 11
    assert 0.5 <= third.similarity < 1.0


def test_groups_stay_after_a_restart() -> None:
    grouper = Grouper()
    before = grouper.add([1, 2, 3], [ADS[0], ADS[1], ADS[0] + "!"])
    fresh = Grouper()
    fresh.restore(
        [(grouped.group, text) for grouped, text in zip(before, (ADS[0], ADS[1], ADS[0] + "!"), strict=True)]
    )
    after = fresh.add([8, 9], [disguise(ADS[1], 3), "全新的一条消息，谁也不像"])
    assert [grouped.group for grouped in after] == [2, 9]


def test_restored_groups_are_never_joined() -> None:
    grouper = Grouper()
    grouper.restore([(5, ADS[2]), (6, ADS[2]), (6, ADS[2])])
    assert grouper.add([9], [ADS[2]])[0].group in {5, 6}


def test_chain_of_likenesses_does_not_lead_elsewhere() -> None:
    words = ADS[0] + ADS[1] + ADS[2] + ADS[3]
    chain = [words[at : at + 40] for at in range(0, 80, 8)]
    found = groups_of(chain)
    assert found[:2] == [0, 0]
    assert found[-1] != 0


def test_common_turn_of_phrase_is_no_likeness() -> None:
    assert groups_of(["你什么时候上班", "你什么时候下班", "什么时候到家"]) == [0, 1, 2]


def test_window_forgets_the_old() -> None:
    grouper = Grouper(window=2)
    strangers = [row["text"] for row in POSTS if len(row["text"]) > 30][:2]
    found = grouper.add(range(4), [ADS[3], *strangers, ADS[3]])
    assert [grouped.group for grouped in found] == [0, 1, 2, 3]
    found = Grouper(window=3).add(range(4), [ADS[3], *strangers, ADS[3]])
    assert found[3].group == 0


def test_ring_turns_over_without_mixing_groups() -> None:
    rows = [row["text"] for row in POSTS if len(row["text"]) > 20]
    grouper = Grouper(window=8)
    for turn in range(6):
        ids = range(turn * 1000, turn * 1000 + len(rows))
        for number, grouped in zip(ids, grouper.add(ids, rows), strict=True):
            assert 0 <= number - grouped.group < 1000


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from([*ADS, *(disguise(ad, 5) for ad in ADS), "收到", "停水", "a", "二", ""]), max_size=30
    ),
    st.data(),
)
def test_result_does_not_depend_on_the_batches(texts: list[str], data: st.DataObject) -> None:
    whole = Grouper(window=64).add(range(len(texts)), texts)
    cut = data.draw(st.integers(0, len(texts)))
    grouper = Grouper(window=64)
    parts = grouper.add(range(cut), texts[:cut]) + grouper.add(range(cut, len(texts)), texts[cut:])
    assert parts == whole


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[]), max_size=12), max_size=8))
def test_signature_does_not_depend_on_neighbours(texts: list[str]) -> None:
    together = signature(texts)
    assert together.shape == (len(texts), 64)
    assert together.dtype == np.uint32
    for row, text in enumerate(texts):
        assert np.array_equal(together[row], signature([text])[0])


def test_minima_estimate_the_jaccard_similarity() -> None:
    texts = [row["text"] for row in POSTS if len(row["text"]) > 60][:20]
    changed = [text[: len(text) * 2 // 3] for text in texts]
    exact = [similarity(*skeletons([one, other])) for one, other in zip(texts, changed, strict=True)]
    estimate = (signature(texts) == signature(changed)).mean(axis=1)
    assert abs(float(np.mean(estimate)) - float(np.mean(exact))) < 0.06


def test_keys_of_bands_are_shared_by_equal_and_not_by_strangers() -> None:
    keys = bands(signature([ADS[0], ADS[0] + "。。", ADS[1]]))
    assert keys.shape == (3, 16)
    assert keys.dtype == np.uint64
    assert np.array_equal(keys[0], keys[1])
    assert not np.any(keys[0] == keys[2])


def test_odd_texts_are_taken_like_any_other() -> None:
    odd = ["\ud800\udc00 代理", "\x00" * 50, "x" * 100_000, "🀄" * 30, "\u200b"]
    assert groups_of([*odd, *odd]) == [0, 1, 2, 3, 4, 0, 6, 2, 8, 9]


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        Grouper().add([1], [])
    with pytest.raises(ValueError, match="window"):
        Grouper(window=0)


# --- the commands ----------------------------------------------------------------------------------


def run(arguments: Sequence[str], given: bytes = b"") -> tuple[Result, list[dict[str, Any]]]:
    app = typer.Typer()
    commands.register(app)
    result = CliRunner().invoke(app, list(arguments), input=given)
    return result, [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def jsonl(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def test_group_answers_each_line_in_order() -> None:
    posts = jsonl({"id": "a", "text": ADS[0]}, {"id": 2, "text": "收到"}, {"text": ADS[0] + "!"})
    result, rows = run(["group"], posts)
    assert result.exit_code == 0
    assert rows == [
        {"id": "a", "group": 1, "similarity": 1.0},
        {"id": 2, "group": 2, "similarity": 1.0},
        {"id": None, "group": 1, "similarity": 1.0},
    ]


def test_group_names_broken_lines_and_goes_on() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    good = jsonl({"id": "x", "text": ADS[1]})
    odd = b'{"id": "\\ud800", "text": "\\ud800 \\u0000"}\n'
    bad = b"{broken\n" + deep + b"\n\n" + b"\xff\xfe{}\n" + b"[1]\n" + b'{"id": 1}\n'
    result, rows = run(["group", "-"], good + bad + odd + good)
    assert result.exit_code == 3
    codes = {row["line"]: row["error"]["code"] for row in rows if "error" in row}
    assert codes == {2: "json", 3: "too_deep", 5: "encoding", 6: "shape", 7: "text"}
    assert [row["group"] for row in rows if "group" in row] == [1, 8, 1]


def test_group_reads_text_files_one_post_a_line(tmp_path: Path) -> None:
    file = tmp_path / "posts.txt"
    file.write_bytes(f"\ufeff{ADS[0]}\n\n{ADS[0]}。\r\n".encode())
    result, rows = run(["group", str(file)])
    assert result.exit_code == 0
    assert [(row["id"], row["group"]) for row in rows] == [(1, 1), (2, 2), (3, 1)]


@pytest.mark.parametrize("given", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_group_of_nothing_is_nothing(given: bytes) -> None:
    result, rows = run(["group", "--format", "jsonl"], given)
    assert (result.exit_code, rows) == (0, [])


def test_group_says_which_file_is_missing(tmp_path: Path) -> None:
    result, rows = run(["group", str(tmp_path / "none.jsonl")])
    assert (result.exit_code, rows) == (2, [])
    assert "none.jsonl" in result.stderr


def test_match_prints_claims_best_first_and_none_where_nothing_fits(tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    pay = {"id": "c1", "claim": "今年年终绩效要砍三成", "verdict": "false", "clarification": "总额不减"}
    claims.write_bytes(jsonl(pay, {"id": 7, "claim": "附属幼儿园下周起取消延时班", "verdict": "partly"}))
    told = [("p1", "听说今年年终绩效要砍三成"), ("p2", "收到"), ("p3", "附属幼儿园取消延时班")]
    result, rows = run(
        ["match", "--claims", str(claims)], jsonl(*({"id": key, "text": text} for key, text in told))
    )
    assert result.exit_code == 0
    found = {row["id"]: row["matches"] for row in rows}
    assert [(match["claim_id"], match["band"]) for match in found["p1"]] == [("c1", "same")]
    assert set(found["p1"][0]) == {"claim_id", "score", "band"}
    assert found["p2"] == []
    assert [(match["claim_id"], match["band"]) for match in found["p3"]] == [(7, "suggest")]


def test_match_skips_broken_claims_and_says_so(tmp_path: Path) -> None:
    claims = tmp_path / "claims.jsonl"
    claims.write_bytes(jsonl({"id": "c1", "claim": "西区食堂发生爆炸"}, {"id": "c2"}) + b"{\n")
    result, rows = run(["match", "--claims", str(claims)], jsonl({"id": 1, "text": "西区食堂发生爆炸？"}))
    assert result.exit_code == 3
    assert rows[0]["matches"][0]["claim_id"] == "c1"
    assert "2" in result.stderr
    assert "3" in result.stderr
    assert run(["match", "--claims", str(tmp_path / "none")])[0].exit_code == 2
