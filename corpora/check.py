"""Check the corpora of our own: the shape of every row, and that no post stands twice within or across splits.

``python -m corpora.check`` prints what it finds and ends with 1 when anything is wrong. What counts as the same: equal
letters and digits, or, for posts of twelve or more, character 3-grams of which at least ``SAME`` are shared (Jaccard).
Only the standard library is used, so that whoever adds a part can run it at once.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOME: Final = Path(__file__).resolve().parent
YES_NO: Final = ("spam", "rumour", "grievance", "abuse", "risk")
KEYS: Final = ("id", "channel", "text", *YES_NO, "topic", "sentiment", "urgency", "note", "hard")
CHANNELS: Final = frozenset(
    {"qq_group", "wechat_comment", "weibo_comment", "site_comment", "forum", "suggestion_box"}
)
TOPICS: Final = frozenset(
    {
        *("pay", "title", "workload", "contract", "housing", "children", "health", "canteen"),
        *("facilities", "welfare", "reimbursement", "safety", "retirement", "other"),
    }
)
SENTIMENTS: Final = frozenset({"negative", "neutral", "positive"})
URGENCIES: Final = frozenset({"high", "normal", "low"})
SAME: Final = 0.8
"""Lower, and pairs written on purpose, where one more clause changes the label, would count as one post."""
SHORTEST: Final = 12
"""Shorter posts are compared whole: 收到 stands in every group and is not the same post."""
_COMMON: Final = 60
"""A 3-gram in more posts than this finds no candidates; two alike posts share rarer ones."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two posts that are the same, and how much they share (1.0 is equal)."""

    one: str
    other: str
    shared: float
    crosses: bool


def read(folder: Path = HOME / "domain") -> dict[str, list[Row]]:
    """Return the rows of each part, by the name of the part."""
    paths = sorted(folder.glob("part*.jsonl"))
    return {path.stem: [json.loads(line) for line in path.open(encoding="utf-8")] for path in paths}


def faults(part: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield what is wrong with the shape of a part's rows, by id."""
    seen: set[str] = set()
    for row in rows:
        name = f"{part} {row.get('id')}"
        if set(row) != set(KEYS):
            yield f"{name}: keys differ from {', '.join(KEYS)}"
            continue
        if row["id"] in seen:
            yield f"{name}: the id stands twice"
        seen.add(row["id"])
        yield from (f"{name}: {fault}" for fault in _values(row))


def _values(row: Row) -> Iterator[str]:
    if not str(row["text"]).strip():
        yield "no text"
    if row["channel"] not in CHANNELS:
        yield f"channel {row['channel']!r}"
    if any(row[label] not in (0, 1) for label in YES_NO):
        yield "a label is neither 0 nor 1"
    if row["sentiment"] not in SENTIMENTS:
        yield f"sentiment {row['sentiment']!r}"
    asked = row["grievance"] or row["rumour"]
    if (row["topic"] is not None) != bool(asked) or row["topic"] not in {*TOPICS, None}:
        yield f"topic {row['topic']!r} with grievance {row['grievance']}, rumour {row['rumour']}"
    if (row["urgency"] is not None) != bool(asked or row["risk"]) or row["urgency"] not in {*URGENCIES, None}:
        yield f"urgency {row['urgency']!r} with risk {row['risk']}, topic {row['topic']!r}"


def letters(text: str) -> str:
    """Return the letters and digits of a text, in one width and case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if character.isalnum())


def twins(parts: dict[str, list[Row]], held_out: frozenset[str] = frozenset()) -> list[Pair]:
    """Return posts that are the same; ``crosses`` when one lies in a held-out part and the other does not."""
    posts = [
        (row["id"], part in held_out, letters(row["text"])) for part, rows in parts.items() for row in rows
    ]
    grams = [frozenset(text[at : at + 3] for at in range(len(text) - 2)) for _, _, text in posts]
    where: dict[str, list[int]] = defaultdict(list)
    equal: dict[str, list[int]] = defaultdict(list)
    found: list[Pair] = []

    def tell(one: int, other: int, shared: float) -> None:
        (first, is_out, _), (second, is_other_out, _) = posts[other], posts[one]
        found.append(Pair(first, second, shared, is_out != is_other_out))

    for at, (_, _, text) in enumerate(posts):
        if len(text) < SHORTEST:
            continue
        for other in equal[text]:
            tell(at, other, 1.0)
        near = {other for gram in grams[at] if len(where[gram]) < _COMMON for other in where[gram]}
        for other in near - set(equal[text]):
            shared = len(grams[at] & grams[other]) / len(grams[at] | grams[other])
            if shared >= SAME:
                tell(at, other, shared)
        equal[text].append(at)
        for gram in grams[at]:
            where[gram].append(at)
    return found


def main() -> int:
    """Print faults and twins of ``corpora/domain``; return 1 when there are any."""
    parts = read()
    held_out = frozenset(json.loads((HOME / "domain" / "split.json").read_text(encoding="utf-8"))["test"])
    wrong = [fault for part, rows in parts.items() for fault in faults(part, rows)]
    same = twins(parts, held_out)
    for fault in wrong:
        print(fault)  # noqa: T201
    for pair in same:
        crossing = ", across the split" if pair.crosses else ""
        print(f"{pair.one} and {pair.other} share {pair.shared:.2f}{crossing}")  # noqa: T201
    crossings = sum(pair.crosses for pair in same)
    count = sum(map(len, parts.values()))
    print(  # noqa: T201
        f"{count} posts in {len(parts)} parts; {len(wrong)} faults; {len(same)} pairs alike, {crossings} across the split",
        file=sys.stderr,
    )
    return 1 if wrong or same else 0


if __name__ == "__main__":
    raise SystemExit(main())
