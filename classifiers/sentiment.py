"""Sentiment 情绪: the writer's, as meant. It never enters a removal."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import SENTIMENTS, Label

QUESTION = Question(
    label=Label.SENTIMENT,
    about="The writer's sentiment as meant (irony by what is meant); used for trends, never for a removal.",
    values=SENTIMENTS,
    names={"negative": "negative", "neutral": "neutral", "positive": "positive"},
    tasks=("sentiment",),
)
