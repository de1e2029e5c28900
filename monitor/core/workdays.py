"""The working-day clock: days in Asia/Shanghai, holidays and make-up days from our own table (C-10 to C-12).

The first day is not counted and a limit ends at 24:00 of its last working day (民法典 201, 203). A year without a
confirmed table is computed with weekends and the statutory days of fixed date only, and marked provisional.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from monitor.core._calendar_data import HOLIDAYS, WORKDAYS
from monitor.core.model import CaseKind

SHANGHAI = ZoneInfo("Asia/Shanghai")
STATUTORY = frozenset({(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)})
"""Holidays of fixed date by (month, day); those of the moon calendar need the yearly notice."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days off and make-up working days of the ``years`` that are confirmed."""

    holidays: frozenset[date]
    workdays: frozenset[date]
    years: frozenset[int]

    def is_working(self, day: date) -> bool:
        """Say whether people work on ``day``."""
        if day in self.workdays:
            return True
        if day in self.holidays or day.weekday() >= 5:
            return False
        return day.year in self.years or (day.month, day.day) not in STATUTORY


@dataclass(frozen=True, slots=True)
class Due:
    """A limit: the moment (UTC) it ends, and whether a year without a confirmed table was touched."""

    at: datetime
    provisional: bool = False


def _days(table: Mapping[int, str]) -> frozenset[date]:
    return frozenset(
        date(year, int(day[:2]), int(day[2:])) for year, days in table.items() for day in days.split()
    )


@cache
def shipped() -> Calendar:
    """Return the calendar that ships with Huiyin."""
    return Calendar(_days(HOLIDAYS), _days(WORKDAYS), frozenset(HOLIDAYS))


def due(start: datetime, days: int, calendar: Calendar) -> Due:
    """Return the end of a limit of ``days`` (at least 1) working days that begins at ``start``.

    The day of ``start`` is not counted; the limit ends at midnight after the last working day.
    """
    if days < 1:
        raise ValueError("a limit in working days has at least one day")
    day = start.astimezone(SHANGHAI).date()
    years = {day.year}
    left = days
    while left:
        day += timedelta(days=1)
        years.add(day.year)
        left -= calendar.is_working(day)
    end = datetime.combine(day + timedelta(days=1), time(), SHANGHAI)
    return Due(end.astimezone(UTC), provisional=not years <= calendar.years)


def add_working_days(start: datetime, days: int, calendar: Calendar) -> datetime:
    """Return the moment (UTC) at which a limit of ``days`` working days ends; see :func:`due`."""
    return due(start, days, calendar).at


def working_days_between(start: datetime, end: datetime, calendar: Calendar) -> int:
    """Return how many working days have begun after the day of ``start`` up to the day of ``end``."""
    first, last = start.astimezone(SHANGHAI).date(), end.astimezone(SHANGHAI).date()
    return sum(calendar.is_working(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))


CARE_HOURS = 2
GRIEVANCE_ACCEPT_DAYS = 2
GRIEVANCE_ANSWER_DAYS = 15
FIRST_LIMIT_DAYS: Mapping[CaseKind, int] = {
    CaseKind.GRIEVANCE: GRIEVANCE_ACCEPT_DAYS,
    CaseKind.CLARIFICATION: 1,
    CaseKind.APPEAL: 10,
}
"""Working days until the first answer the union owes, by kind (C-02, M-05); moderation owes nobody a date."""


def first_due(kind: CaseKind, opened: datetime, calendar: Calendar) -> Due | None:
    """Return the first limit of a case of ``kind`` opened at ``opened``, or None when it has none."""
    if kind is CaseKind.CARE:
        return Due(opened + timedelta(hours=CARE_HOURS))
    days = FIRST_LIMIT_DAYS.get(kind)
    return None if days is None else due(opened, days, calendar)


def answer_due(registered: datetime, calendar: Calendar) -> Due:
    """Return until when a grievance registered at ``registered`` is to be answered."""
    return due(registered, GRIEVANCE_ANSWER_DAYS, calendar)
