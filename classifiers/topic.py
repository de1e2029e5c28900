"""Topic 主题: what a grievance or a rumour is about."""

from __future__ import annotations

from typing import Final

from classifiers._question import Question
from monitor.core.model import Label

TOPICS: Final = (
    "pay", "title", "workload", "contract", "housing", "children", "health", "canteen", "facilities", "welfare",
    "reimbursement", "safety", "retirement", "other",
)  # fmt: skip

QUESTION = Question(
    label=Label.TOPIC,
    about="What a grievance or rumour is about: one of the shipped topic keys.",
    values=TOPICS,
    names={topic: topic for topic in TOPICS},
    tasks=("topic",),
    given=(Label.GRIEVANCE, Label.RUMOUR),
)
