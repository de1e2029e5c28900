"""Every question, in the order in which they are answered."""

from __future__ import annotations

from typing import Final

from classifiers import abuse, grievance, risk, rumour, sentiment, spam, topic, urgency
from classifiers._question import Question
from monitor.core.model import Label

QUESTIONS: Final[tuple[Question, ...]] = (
    spam.QUESTION,
    rumour.QUESTION,
    grievance.QUESTION,
    abuse.QUESTION,
    risk.QUESTION,
    sentiment.QUESTION,
    topic.QUESTION,
    urgency.QUESTION,
)
BY_LABEL: Final = {question.label: question for question in QUESTIONS}
YES_NO: Final[tuple[Label, ...]] = tuple(q.label for q in QUESTIONS if not q.values)
