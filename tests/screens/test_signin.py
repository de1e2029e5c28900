"""Signing in and out through the real routes, over a real account table."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
import screens_seed
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config

from monitor.usecases.deps import Deps
from review_ui import session
from review_ui.gate import COOKIE, Gate
from review_ui.signin import routes

HOST = "http://127.0.0.1:8501"
FORM = {"login": "mod.li", "password": screens_seed.PASSWORD, "next": "/cases?item=7"}
OWN = {"origin": HOST}


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse(dict(request.headers))


@pytest.fixture
def client(world: Deps) -> Iterator[TestClient]:
    inner = Starlette(
        routes=[*routes(), Route("/{path:path}", _echo)],
        middleware=[Middleware(Gate, who=session.who, fresh=0.0)],
    )
    with TestClient(inner, base_url=HOST, follow_redirects=False) as made:
        yield made


def test_the_right_password_opens_the_page_that_was_asked_for(client: TestClient) -> None:
    answer = client.post("/login", data=FORM, headers=OWN)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/cases?item=7"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert client.get("/queue").json()["x-huiyin-login"] == "mod.li"


def test_behind_https_the_cookie_is_secure(client: TestClient) -> None:
    answer = client.post("/login", data=FORM, headers={**OWN, "x-forwarded-proto": "https"})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("login", ["mod.li", "nobody", "", "x" * 500, "<script>"])
def test_a_wrong_password_or_login_says_the_same(client: TestClient, login: str) -> None:
    answer = client.post("/login", data={**FORM, "login": login, "password": "wrong words here"}, headers=OWN)
    assert answer.status_code == 403
    assert "用户名或密码不对" in answer.text
    assert "set-cookie" not in answer.headers
    assert "<script>" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_a_form_from_elsewhere_is_refused(client: TestClient, origin: str) -> None:
    assert client.post("/login", data=FORM, headers={"origin": origin}).status_code == 403
    assert client.post("/login", data=FORM).status_code == 403
    assert not client.cookies.get(COOKIE)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_signing_in_never_leads_to_another_host(client: TestClient, target: str) -> None:
    assert client.post("/login", data={**FORM, "next": target}, headers=OWN).headers["location"] == "/"
    shown = client.get("/login", params={"next": target}).text
    assert "evil" not in shown
    assert "javascript" not in shown


def test_an_oversized_form_signs_nobody_in(client: TestClient) -> None:
    answer = client.post("/login", data={**FORM, "filler": "x" * 100_000}, headers=OWN)
    assert answer.status_code == 403


def test_signing_out_needs_a_press_on_our_page_and_ends_the_session(client: TestClient) -> None:
    client.post("/login", data=FORM, headers=OWN)
    stolen = client.cookies[COOKIE]
    assert client.get("/logout").status_code == 200
    assert client.post("/logout", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/session").status_code == 200
    assert client.post("/logout", headers=OWN).status_code == 303
    client.cookies.clear()
    assert client.get("/session", headers={"cookie": f"{COOKIE}={stolen}"}).status_code == 401


def test_each_sign_in_makes_a_new_session(client: TestClient) -> None:
    client.post("/login", data=FORM, headers=OWN)
    first = client.cookies[COOKIE]
    client.post("/login", data=FORM, headers=OWN)
    assert client.cookies[COOKIE] != first
    assert len(first) >= 40


def test_the_language_is_a_cookie_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/lang", params={"to": "en", "next": "//evil.example"})
    assert answer.headers["location"] == "/"
    assert "Sign in" in client.get("/login").text
    client.get("/lang", params={"to": "<script>"})
    assert "Sign in" in client.get("/login").text


def test_streamlit_still_has_what_the_gate_leans_on() -> None:
    """Hidden options and newer parameters: this fails loudly when an upgrade takes them away."""
    mapping = config.get_config_options()["server.trustedUserHeaders"]
    assert mapping is not None
    assert config.get_config_options()["server.enableAgentApi"].default_val is False
    assert "shortcut" in inspect.signature(streamlit.button).parameters
    assert "middleware" in inspect.signature(streamlit.App.__init__).parameters
    assert hasattr(streamlit.testing.v1.AppTest, "user") or "user" in inspect.getsource(
        streamlit.testing.v1.AppTest
    )
