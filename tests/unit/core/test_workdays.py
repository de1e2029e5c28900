"""The working-day clock against a golden table around make-up days, and against chinesecalendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.model import CaseKind
from monitor.core.workdays import (
    SHANGHAI,
    Due,
    add_working_days,
    answer_due,
    due,
    first_due,
    shipped,
    working_days_between,
)

# start (Shanghai), working days, last day whose 24:00 ends the limit
GOLDEN = [
    ("2026-03-02 09:00", 1, "2026-03-03"),  # Monday
    ("2026-03-02 00:00", 2, "2026-03-04"),
    ("2026-03-02 23:59", 2, "2026-03-04"),
    ("2026-03-06 17:00", 1, "2026-03-09"),  # Friday
    ("2026-03-07 10:00", 1, "2026-03-09"),  # Saturday
    ("2026-03-06 17:00", 15, "2026-03-27"),
    ("2026-02-13 09:00", 1, "2026-02-14"),  # Saturday 14 February 2026 is a working day
    ("2026-02-13 09:00", 2, "2026-02-24"),  # then spring festival, 15 to 23
    ("2026-02-14 09:00", 1, "2026-02-24"),
    ("2026-02-24 09:00", 4, "2026-02-28"),  # Saturday 28 February is a working day
    ("2026-02-24 09:00", 5, "2026-03-02"),
    ("2026-01-01 09:00", 1, "2026-01-04"),  # Sunday 4 January is a working day
    ("2025-12-31 09:00", 1, "2026-01-04"),
    ("2026-04-03 09:00", 1, "2026-04-07"),  # Qingming
    ("2026-04-30 09:00", 1, "2026-05-06"),  # May
    ("2026-05-08 09:00", 1, "2026-05-09"),  # Saturday 9 May
    ("2026-06-18 09:00", 1, "2026-06-22"),  # dragon boat
    ("2026-09-18 09:00", 1, "2026-09-20"),  # Sunday 20 September
    ("2026-09-24 09:00", 1, "2026-09-28"),  # moon
    ("2026-09-30 09:00", 1, "2026-10-08"),  # national day
    ("2026-10-09 09:00", 1, "2026-10-10"),  # Saturday 10 October
    ("2026-10-10 09:00", 1, "2026-10-12"),
    ("2025-01-24 09:00", 1, "2025-01-26"),  # Sunday 26 January
    ("2025-01-27 09:00", 1, "2025-02-05"),
    ("2025-02-07 09:00", 1, "2025-02-08"),
    ("2025-04-25 09:00", 1, "2025-04-27"),
    ("2025-09-26 09:00", 1, "2025-09-28"),
    ("2025-09-30 09:00", 1, "2025-10-09"),
    ("2025-10-10 09:00", 1, "2025-10-11"),
    ("2024-02-02 09:00", 1, "2024-02-04"),
    ("2024-02-09 09:00", 1, "2024-02-18"),  # 9 February 2024 was a working day by the notice
    ("2024-04-03 09:00", 1, "2024-04-07"),
    ("2024-04-26 09:00", 1, "2024-04-28"),
    ("2024-04-30 09:00", 1, "2024-05-06"),
    ("2024-05-10 09:00", 1, "2024-05-11"),
    ("2024-09-13 09:00", 1, "2024-09-14"),
    ("2024-09-27 09:00", 1, "2024-09-29"),
    ("2024-10-11 09:00", 1, "2024-10-12"),
    # longer limits across the same holidays
    ("2024-01-31 16:30", 10, "2024-02-19"),
    ("2024-04-01 16:30", 5, "2024-04-09"),
    ("2024-04-29 16:30", 3, "2024-05-07"),
    ("2024-06-07 16:30", 2, "2024-06-12"),
    ("2024-09-10 16:30", 5, "2024-09-18"),
    ("2024-09-26 16:30", 8, "2024-10-12"),
    ("2024-12-30 16:30", 3, "2025-01-03"),
    ("2025-01-02 16:30", 15, "2025-01-23"),
    ("2025-01-20 16:30", 10, "2025-02-08"),
    ("2025-01-31 16:30", 1, "2025-02-05"),
    ("2025-04-02 16:30", 3, "2025-04-08"),
    ("2025-04-28 16:30", 5, "2025-05-08"),
    ("2025-05-29 16:30", 4, "2025-06-05"),
    ("2025-09-22 16:30", 15, "2025-10-17"),
    ("2025-10-01 16:30", 2, "2025-10-10"),
    ("2025-12-30 16:30", 4, "2026-01-06"),
    ("2026-01-03 16:30", 2, "2026-01-05"),
    ("2026-02-02 16:30", 15, "2026-02-28"),
    ("2026-02-28 16:30", 1, "2026-03-02"),
    ("2026-03-31 16:30", 5, "2026-04-08"),
    ("2026-04-27 16:30", 10, "2026-05-13"),
    ("2026-05-09 16:30", 1, "2026-05-11"),
    ("2026-06-15 16:30", 5, "2026-06-23"),
    ("2026-09-14 16:30", 10, "2026-09-28"),
    ("2026-09-20 16:30", 5, "2026-09-28"),
    ("2026-10-07 16:30", 3, "2026-10-10"),
    ("2026-10-08 16:30", 2, "2026-10-10"),
    ("2026-12-01 16:30", 15, "2026-12-22"),
]


def shanghai(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=SHANGHAI)


@pytest.mark.parametrize(("start", "days", "last"), GOLDEN)
def test_golden_table(start: str, days: int, last: str) -> None:
    end = due(shanghai(start), days, shipped())
    midnight = shanghai(f"{last} 00:00") + timedelta(days=1)
    assert end == Due(midnight.astimezone(UTC), provisional=False)
    assert add_working_days(shanghai(start).astimezone(UTC), days, shipped()) == midnight


def test_every_day_agrees_with_chinesecalendar() -> None:
    calendar = shipped()
    first, last = date(min(calendar.years), 1, 1), date(max(calendar.years), 12, 31)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    differing = [day for day in days if calendar.is_working(day) is not chinese_calendar.is_workday(day)]
    assert not differing


def test_the_two_famous_saturdays_are_working_days() -> None:
    assert shipped().is_working(date(2026, 2, 14))
    assert shipped().is_working(date(2026, 10, 10))


def test_a_year_without_a_table_is_provisional() -> None:
    crossing = due(shanghai("2026-12-30 09:00"), 3, shipped())
    assert crossing.provisional
    assert crossing.at == shanghai("2027-01-06 00:00")  # 31 December, 4 and 5 January; the 1st is statutory
    assert not due(shanghai("2026-12-30 09:00"), 1, shipped()).provisional
    assert not shipped().is_working(date(2030, 10, 1))
    assert shipped().is_working(date(2030, 10, 4))
    assert due(shanghai("2031-05-05 09:00"), 1, shipped()).provisional


def test_a_limit_without_days_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one day"):
        due(shanghai("2026-03-02 09:00"), 0, shipped())


@given(st.integers(0, 5 * 366 * 24 * 60), st.integers(1, 60))
def test_a_limit_ends_at_midnight_after_so_many_working_days(minutes: int, days: int) -> None:
    begin = shanghai("2023-06-01 00:00") + timedelta(minutes=minutes)
    end = due(begin, days, shipped())
    local = end.at.astimezone(SHANGHAI)
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
    last = local - timedelta(seconds=1)
    assert shipped().is_working(last.date())
    assert working_days_between(begin, last, shipped()) == days
    assert due(begin, days + 1, shipped()).at > end.at


def test_days_between() -> None:
    assert working_days_between(shanghai("2026-03-02 09:00"), shanghai("2026-03-02 18:00"), shipped()) == 0
    assert working_days_between(shanghai("2026-03-09 09:00"), shanghai("2026-03-02 18:00"), shipped()) == 0
    assert working_days_between(shanghai("2026-03-06 09:00"), shanghai("2026-03-10 00:00"), shipped()) == 2


def test_first_limits_by_kind() -> None:
    opened = shanghai("2026-03-02 09:00")
    ends = {kind: first_due(kind, opened, shipped()) for kind in CaseKind}
    assert ends == {
        CaseKind.CARE: Due(opened + timedelta(hours=2)),
        CaseKind.GRIEVANCE: Due(shanghai("2026-03-05 00:00").astimezone(UTC)),
        CaseKind.CLARIFICATION: Due(shanghai("2026-03-04 00:00").astimezone(UTC)),
        CaseKind.APPEAL: Due(shanghai("2026-03-17 00:00").astimezone(UTC)),
        CaseKind.MODERATION: None,
    }
    assert answer_due(opened, shipped()).at == shanghai("2026-03-24 00:00")
