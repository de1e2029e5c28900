"""Members' pages in a real browser, on a phone, over plain HTTP under a name: nothing is blocked and nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import web_world
from web_world import World

pytestmark = pytest.mark.browser

HOST = "huiyin.example"
HOSTILE = (
    '<script>document.title="owned"</script><img src="http://evil.example/x.png" onerror="document.title=1">'
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with web_world.Served(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture(scope="module")
def page(chromium: str, world: World) -> Iterator[Any]:
    """A page of a phone; ``HOST`` leads to the served world, so that the browser treats it as any plain HTTP site."""
    from playwright.sync_api import sync_playwright

    rules = f"--host-resolver-rules=MAP {HOST} 127.0.0.1,MAP * ~NOTFOUND"
    args = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", rules]
    with sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=chromium, args=args)
        context = chrome.new_context(viewport={"width": 375, "height": 740}, java_script_enabled=True)
        yield context.new_page()
        chrome.close()


def address(world: World, path: str) -> str:
    return f"http://{HOST}:{world.url.rpartition(':')[2]}{path}"


def test_a_member_writes_and_follows_on_a_phone(page: Any, world: World, tmp_path: Path) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address(world, "/box"))
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "672px", (
        "the style holds"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "nothing is cut off on a phone"
    )
    page.get_by_label("您想说什么").fill(f"食堂太贵 {HOSTILE}")
    page.get_by_role("button", name="提交").click()
    receipt = page.locator(".receipt").inner_text()
    assert len(receipt) == 19, page.content()
    assert "receipt" not in page.url
    page.get_by_role("link", name="凭回执查询").click()
    page.get_by_label("16 位回执号").fill(receipt)
    page.get_by_role("button", name="查询").click()
    assert "已收到，正在登记" in page.locator("dl").inner_text()
    assert page.url.endswith("/box/r")
    page.get_by_role("link", name="English").click()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert not [url for url in asked if "evil" in url]
    assert not [line for line in said if "Content Security Policy" in line or "owned" in line], said


@pytest.mark.parametrize("path", ["/box", "/box/r", "/open", "/docs", "/rate/not-a-token-1"])
def test_pages_fit_a_phone(page: Any, world: World, path: str) -> None:
    page.goto(address(world, path))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_foreign_page_cannot_send_our_form(page: Any, world: World) -> None:
    foreign = f"<form method=post action='{address(world, '/box')}'><input name=text value=假的><button>x</button></form>"
    page.route("http://evil.example/", lambda route: route.fulfill(body=foreign, content_type="text/html"))
    page.goto("http://evil.example/")
    page.get_by_role("button").click()
    page.wait_for_url(address(world, "/box"))
    assert page.locator(".receipt").count() == 0
    assert "再提交一次" in page.content()
