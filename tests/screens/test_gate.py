"""The gate lets nobody through without a session, whatever they send."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from review_ui.gate import COOKIE, Gate, safe_next

HOST = "http://127.0.0.1:8501"
GOOD = {"cookie": f"{COOKIE}=good"}
PAGE = {"accept": "text/html"}
OWN = {**GOOD, "origin": HOST, "host": "127.0.0.1:8501"}


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse({k: v for k, v in request.headers.items() if k.startswith("x-huiyin")})


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    seen = {k: v for k, v in socket.headers.items() if k.startswith("x-huiyin")}
    with suppress(WebSocketDisconnect):
        while True:
            await socket.send_json({"said": await socket.receive_text(), **seen})


@pytest.fixture
def sessions() -> dict[str, str]:
    return {"good": "mod.li"}


@pytest.fixture
def client(sessions: dict[str, str]) -> Iterator[TestClient]:
    inner = Starlette(
        routes=[
            WebSocketRoute("/_stcore/stream", _socket),
            Route("/{path:path}", _echo, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(Gate, who=sessions.get, watch=0.05, fresh=0.0)],
    )
    with TestClient(inner, base_url=HOST, follow_redirects=False) as made:
        yield made


def test_a_page_without_session_leads_to_sign_in_and_back(client: TestClient) -> None:
    answer = client.get("/cases?item=7", headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/cases%3Fitem%3D7"


@pytest.mark.parametrize(
    "path", ["/_stcore/metrics", "/media/a.csv", "/_stcore/upload_file/x", "/session", "/queue"]
)
def test_everything_else_without_session_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401
    assert client.post(path).status_code == 401


@pytest.mark.parametrize("path", ["/login", "/healthz", "/static/js/a.js", "/_stcore/health", "/favicon.png"])
def test_open_paths_carry_no_identity(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={**GOOD, "X-Huiyin-Login": "admin"})
    assert answer.status_code == 200
    assert answer.json() == {}


def test_a_forged_identity_is_replaced(client: TestClient) -> None:
    forged = {**GOOD, **PAGE, "X-Huiyin-Login": "admin", "x-huiyin-sid": "other", "X-Huiyin-Role": "admin"}
    seen = client.get("/queue", headers=forged).json()
    assert seen == {
        "x-huiyin-login": "mod.li",
        "x-huiyin-sid": "good",
        "x-huiyin-lang": "zh",
        "x-huiyin-keys": "on",
    }


def test_a_forged_identity_without_session_gains_nothing(client: TestClient) -> None:
    assert (
        client.get("/queue", headers={"X-Huiyin-Login": "admin", "X-Huiyin-Sid": "good"}).status_code == 401
    )
    assert client.get("/queue", headers={"cookie": f"{COOKIE}=stale"}).status_code == 401
    assert client.get("/queue", headers={"cookie": "\x01;;=;"}).status_code == 401


def test_the_agent_interface_does_not_exist(client: TestClient) -> None:
    assert client.get("/_stcore/agent/sessions", headers=GOOD).status_code == 404


def test_every_answer_is_armoured(client: TestClient) -> None:
    for path in ("/login", "/queue"):
        headers = client.get(path, headers=GOOD).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe-eval'" not in headers["content-security-policy"].replace("'wasm-unsafe-eval'", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": HOST, "host": "127.0.0.1:8501"},
        {**GOOD},
        {**OWN, "origin": "http://evil.example"},
        {**OWN, "origin": "null"},
        {**OWN, "cookie": f"{COOKIE}=stale"},
    ],
)
def test_a_socket_needs_session_and_own_origin(client: TestClient, headers: dict[str, str]) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream", headers=headers):
        pass


def test_a_socket_carries_the_identity(client: TestClient) -> None:
    with client.websocket_connect("/_stcore/stream", headers=OWN) as socket:
        socket.send_text("hello")
        assert socket.receive_json()["x-huiyin-login"] == "mod.li"


def test_revocation_closes_an_open_socket(client: TestClient, sessions: dict[str, str]) -> None:
    with client.websocket_connect("/_stcore/stream", headers=OWN) as socket:
        socket.send_text("before")
        assert socket.receive_json()["said"] == "before"
        sessions.clear()
        begun = time.monotonic()
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("target", "base", "expected"),
    [
        ("/cases?item=7", "", "/cases?item=7"),
        ("//evil.example/", "", "/"),
        ("https://evil.example/", "", "/"),
        ("/\\evil.example", "", "/"),
        ("/\nevil", "", "/"),
        ("", "", "/"),
        (None, "/review", "/review/"),
        ("/review/cases", "/review", "/review/cases"),
        ("/cases", "/review", "/review/"),
        ("//review/cases", "", "/"),
    ],
)
def test_next_never_leaves_our_host(target: str | None, base: str, expected: str) -> None:
    assert safe_next(target, base) == expected


@pytest.mark.parametrize("path", ["/review/queue", "/queue", "/reviewx/queue"])
def test_a_base_path_guards_the_same(path: str) -> None:
    inner = Starlette(routes=[Route("/{path:path}", _echo)])
    guarded = Gate(inner, who={"good": "mod.li"}.get, base="/review")
    with TestClient(guarded, base_url=HOST, follow_redirects=False) as made:
        assert made.get(path, headers=PAGE).headers["location"].startswith("/review/login?next=/")
        assert made.get("/review/login").status_code == 200


def test_the_page_that_a_person_begins_with_is_at_the_root(sessions: dict[str, str]) -> None:
    inner = Starlette(routes=[Route("/{path:path}", _echo)])
    guarded = Gate(inner, who=sessions.get, home={"good": "cases"}.get)
    with TestClient(guarded, base_url=HOST, follow_redirects=False) as made:
        answer = made.get("/cases?item=7", headers={**PAGE, **GOOD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?item=7")
        assert made.get("/queue", headers={**PAGE, **GOOD}).status_code == 200
        assert made.get("/", headers={**PAGE, **GOOD}).status_code == 200
        assert made.get("/cases", headers=GOOD).status_code == 200
