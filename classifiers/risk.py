"""Risk 风险求助: signals of self-harm or violence, or an immediate danger."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import Label

QUESTION = Question(
    label=Label.RISK,
    about="Signals of self-harm or violence, or an immediate danger; a miss costs far more than a false alarm.",
    tasks=("risk",),
    miss_cost=2.5,
    why=(
        (
            ("不想活", "活着", "活不", "跳", "遗书", "解脱", "了断", "自杀", "药", "割"),
            "像是轻生或自伤的信号",
        ),
        (
            ("煤气", "燃气", "着火", "冒烟", "起火", "漏电", "触电", "电", "塌", "裂", "火"),
            "可能有眼前的安全危险",
        ),
        (("砍", "捅", "刀", "打", "同归于尽"), "像是要伤人的话"),
    ),
    why_else="可能有人正处在危险中",
)
