"""Time from a key press to the next item in Chromium: ``python tests/screens/bench_queue.py --pending 10000``.

One keep and one removal with its ground are timed in turn, as a moderator presses them; the 400 ms in which an
item must have been on screen are waited for outside the measured time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import browser_hand as hand
from conftest import LAUNCH, serving
from playwright.sync_api import sync_playwright

# Counted in the page itself, from the key event to the frame after the new item stands in the document.
_CLOCK = """() => {
  window.__pressed = 0; window.__shown = 0;
  window.addEventListener("keydown", () => { window.__pressed = performance.now(); window.__shown = 0; }, true);
  let seen = document.querySelector("#ready").dataset.item;
  const look = () => {
    const e = document.querySelector("#ready");
    if (e && e.dataset.item && e.dataset.item !== seen) { seen = e.dataset.item; window.__shown = performance.now(); }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def _timed(page: Any, key: str) -> float:
    page.keyboard.press(key)
    page.wait_for_function("() => window.__shown > 0", timeout=20_000)
    return float(page.evaluate("window.__shown - window.__pressed"))


def _removed(page: Any) -> float:
    page.keyboard.press("d")
    hand.until_mode(page, "remove")
    page.wait_for_timeout(50)
    return _timed(page, "1")


def measure(address: str, chromium: str, presses: int, login: str, password: str) -> list[float]:
    """Return the times in milliseconds of ``presses`` decisions."""
    times: list[float] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=list(LAUNCH))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        hand.queue(page, address, login, password)
        page.evaluate(_CLOCK)
        for n in range(presses + 5):
            took = _removed(page) if n % 2 else _timed(page, "a")
            if n >= 5:
                times.append(took)
            page.wait_for_timeout(hand.DWELL)
        browser.close()
    return times


def report(times: list[float], pending: int) -> dict[str, object]:
    """Return the figures with the machine they were taken on."""
    marks = statistics.quantiles(times, n=100)
    return {
        "pending": pending,
        "presses": len(times),
        "p50_ms": round(marks[49], 1),
        "p95_ms": round(marks[94], 1),
        "max_ms": round(max(times), 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def main() -> int:
    """Seed, serve, measure, print one JSON object; 1 when p95 is 500 ms or more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pending", type=int, default=10_000)
    parser.add_argument("--presses", type=int, default=100)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--login", default="mod.li")
    chosen = parser.parse_args()
    import screens_seed

    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        with serving(Path(folder), "--pending", str(chosen.pending), patience=900) as address:
            sys.stderr.write(f"seeded and up after {time.monotonic() - begun:.1f} s\n")
            times = measure(address, chosen.chromium, chosen.presses, chosen.login, screens_seed.PASSWORD)
    figures = report(times, chosen.pending)
    print(json.dumps(figures))
    return 0 if float(str(figures["p95_ms"])) < 500 else 1


if __name__ == "__main__":
    raise SystemExit(main())
