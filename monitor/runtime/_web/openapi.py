"""The OpenAPI document, made from the same table and the same structs that serve the requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from monitor.runtime._web import wire
from monitor.runtime._web.api import OPERATIONS, Operation
from monitor.runtime._web.problems import KINDS, MEDIA_TYPE, Problem
from monitor.runtime._web.reading import KEY_PATTERN, LARGEST, LONGEST_REF

VERSION: Final = "1"
_REF: Final = "#/components/schemas/{name}"
PUSH_PATH: Final = "/v1/channels/{channel}/posts"
_SIGNED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
Json = dict[str, Any]


def _schema(kind: type[Any]) -> Json:
    return {"$ref": _REF.format(name=kind.__name__)}


def _content(kind: type[Any], media: str = "application/json") -> Json:
    return {media: {"schema": _schema(kind)}}


def _problem(codes: Iterable[str]) -> Json:
    titles = dict.fromkeys(KINDS[code].title for code in codes)
    return {"description": ". ".join(titles), "content": _content(Problem, MEDIA_TYPE)}


def refusals(codes: Iterable[str]) -> Json:
    """Return the responses for problems, grouped by status."""
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(KINDS[code].status), []).append(code)
    return {status: _problem(each) for status, each in sorted(by_status.items())}


def _of(operation: Operation) -> tuple[str, ...]:
    """Return the codes of every problem that an operation may answer."""
    codes = ["request.malformed", "auth.required", "store", *operation.refusals]
    if operation.query is not None or operation.body is not None:
        codes.append("request.invalid")
    if operation.body is not None:
        codes += ["request.too_large", "idempotency.reused", "idempotency.answer_lost"]
    if operation.at:
        codes.append("request.not_found")
    return tuple(codes)


def _query(kind: type[Any]) -> list[Json]:
    ((_ref,), components) = msgspec.json.schema_components((kind,), ref_template=_REF)
    fields: Mapping[str, Json] = components[kind.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields.items()
    ]


def _path_parameter(operation: Operation) -> list[Json]:
    if not operation.at:
        return []
    schema: Json = {"type": "integer", "minimum": 1, "maximum": LARGEST}
    if operation.at == "ref":
        schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_REF}
    return [{"name": operation.at, "in": "path", "required": True, "schema": schema}]


def _header(name: str, said: str, schema: Json) -> Json:
    return {"name": name, "in": "header", "required": True, "description": said, "schema": schema}


def _described(operation: Operation) -> Json:
    parameters = _path_parameter(operation)
    found: Json = {
        "operationId": operation.run.__name__.strip("_"),
        "summary": operation.summary,
        "security": [{"token": []}],
        "responses": {"200": {"description": operation.answer.__doc__, "content": _content(operation.answer)}}
        | refusals(_of(operation)),
    }
    if operation.query is not None:
        parameters += _query(operation.query)
    if operation.body is not None:
        said = "new for every change; the same key again gives the same answer and changes nothing"
        parameters.append(_header("Idempotency-Key", said, {"type": "string", "pattern": KEY_PATTERN}))
        found["requestBody"] = {"required": True, "content": _content(operation.body)}
    return found | ({"parameters": parameters} if parameters else {})


def _pushed() -> Json:
    parameters: list[Json] = [
        {"name": "channel", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    ]
    parameters += [_header(name, "Standard Webhooks", {"type": "string"}) for name in _SIGNED]
    codes = ("request.malformed", "request.not_found", "request.too_large", "connector.malformed", "store")
    return {
        "operationId": "push",
        "summary": "Push posts with a signature; each is stored before the answer.",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        "responses": {
            "202": {"description": wire.PushedOut.__doc__, "content": _content(wire.PushedOut)},
            "401": {"description": "The signature is missing, wrong or too old"},
        }
        | refusals(codes),
        "security": [],
    }


def _plain(summary: str, kind: type[Any], *codes: str, more: Json | None = None) -> Json:
    responses = {"200": {"description": kind.__doc__, "content": _content(kind)}}
    return {
        "summary": summary,
        "security": [],
        "responses": responses | (more or {}) | refusals(("request.malformed", *codes)),
    }


def _operators() -> Json:
    not_ready = {"503": {"description": "It cannot do its work now", "content": _content(wire.Readiness)}}
    text = {
        "200": {
            "description": "Text format of Prometheus",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    }
    metrics = text | refusals(("request.malformed", "auth.required", "policy.not_allowed", "store"))
    return {
        "/healthz": {"get": _plain("Whether the process is alive.", wire.Alive)},
        "/readyz": {"get": _plain("Whether it can do its work.", wire.Readiness, more=not_ready)},
        "/metrics": {
            "get": {
                "summary": "Figures for a monitoring system; from another machine with a token of an administrator.",
                "security": [{}, {"token": []}],
                "responses": metrics,
            }
        },
        "/open.json": {"get": _plain("The public figures, for everybody.", wire.ReportOut, "store")},
    }


def _kinds() -> list[type[Any]]:
    used: list[type[Any]] = [Problem, wire.PushedOut, wire.Alive, wire.Readiness, wire.ReportOut]
    for operation in OPERATIONS:
        used += [operation.answer, *filter(None, (operation.body,))]
    return list(dict.fromkeys(used))


@cache
def document() -> Json:
    """Return the OpenAPI document."""
    paths: dict[str, Json] = _operators()
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    paths[PUSH_PATH] = {"post": _pushed()}
    _refs, components = msgspec.json.schema_components(_kinds(), ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Huiyin",
            "version": VERSION,
            "description": "Every refusal is an RFC 9457 problem document whose `type` is stable. Lists are paged by key:"
            " give `next` of a page as `after` of the following one.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(components),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


__all__ = ["PUSH_PATH", "document", "refusals"]
