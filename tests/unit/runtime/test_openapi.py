"""The OpenAPI document is true: every route is in it, every answer keeps it, and the written page names every path."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import web_world
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from web_world import World

from monitor.runtime._web import asks
from monitor.runtime._web.api import OPERATIONS
from monitor.runtime._web.openapi import PUSH_PATH, document
from monitor.runtime._web.problems import KINDS, PREFIX
from monitor.runtime._web.reading import body_of

API_PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with web_world.Served(tmp_path_factory.mktemp("served"), web_world.BOX + web_world.HOOK) as served:
        served.hear("加微信代写", "食堂太贵，请给个说法", "听说要扣工资", channel="box")
        yield served


def routes(world: World) -> set[tuple[str, str]]:
    """Every method and path that is open, as templates."""
    return {
        (route.method, route.resource.canonical)
        for route in world.web_app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def described() -> set[tuple[str, str]]:
    return {(m.upper(), path) for path, methods in document()["paths"].items() for m in methods}


PAGES = {"/box", "/box/r", "/appeal/{token}", "/rate/{token}", "/open", "/docs"}


def test_every_route_for_programs_is_described_and_the_other_way_round(world: World) -> None:
    opened = {(m, p) for m, p in routes(world) if p not in PAGES}
    opened -= {(m, p) for m, p in opened if p.startswith("/v1/channels/")}
    opened -= {("GET", "/openapi.json")}
    assert opened == described() - {("POST", "/v1/channels/{channel}/posts")}


def test_the_document_is_valid_openapi() -> None:
    from jsonschema import Draft202012Validator

    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    text = json.dumps(document())
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document()["components"]["schemas"]
    ids = [
        told["operationId"]
        for ms in document()["paths"].values()
        for told in ms.values()
        if "operationId" in told
    ]
    assert len(ids) == len(set(ids))


# --- the page --------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """Return heading -> text of every section of docs/api.md whose heading is a method and a path."""
    text = API_PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^### `((?:GET|POST|WebSocket)[^`]*)`\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_written_page_has_every_route_with_an_example(world: World) -> None:
    wanted = {f"{method} {path}" for method, path in routes(world) if "/channels/" not in path}
    wanted |= {
        "POST /v1/channels/{channel}/posts",
        "WebSocket /onebot/v11/{channel}",
        "POST /onebot/v11/{channel}",
    }
    assert set(sections()) == wanted
    for heading, text in sections().items():
        assert "```" in text, f"{heading} has no example"


def test_examples_of_bodies_are_real(world: World) -> None:
    for operation in OPERATIONS:
        if operation.body is None:
            continue
        text = sections()[f"{operation.method} {operation.path}"]
        found = re.search(r"-d '(\{.*?\})'", text, flags=re.S)
        assert found, operation.path
        body_of(found[1].encode(), operation.body)


def test_the_written_page_lists_every_problem() -> None:
    text = API_PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(rf"^\| `{PREFIX}([a-z_.]+)` \| (\d+) \|", text, flags=re.M))
    assert rows == {code: str(kind.status) for code, kind in KINDS.items()}


# --- schemathesis ----------------------------------------------------------------------------------


def _hammer(operation: Any, mode: Any, world: World, seen: Counter[int]) -> None:
    """Send what the schema of one operation allows, or what it forbids, and hold the answers against it."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def send(case: Any) -> None:
        headers = {"Authorization": f"Bearer {world.tokens['otto']}"}
        response = case.call(base_url=world.url, headers=headers)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS, headers=headers)

    send()


def test_hammered_with_what_the_document_allows_and_forbids(world: World) -> None:
    """X-03 in small: no 5xx, no status, header or body that the document does not know."""
    loaded: Any = schemathesis.openapi.from_dict(document())
    seen: Counter[int] = Counter()
    operations = [result.ok() for result in loaded.get_all_operations()]
    hammered = [each for each in operations if each.path not in ("/readyz", PUSH_PATH)]
    for operation in hammered:
        _hammer(operation, GenerationMode.POSITIVE, world, seen)
        if operation.body or operation.query or operation.headers:
            _hammer(operation, GenerationMode.NEGATIVE, world, seen)
    assert len(hammered) == len(described()) - 2
    assert {200, 404, 409, 422} <= set(seen), seen
    assert not [status for status in seen if status >= 500], seen
    print(f"answers by status: {dict(sorted(seen.items()))}")


def test_body_structs_refuse_unknown_fields() -> None:
    for operation in OPERATIONS:
        for kind in (operation.body, operation.query):
            assert kind is None or issubclass(kind, asks.Asked)
