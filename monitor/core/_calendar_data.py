"""Public holidays and make-up working days of mainland China, from the yearly notices of the State Council.

Taken from chinesecalendar 1.11.0 (MIT); a test compares every day with the installed version. ``MMDD`` per year.
"""

from __future__ import annotations

from collections.abc import Mapping

HOLIDAYS: Mapping[int, str] = {
    2024: (
        "0101 0210 0211 0212 0213 0214 0215 0216 0217 0404 0405 0406 0501 0502 0503 0504 0505 0610 "
        "0915 0916 0917 1001 1002 1003 1004 1005 1006 1007"
    ),
    2025: (
        "0101 0128 0129 0130 0131 0201 0202 0203 0204 0404 0405 0406 0501 0502 0503 0504 0505 0531 "
        "0601 0602 1001 1002 1003 1004 1005 1006 1007 1008"
    ),
    2026: (
        "0101 0102 0103 0215 0216 0217 0218 0219 0220 0221 0222 0223 0404 0405 0406 0501 0502 0503 "
        "0504 0505 0619 0620 0621 0925 0926 0927 1001 1002 1003 1004 1005 1006 1007"
    ),
}
"""Days off that the notice names (weekends inside them included)."""

WORKDAYS: Mapping[int, str] = {
    2024: ("0204 0218 0407 0428 0511 0914 0929 1012"),
    2025: ("0126 0208 0427 0928 1011"),
    2026: ("0104 0214 0228 0509 0920 1010"),
}
"""Saturdays and Sundays on which people work (调休)."""
