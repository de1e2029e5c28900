"""Urgency 紧急: how soon somebody has to look at a grievance, a rumour or a risk."""

from __future__ import annotations

from classifiers._question import Question
from monitor.core.model import URGENCIES, Label

QUESTION = Question(
    label=Label.URGENCY,
    about="High: harm or loss within about a day, or many people at once; low: a wish without a date.",
    values=URGENCIES,
    names={urgency: urgency for urgency in URGENCIES},
    tasks=("urgency",),
    given=(Label.GRIEVANCE, Label.RUMOUR, Label.RISK),
)
