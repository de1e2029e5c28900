"""The screens in a real Chromium: keyboard, double presses, hostile text, foreign hosts, two people, a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import browser_hand as hand
import pytest
import screens_seed

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def page(chrome: Any) -> Iterator[Any]:
    context = chrome.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    made = context.new_page()
    made.hosts = hosts = set()
    # data: and blob: addresses stay inside the browser and name no host.
    made.on(
        "request", lambda r: hosts.add(urlsplit(r.url).hostname) if r.url.startswith(("http", "ws")) else None
    )
    yield made
    context.close()


@pytest.fixture
def another(chrome: Any) -> Iterator[Callable[[], Any]]:
    contexts: list[Any] = []

    def make() -> Any:
        contexts.append(chrome.new_context(viewport={"width": 1280, "height": 900}))
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


def test_keep_remove_undo_by_keyboard_alone(page: Any, address: str) -> None:
    first = hand.queue(page, address, "mod.li")
    second = hand.press(page, "a")
    assert hand.case_of(second) != hand.case_of(first)
    page.keyboard.press("d")
    hand.until_mode(page, "remove")
    page.wait_for_timeout(hand.DWELL)
    third = hand.press(page, "2")
    assert hand.case_of(third) != hand.case_of(second)
    assert "诈骗" in hand.said(page)
    back = hand.press(page, "z")
    assert hand.case_of(back) == hand.case_of(second)
    assert "已撤销" in hand.said(page)


def test_escape_leaves_the_strip_and_decides_nothing(page: Any, address: str) -> None:
    hand.queue(page, address, "mod.li")
    seen = hand.press(page, "a")  # a case of risk comes first, and that one offers no removal
    page.keyboard.press("d")
    hand.until_mode(page, "remove")
    page.keyboard.press("Escape")
    hand.until_mode(page, "")
    assert hand.item(page) == seen


def test_a_double_press_decides_one_item(page: Any, address: str) -> None:
    first = hand.queue(page, address, "mod.li")
    page.keyboard.press("a")
    page.wait_for_timeout(60)
    page.keyboard.press("a")
    page.wait_for_function(hand._OTHER, arg=first)
    second = hand.item(page)
    page.wait_for_timeout(1500)
    assert hand.item(page) == second


def test_a_held_key_decides_one_item(page: Any, address: str) -> None:
    first = hand.queue(page, address, "mod.li")
    page.keyboard.down("a")
    for _repeat in range(20):
        page.wait_for_timeout(35)
        page.keyboard.down("a")
    page.keyboard.up("a")
    page.wait_for_function(hand._OTHER, arg=first)
    second = hand.item(page)
    page.wait_for_timeout(1500)
    assert hand.item(page) == second


def test_keys_inside_a_field_are_only_letters(page: Any, address: str) -> None:
    seen = hand.queue(page, address, "mod.li")
    note = page.locator("input[type=text]").last
    note.click()
    page.keyboard.type("adgs")
    page.wait_for_timeout(1000)
    assert hand.item(page) == seen
    assert note.input_value() == "adgs"


def test_two_moderators_get_different_items(page: Any, another: Callable[[], Any], address: str) -> None:
    mine = hand.queue(page, address, "mod.li")
    theirs = hand.queue(another(), address, "mod.wang")
    assert hand.case_of(mine) != hand.case_of(theirs)


def test_reload_keeps_the_item(page: Any, address: str) -> None:
    seen = hand.queue(page, address, "mod.li")
    page.reload()
    page.wait_for_selector("#ready", state="attached")
    assert hand.case_of(hand.item(page)) == hand.case_of(seen)


def test_hostile_text_runs_nothing_and_asks_nobody(page: Any, address: str) -> None:
    hand.sign_in(page, address, "mod.li", path="/browse")
    page.get_by_role("tab", name="查找").click()
    page.get_by_label("在帖文中查找").fill("document.title")
    page.keyboard.press("Enter")
    shown = page.locator(".hy-post", has_text="onerror")
    shown.first.wait_for(timeout=20_000)
    page.wait_for_timeout(500)
    assert screens_seed.HOSTILE in shown.first.inner_text()
    assert "owned" not in page.title()
    assert shown.first.locator("script, img, iframe, a").count() == 0
    assert page.hosts == {"127.0.0.1"}


def test_no_page_asks_a_foreign_host(page: Any, address: str) -> None:
    hand.queue(page, address, "mod.li")
    for path in ("/browse", "/mine", "/appeals", "/me"):
        page.goto(address + path)
        page.wait_for_selector("h1", timeout=30_000)
        page.wait_for_timeout(300)
    assert page.hosts == {"127.0.0.1"}
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_the_trend_page_draws_and_stays_home(page: Any, address: str) -> None:
    hand.sign_in(page, address, "off.zhao", path="/trends?span=day")
    page.wait_for_selector(
        "[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg", timeout=60_000
    )
    assert page.hosts == {"127.0.0.1"}


def test_signing_out_leads_back_to_the_door(page: Any, address: str) -> None:
    hand.queue(page, address, "mod.li")
    page.click("text=退出登录")
    page.wait_for_url("**/logout")
    page.click("button")
    page.wait_for_url("**/login")
    page.goto(address + "/browse")
    assert page.url.startswith(f"{address}/login?next=")


def test_a_revoked_session_sends_the_open_tab_to_the_door(
    page: Any, another: Callable[[], Any], address: str
) -> None:
    hand.queue(page, address, "mod.wang")
    other = another()
    hand.sign_in(other, address, "mod.wang", path="/me")
    other.get_by_role("button", name="在所有设备上退出").click()
    page.wait_for_url("**/login?next=*", timeout=20_000)


def test_english_and_shortcuts_are_a_choice(page: Any, address: str) -> None:
    seen = hand.queue(page, address, "mod.li")
    page.goto(f"{address}/lang?to=en&next=/")
    page.wait_for_selector("h1:has-text('Review')", timeout=30_000)
    page.goto(f"{address}/keys?to=off&next=/")
    page.wait_for_selector("#ready", state="attached", timeout=30_000)
    page.wait_for_timeout(hand.DWELL)
    page.keyboard.press("a")
    page.wait_for_timeout(1000)
    assert hand.case_of(hand.item(page)) == hand.case_of(seen)
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_phone_needs_no_sideways_scrolling(chrome: Any, address: str) -> None:
    context = chrome.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    hand.queue(page, address, "mod.li")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep = page.get_by_role("button", name="通过").first
    assert keep.bounding_box()["x"] >= 0
    context.close()
