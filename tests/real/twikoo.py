"""A real Twikoo server beside our connector: ``python tests/real/twikoo.py``.

Needs Node and, in the folder for it (``real-twikoo`` in the folder for temporary files, or HUIYIN_REAL), Twikoo's
self-hosted server: its ``server.js``, ``index.js`` and ``package.json`` with the modules that they name (``npm install
tkserver``, or the files of its public repository and ``npm install twikoo-func get-user-ip lokijs mongodb uuid``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comments_round import CannotStart, Doors, Program, Round, folder, free_port, need, run

from connectors._html import words_in
from connectors.twikoo import connector

PASSWORD, PAGE = "of-a-test", "/p/1"
TOKEN = hashlib.md5(PASSWORD.encode()).hexdigest()


def prepared() -> tuple[Path, Path, str]:
    """Return the folder, the server's file and its version. Raises: CannotStart."""
    need("node", "apt-get install nodejs")
    at = folder("twikoo")
    for place in (at / "node_modules" / "tkserver", at):
        if (place / "server.js").exists() and (at / "node_modules" / "twikoo-func").exists():
            shutil.rmtree(at / "database", ignore_errors=True)
            return at, place / "server.js", json.loads((place / "package.json").read_text())["version"]
    raise CannotStart(f"Twikoo's self-hosted server is not in {at.name}; see the first lines of this script")


async def work() -> int:
    at, program, version = prepared()
    print(f"Twikoo {version}, self-hosted")
    port = free_port()
    server = Program(
        ["node", str(program)],
        at,
        at / "twikoo.log",
        TWIKOO_DATA=str(at / "database"),
        TWIKOO_PORT=str(port),
        TWIKOO_HOST="127.0.0.1",
        TWIKOO_THROTTLE="100000",
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        await asyncio.to_thread(server.wait_for, port)
        async with aiohttp.ClientSession() as session:
            made = doors(session, url)
            await ask(session, url, event="SET_PASSWORD", password=TOKEN)
            return await Round(made, "twikoo").go()
    finally:
        server.stop()


async def ask(session: aiohttp.ClientSession, url: str, /, **event: Any) -> dict[str, Any]:
    """Send one event as Twikoo's own pages do."""
    async with session.post(url, json=event) as answer:
        given: dict[str, Any] = await answer.json()
        return given


def doors(session: aiohttp.ClientSession, url: str) -> Doors:
    """Return the ways of a visitor and of an administrator into the server."""
    settings = {
        "url": url,
        "password": PASSWORD,
        "nick": "工会",
        "poll_seconds": 0.5,
        "rescan_seconds": 2.0,
        "call_seconds": 30.0,
    }

    async def comment(text: str, name: str) -> str:
        said = {
            "url": PAGE,
            "href": f"https://union.example.org{PAGE}",
            "ua": "x",
            "comment": f"<p>{text}</p>",
        }
        who = {"nick": name or "小周", "mail": "xz@example.org", "link": ""}
        return str((await ask(session, url, event="COMMENT_SUBMIT", **said, **who))["id"])

    async def public() -> str:
        rows = (await ask(session, url, event="COMMENT_GET", url=PAGE, accessToken="a-stranger"))["data"]
        shown = [row for root in rows for row in (root, *root.get("replies", ()))]
        return "\n".join(words_in(row["comment"])[0] for row in shown)

    async def edit(key: str, text: str) -> None:
        given = await ask(
            session, url, event="COMMENT_SET_FOR_ADMIN", accessToken=TOKEN, id=key, set={"comment": text}
        )
        assert given["code"] == 0

    async def destroy(key: str) -> None:
        given = await ask(session, url, event="COMMENT_DELETE_FOR_ADMIN", accessToken=TOKEN, id=key)
        assert given["code"] == 0

    return Doors(connector, settings, {**settings, "password": "wrong"}, comment, public, edit, destroy)


if __name__ == "__main__":
    sys.exit(run("Twikoo", work))
