"""Reading what a program sends: every field is checked against its struct, and a wrong one is named."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from monitor.core.errors import HuiyinError
from monitor.core.privacy import clean
from monitor.runtime._web.problems import FieldError, Refusal

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")

DEEPEST: Final = 64
LARGEST: Final = 2**53 - 1
LONGEST_PARAMETER: Final = 1_000
LONGEST_REF: Final = 100
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
KEY_PATTERN: Final = r"^[\x21-\x7e]{1,200}$"
_KEY: Final = re.compile(KEY_PATTERN)
_TOKEN: Final = re.compile(r"[\x21-\x7e]{8,200}")
_AT: Final = re.compile(r"(?P<said>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`")


def _fault(error: Exception, where: str) -> Refusal:
    found = _AT.fullmatch(str(error))
    said, path = (found["said"], found["path"]) if found else (str(error), None)
    unknown = _UNKNOWN.match(said)
    if unknown is not None:
        said = "Object contains unknown field"
    place = where + (path or "$").removeprefix("$")
    return Refusal("request.invalid", f"{place}: {said}", (FieldError(place, said),))


def _wrong(place: str, said: str) -> Refusal:
    return Refusal("request.invalid", f"{place}: {said}", (FieldError(place, said),))


def _too_deep(body: bytes) -> bool:
    """Say whether brackets are nested deeper than :data:`DEEPEST`; brackets inside strings do not count."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth, inside, escaped = 0, False, False
    for byte in body:
        if inside:
            inside = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            inside = True
        elif byte in b"[{":
            depth += 1
            if depth > DEEPEST:
                return True
        elif byte in b"]}":
            depth -= 1
    return False


def body_of(raw: bytes, kind: type[T]) -> T:
    """Return a JSON body as ``kind``.

    Raises: Refusal: malformed for what is no JSON in UTF-8 or too deep, invalid with the path of the wrong field.
    """
    if _too_deep(raw):
        raise Refusal("request.malformed", f"the JSON is nested deeper than {DEEPEST} levels")
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _fault(error, "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("request.malformed", "the body must be one JSON document in UTF-8") from None


@cache
def _shapes(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return field -> kind of its JSON (``integer``, ``array``, ``string`` …)."""
    _refs, components = msgspec.json.schema_components((kind,))
    fields = components[kind.__name__]["properties"]
    return {name: str(schema.get("type", "string")) for name, schema in fields.items()}


def query_of(request: web.Request, kind: type[T]) -> T:
    """Return the query as ``kind``; a field that is an array takes every value of its name.

    Raises: Refusal naming the parameter.
    """
    shapes = _shapes(kind)
    values: dict[str, Any] = {}
    for name in dict.fromkeys(request.query):
        texts = [clean(value, LONGEST_PARAMETER) for value in request.query.getall(name)]
        shape = shapes.get(name, "string")
        if shape != "array" and len(texts) > 1:
            raise _wrong(f"query.{clean(name, 40)}", "given more than once")
        values[name] = texts if shape == "array" else _read(texts[0], shape)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise _fault(error, "query") from None


def _read(text: str, shape: str) -> str | int:
    return int(text) if shape == "integer" and _INTEGER.fullmatch(text) else text


def given(value: V | msgspec.UnsetType) -> V | None:
    """Return a field of a query, None when it was not given."""
    return None if value is msgspec.UNSET else value


def number_of(request: web.Request, name: str) -> int:
    """Return a number in the path; raises Refusal: there is nothing under what is no id."""
    value = request.match_info[name]
    if not (value.isascii() and value.isdigit() and len(value) <= 16 and 0 < int(value) <= LARGEST):
        raise Refusal("request.not_found", "an id is a positive whole number")
    return int(value)


def name_of(request: web.Request, name: str) -> str:
    """Return a name in the path; raises Refusal: there is nothing under what is too long."""
    value = request.match_info[name]
    if len(value) > LONGEST_REF:
        raise Refusal("request.not_found", f"a reference has at most {LONGEST_REF} characters")
    return clean(value)


def key_of(request: web.Request) -> str:
    """Return the Idempotency-Key; raises Refusal when it is missing or not 1 to 200 visible ASCII characters."""
    key = request.headers.get("Idempotency-Key", "")
    if not _KEY.match(key):
        raise _wrong(
            "header.Idempotency-Key", "Expected 1 to 200 visible ASCII characters, new for every change"
        )
    return key


def token_of(request: web.Request) -> str:
    """Return the bearer token; raises Refusal when there is none."""
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
        raise unauthorized()
    return token


def unauthorized() -> HuiyinError:
    """Return the refusal of who shows no valid token."""
    return Refusal("auth.required", "send `Authorization: Bearer TOKEN`; an administrator issues tokens")


__all__ = [
    "DEEPEST",
    "KEY_PATTERN",
    "body_of",
    "key_of",
    "name_of",
    "number_of",
    "query_of",
    "token_of",
    "unauthorized",
]
