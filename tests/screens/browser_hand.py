"""What a person does in the browser: sign in, press a key, look which item is on screen."""

from __future__ import annotations

from typing import Any

import screens_seed

DWELL = 450
_OTHER = "seen => { const e = document.querySelector('#ready'); return e && e.dataset.item !== seen }"
_MODE = "mode => { const e = document.querySelector('#ready'); return e && e.dataset.mode === mode }"


def sign_in(
    page: Any, address: str, login: str, password: str = screens_seed.PASSWORD, path: str = "/"
) -> None:
    """Sign in through the form and wait for the page behind it."""
    page.goto(address + path)
    page.fill("#login", login)
    page.fill("#password", password)
    page.click("button[type=submit]")
    page.wait_for_selector("[data-testid=stSidebarNav]", state="attached", timeout=60_000)


def queue(page: Any, address: str, login: str, password: str = screens_seed.PASSWORD) -> str:
    """Sign in on the queue page and return the item on screen."""
    sign_in(page, address, login, password)
    page.wait_for_selector("#ready", state="attached", timeout=60_000)
    page.wait_for_timeout(DWELL)
    return item(page)


def item(page: Any) -> str:
    """Return ``case-version`` of the item on screen."""
    return str(page.get_attribute("#ready", "data-item"))


def case_of(shown: str) -> str:
    """Return the case number of ``case-version``."""
    return shown.split("-")[0]


def press(page: Any, key: str) -> str:
    """Press a key that settles the item, and return the next one once it has been there long enough."""
    seen = item(page)
    page.keyboard.press(key)
    page.wait_for_function(_OTHER, arg=seen, timeout=15_000)
    page.wait_for_timeout(DWELL)
    return item(page)


def until_mode(page: Any, mode: str) -> None:
    """Wait until the strip (or another mode) is open."""
    page.wait_for_function(_MODE, arg=mode, timeout=15_000)


def said(page: Any) -> str:
    """Return the result line."""
    return str(page.inner_text("p[role=status], p.hy-halt"))
