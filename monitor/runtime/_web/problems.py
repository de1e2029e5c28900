"""Refusals as RFC 9457 problem documents: one table from our error tree to status, stable type and title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from monitor.core.errors import HuiyinError, RateLimited

PREFIX: Final = "urn:huiyin:"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of problem; ``told`` says whether the occurrence's own sentence is shown."""

    status: int
    title: str
    told: bool = True


KINDS: Final[Mapping[str, Kind]] = {
    "request.malformed": Kind(400, "The body cannot be read"),
    "request.not_found": Kind(404, "There is nothing at this path"),
    "request.method": Kind(405, "This path does not take this method"),
    "request.too_large": Kind(413, "The body is too large"),
    "request.invalid": Kind(422, "A field is missing or wrong"),
    "request.rate_limited": Kind(429, "Too many requests from this address"),
    "auth.required": Kind(401, "A valid token is needed"),
    "auth.origin": Kind(403, "The form was not sent from its own page"),
    "idempotency.reused": Kind(422, "The Idempotency-Key was used for another request"),
    "idempotency.answer_lost": Kind(409, "This was carried out before, and its answer is not there yet"),
    "policy.not_allowed": Kind(403, "This account may not do this"),
    "policy.bad_move": Kind(409, "The case cannot go there from its present state"),
    "policy.bad_input": Kind(422, "A field is missing, too long or of the wrong kind"),
    "policy": Kind(403, "A rule of the house forbids it"),
    "store.conflict": Kind(409, "It changed since it was seen; nothing was written"),
    "store.not_found": Kind(404, "There is no such thing"),
    "store": Kind(503, "The store does not answer now; nothing was written"),
    "connector.malformed": Kind(400, "What was sent cannot be read"),
    "connector.rate_limited": Kind(429, "The channel asks to wait"),
    "connector.rejected": Kind(403, "The channel refused"),
    "connector": Kind(503, "The channel does not answer now"),
    "classifier": Kind(500, "A part of the service failed", told=False),
    "plugin": Kind(500, "A part of the service failed", told=False),
    "config": Kind(500, "The service is misconfigured", told=False),
    "internal": Kind(500, "Something unexpected happened", told=False),
}
"""Every type of problem; the keys are the codes of the error tree, and some of the web's own."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; ``path`` names it, e.g. ``body.quote.start`` or ``query.limit``."""

    path: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] = []


class Refusal(HuiyinError):
    """A request that is refused before any use case sees it."""

    def __init__(
        self,
        code: str,
        message: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def kind_of(code: str) -> str:
    """Return the nearest key of :data:`KINDS` for an error's code."""
    while code and code not in KINDS:
        code = code.rpartition(".")[0]
    return code or "internal"


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return ``problem`` as an HTTP response."""
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(problem),
        content_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def problem_of(error: HuiyinError) -> Problem:
    """Return the document for an error of ours."""
    code = kind_of(error.code)
    kind = KINDS[code]
    errors = list(error.errors) if isinstance(error, Refusal) else []
    return Problem(PREFIX + code, kind.title, kind.status, str(error) if kind.told else "", errors)


def headers_of(error: HuiyinError) -> dict[str, str]:
    """Return the headers that go with the document: when to come again, how to sign in."""
    given = dict(error.headers) if isinstance(error, Refusal) else {}
    status = KINDS[kind_of(error.code)].status
    if status == 503 or isinstance(error, RateLimited):
        given.setdefault("Retry-After", str(RETRY_SECONDS))
    if status == 401:
        given.setdefault("WWW-Authenticate", 'Bearer realm="huiyin"')
    return given


def from_error(error: HuiyinError) -> web.Response:
    """Return the HTTP response for an error of ours."""
    return response(problem_of(error), headers_of(error))


_OF_STATUS: Final = {404: "request.not_found", 405: "request.method", 413: "request.too_large"}


def from_http(error: web.HTTPException) -> Refusal:
    """Return what aiohttp itself refuses (no such path, wrong method, too large) as a refusal of ours."""
    code = _OF_STATUS.get(error.status, "request.malformed")
    allowed = error.headers.get("Allow")
    return Refusal(code, "", headers={"Allow": allowed} if allowed else None)


__all__ = [
    "KINDS",
    "FieldError",
    "Kind",
    "Problem",
    "Refusal",
    "from_error",
    "from_http",
    "headers_of",
    "kind_of",
    "problem_of",
    "response",
]
