"""Rumour 待核说法: an unverified factual claim of public concern."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import Label

QUESTION = Question(
    label=Label.RUMOUR,
    about="Asserts or passes on an unverified factual claim of public concern; a score may rank, never decide.",
    names={"rumour": "1", "rumor": "1", "non_rumour": "0", "non-rumour": "0", "non_rumor": "0"},
    tasks=("rumour",),
    miss_cost=1.6,
    why=(
        (("听说", "据说", "听人说", "传闻", "网传", "都在传", "有人说", "说是", "听"), "转述来源不明的说法"),
        (("内部", "消息", "可靠", "亲戚", "朋友", "同学", "截图", "群里"), "消息来源无从核对"),
        (("速转", "转发", "转给", "扩散", "别外传", "快"), "催人转发或保密的说法"),
        (("真的吗", "真的假的", "是不是", "吗", "?"), "带着未经证实的说法来问"),
    ),
    why_else="陈述了一件有待核实的事",
)
