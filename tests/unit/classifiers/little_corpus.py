"""A little corpus that is learnt in seconds: three parts of made-up posts in which a few words tell everything."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from classifiers.topic import TOPICS

TOPIC_WORDS = dict(
    zip(
        TOPICS,
        (
            "绩效",
            "职称",
            "课时",
            "合同",
            "公寓",
            "幼儿园",
            "体检",
            "食堂",
            "停车",
            "团建",
            "报销",
            "门禁",
            "退休",
            "公章",
        ),
        strict=True,
    )
)
EASY = {"spam": 0, "rumour": 0, "grievance": 0, "abuse": 0, "risk": 0}
CALM = {"sentiment": "neutral", "topic": None, "urgency": None}
FILL = ("今天", "昨天", "老师们", "楼下", "上午", "我们院", "隔壁", "刚才")


def rows(seed: int, part: str) -> list[dict[str, Any]]:
    """Return the posts of one part."""
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []

    def add(text: str, **labels: Any) -> None:
        filled = f"{chance.choice(FILL)}{text}{chance.choice(FILL)}{chance.randrange(100)}"
        found.append({"id": f"{part}-{len(found)}", "text": filled, **EASY, **CALM, **labels})

    for topic, word in TOPIC_WORDS.items():
        for urgency, more in (("high", "马上出事"), ("normal", "一直没人管"), ("low", "以后能不能改改")):
            add(f"{word}{more}", grievance=1, topic=topic, urgency=urgency, sentiment="negative")
        add(f"听说{word}要取消了", rumour=1, topic=topic, urgency="normal")
        add(f"{word}的通知已经发了")
    for _ in range(12):
        add("兼职刷单日结加微信", spam=1)
        add("你这个废物滚", abuse=1, sentiment="negative")
        add("想跳下去不活了", risk=1, sentiment="negative", urgency="high")
        add("谢谢大家真好", sentiment="positive")
        add("收到")
    return found


def write(folder: Path, test: str = "part3") -> Path:
    """Write three parts and a split into ``folder``; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in (1, 2, 3):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows(number, f"l{number}")]
        (folder / f"part{number}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "split.json").write_text(json.dumps({"test": [test]}), encoding="utf-8")
    return folder
