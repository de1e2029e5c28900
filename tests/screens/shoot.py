"""Make the screenshots of docs/screens from running screens.

``python tests/screens/shoot.py --address http://127.0.0.1:8501 --moderator LOGIN:PASSWORD --leader LOGIN:PASSWORD
--officer LOGIN:PASSWORD`` photographs a running demo; without ``--address`` it serves a seeded week of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser_hand as hand
import screens_seed
from conftest import LAUNCH, serving
from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parents[2] / "docs" / "screens"
LIMIT = 300_000
WIDE = {"width": 1280, "height": 900}


def _save(page: Any, name: str, folder: Path) -> None:
    path = folder / f"{name}.png"
    page.wait_for_timeout(1200)
    page.screenshot(path=str(path))
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(192)
    small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1024} KiB")
    assert size < LIMIT, f"{path.name} is larger than {LIMIT} bytes"


def _signed_in(browser: Any, address: str, account: str, path: str) -> Any:
    login, _colon, password = account.partition(":")
    page = browser.new_context(viewport=WIDE, locale="zh-CN").new_page()
    hand.sign_in(page, address, login, password or screens_seed.PASSWORD, path)
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_timeout(1500)
    return page


def shoot(browser: Any, address: str, chosen: argparse.Namespace) -> None:
    """Photograph every screen that the README shows."""
    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    door = browser.new_context(viewport=WIDE, locale="zh-CN").new_page()
    door.goto(f"{address}/login")
    _save(door, "login", folder)

    page = _signed_in(browser, address, chosen.moderator, "/")
    for _step in range(40):
        if page.get_by_role("button", name="移除").first.is_enabled():
            break
        page.keyboard.press("s")
        page.wait_for_timeout(900)
    _save(page, "queue", folder)
    page.keyboard.press("d")
    page.wait_for_timeout(800)
    _save(page, "queue-remove", folder)
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    _save(page, "queue-phone", folder)

    for name, login, path in (
        ("case", chosen.officer, "/cases"),
        ("trends", chosen.officer, "/trends"),
        ("health", chosen.officer, "/health"),
        ("answer", chosen.leader, "/answer"),
    ):
        _save(_signed_in(browser, address, login, path), name, folder)


@contextmanager
def _address(given: str | None) -> Iterator[str]:
    if given:
        yield given.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as url:
        yield url


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="address of running screens; none: a seeded week of its own")
    parser.add_argument("--moderator", default="mod.li")
    parser.add_argument("--leader", default="lead.chen")
    parser.add_argument("--officer", default="off.zhao")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--folder", type=Path, default=DOCS)
    chosen = parser.parse_args()
    with _address(chosen.address) as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chosen.chromium, args=list(LAUNCH))
        shoot(browser, address, chosen)
        browser.close()


if __name__ == "__main__":
    main()
