"""Grievance 诉求: a complaint, a request for redress, or a suggestion that union or school should act on."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import Label

QUESTION = Question(
    label=Label.GRIEVANCE,
    about="A complaint, request for redress, rights claim or concrete suggestion to union or school; irony counts.",
    tasks=("grievance",),
    miss_cost=1.6,
    why=(
        (("请", "希望", "建议", "能不能", "可否", "恳请", "呼吁", "求", "要求"), "提出了请求或建议"),
        (("什么时候", "多久", "还没", "一直", "至今", "还是", "没人"), "说明问题拖着没有解决"),
        (("凭什么", "不公", "不合理", "为什么", "怎么", "哪"), "质疑做法不合理"),
        (("工资", "绩效", "课时", "扣", "补", "钱", "费"), "涉及待遇或费用"),
    ),
    why_else="反映了需要处理的问题",
)
