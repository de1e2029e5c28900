"""The page of the API: made from the OpenAPI document, without scripts, readable offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from monitor.bootstrap import App
from monitor.runtime._web.forms import spoken
from monitor.runtime._web.markup import Markup, join, tag
from monitor.runtime._web.openapi import document
from monitor.runtime._web.page import page
from monitor.runtime._web.problems import KINDS, PREFIX
from monitor.words import _

Json = Mapping[str, Any]


def _table(heads: tuple[str, ...], rows: Iterator[tuple[str | Markup, ...]]) -> Markup:
    head = tag("tr", *(tag("th", each, scope="col") for each in heads))
    body = (tag("tr", *(tag("td", each) for each in row)) for row in rows)
    return tag("table", tag("thead", head), tag("tbody", *body))


def _named(schema: Json) -> str:
    """Return a schema in one short word or line."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(_named(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"[{_named(schema.get('items', {}))}]"
    limits = [
        f"{key} {schema[key]}"
        for key in ("minimum", "maximum", "maxLength", "pattern", "format")
        if key in schema
    ]
    return " ".join([str(schema.get("type", "any")), *limits])


def _fields(schema: Json) -> Markup:
    needed = schema.get("required", ())
    rows = (
        (tag("code", name), _named(each), "✓" if name in needed else "")
        for name, each in schema.get("properties", {}).items()
    )
    return _table((_("字段"), _("类型"), _("必填")), rows)


def _operation(path: str, method: str, told: Json, schemas: Json) -> Markup:
    parameters = (
        (tag("code", each["name"]), each["in"], _named(each["schema"]), "✓" if each["required"] else "")
        for each in told.get("parameters", ())
    )
    body = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = _named(body) if "$ref" in body else ""
    answers = ((code, each["description"]) for code, each in told["responses"].items())
    return tag(
        "details",
        tag("summary", tag("code", f"{method.upper()} {path}"), " ", told["summary"]),
        _table((_("参数"), _("位置"), _("类型"), _("必填")), parameters) if told.get("parameters") else None,
        join(tag("h3", _("正文"), " ", tag("code", name)), _fields(schemas[name])) if name else None,
        tag("h3", _("回应")),
        _table((_("状态"), _("含义")), answers),
    )


def _types(schemas: Json) -> Iterator[Markup]:
    for name, schema in sorted(schemas.items()):
        inside = _fields(schema) if "properties" in schema else tag("p", _named(schema))
        yield tag("details", tag("summary", tag("code", name)), inside, id=name)


def add_routes(web_app: web.Application, app: App) -> None:
    """Open the page."""

    async def docs(_request: web.Request, _fields_given: Mapping[str, str]) -> web.Response:
        found = document()
        schemas = found["components"]["schemas"]
        problems = (
            (tag("code", PREFIX + code), str(kind.status), kind.title) for code, kind in KINDS.items()
        )
        return page(
            _("程序接口"),
            tag("p", found["info"]["description"]),
            tag("p", tag("a", "openapi.json", href="/openapi.json")),
            *(
                _operation(path, method, told, schemas)
                for path, methods in found["paths"].items()
                for method, told in methods.items()
            ),
            tag("h2", _("错误类型")),
            _table(("type", _("状态"), _("含义")), problems),
            tag("h2", _("数据类型")),
            *_types(schemas),
            path="/docs",
            union=app.deps.rules.union_name,
            wide=True,
        )

    web_app.router.add_get("/docs", spoken(docs))


__all__ = ["add_routes"]
