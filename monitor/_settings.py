"""Reading one setting: its declaration, its type and bounds, and the line of the file in which it stands."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting as its reader and its documentation see it.

    Attributes:
        kind: str, int, float, bool or tuple (of text).
        default: what holds when the setting is left out.
        sentence: what it does, in one sentence; stands in docs/configuration.md.
        unit: what a number counts.
        least, most: bounds of a number.
        why: why the bounds are there.
    """

    kind: type
    default: Any
    sentence: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    why: str = ""


def setting(sentence: str, default: Any, **limits: Any) -> Any:
    """Declare one setting of a settings class; ``limits`` are fields of :class:`Spec`."""
    return dataclasses.field(default=default, metadata={"sentence": sentence, **limits})


def specs_of(settings: type) -> dict[str, Spec]:
    """Return name -> declaration of every setting of a settings class."""
    hints = get_type_hints(settings)
    return {
        field.name: Spec(
            getattr(hints[field.name], "__origin__", hints[field.name]), field.default, **field.metadata
        )
        for field in dataclasses.fields(settings)
        if "sentence" in field.metadata
    }


class Unfit(ValueError):
    """A value that a setting cannot take; the message says what is expected."""


def taken(spec: Spec, value: Any) -> Any:
    """Return ``value`` as the setting wants it.

    Raises: Unfit with what is expected there.
    """
    if spec.kind is bool:
        return _checked(value, isinstance(value, bool), "true or false")
    if spec.kind is str:
        return _checked(value, isinstance(value, str), 'text in quotes, e.g. "..."')
    if spec.kind is tuple:
        fits = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        return tuple(_checked(value, fits, 'a list of text, e.g. ["a", "b"]'))
    return _number(spec, value)


def _checked(value: Any, fits: bool, wanted: str) -> Any:
    if not fits:
        raise Unfit(f"{wanted} is expected, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date")


def _number(spec: Spec, value: Any) -> Any:
    whole = spec.kind is int
    wanted = f"a {'whole ' if whole else ''}number{f' of {spec.unit}' if spec.unit else ''} without quotes"
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    number = spec.kind(_checked(value, fits, wanted))
    if not float("-inf") < number < float("inf"):
        raise Unfit(f"{wanted} is expected, not nan or inf")
    for bound, word, fine in (
        (spec.least, "least", spec.least is None or number >= spec.least),
        (spec.most, "most", spec.most is None or number <= spec.most),
    ):
        if not fine and bound is not None:
            raise Unfit(f"at {word} {bound:g} is allowed, not {number:g}{spec.why and f': {spec.why}'}")
    return number


def parsed(spec: Spec, text: str) -> Any:
    """Return a value given as text (an environment variable) as the setting wants it; raises Unfit."""
    if spec.kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if spec.kind is bool:
        words = {"1": True, "true": True, "0": False, "false": False}
        return _checked(words.get(text.lower(), text), text.lower() in words, "true or false")
    if spec.kind is str:
        return text
    try:
        return _number(spec, int(text) if spec.kind is int else float(text))
    except ValueError as error:
        raise error if isinstance(error, Unfit) else Unfit("a number is expected") from None


def near(key: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown key: the likeliest one, or all of them."""
    names = sorted(known)
    found = difflib.get_close_matches(key, names, 1)
    return f"did you mean `{found[0]}`?" if found else f"known are: {', '.join(names)}"


# --- lines -----------------------------------------------------------------------------------------

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def lines_of(text: str) -> Mapping[tuple[str, ...], int]:
    """Return path of a table or key -> number of the line where it stands, for a TOML file."""
    found: dict[tuple[str, ...], int] = {}
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if header:
            table = _parts(header[1])
            found.setdefault(tuple(table), number)
        elif key:
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def line_of(lines: Mapping[tuple[str, ...], int], path: Sequence[str]) -> int | None:
    """Return the line of ``path``, or of the nearest table around it; None when it stands nowhere."""
    for length in range(len(path), 0, -1):
        if (number := lines.get(tuple(path[:length]))) is not None:
            return number
    return None
