"""A real Waline server beside our connector: ``python tests/real/waline.py``.

Needs Node and ``npm install @waline/vercel`` in the folder for it (``real-waline`` in the folder for temporary files, or
HUIYIN_REAL).
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comments_round import CannotStart, Doors, Program, Round, folder, free_port, need, run

from connectors._html import words_in
from connectors.waline import connector

EMAIL, PASSWORD, PAGE = "gh@example.org", "of-a-test", "/p/1"
TABLES = """
CREATE TABLE wl_Comment (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INT, comment TEXT, insertedAt TIMESTAMP DEFAULT
 CURRENT_TIMESTAMP, ip TEXT DEFAULT '', link TEXT, mail TEXT, nick TEXT, rid INT, pid INT, sticky NUMERIC, status TEXT,
 "like" INT, ua TEXT, url TEXT, createdAt TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updatedAt TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE wl_Counter (id INTEGER PRIMARY KEY AUTOINCREMENT, time INT, url TEXT, createdAt TIMESTAMP, updatedAt TIMESTAMP);
CREATE TABLE wl_Users (id INTEGER PRIMARY KEY AUTOINCREMENT, display_name TEXT, email TEXT, password TEXT, type TEXT,
 label TEXT, url TEXT, avatar TEXT, github TEXT, twitter TEXT, facebook TEXT, google TEXT, weibo TEXT, qq TEXT, oidc TEXT,
 huawei TEXT, "2fa" TEXT, createdAt TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updatedAt TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
"""


async def no_sign_in_services() -> tuple[web.AppRunner, str]:
    """Answer in place of the service that Waline asks on every call which sign-ins there are."""
    app = web.Application()
    app.router.add_get("/", lambda _request: _answered({"services": []}))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def _answered(value: Any) -> web.Response:
    return web.json_response(value)


def prepared() -> tuple[Path, str]:
    """Lay an empty database; return the folder and Waline's version. Raises: CannotStart."""
    need("node", "apt-get install nodejs")
    at = folder("waline")
    package = at / "node_modules" / "@waline" / "vercel"
    if not (package / "vanilla.js").exists():
        raise CannotStart(f"Waline is not installed; in {at.name}: npm install @waline/vercel")
    shutil.rmtree(at / "database", ignore_errors=True)
    (at / "database").mkdir()
    with sqlite3.connect(at / "database" / "waline.sqlite") as link:
        link.executescript(TABLES)
    return at, json.loads((package / "package.json").read_text())["version"]


async def work() -> int:
    at, version = prepared()
    print(f"Waline {version} with SQLite")
    services, address = await no_sign_in_services()
    port = free_port()
    server = Program(
        ["node", str(at / "node_modules/@waline/vercel/vanilla.js"), str(port)],
        at,
        at / "waline.log",
        SQLITE_PATH=str(at / "database"),
        JWT_TOKEN="only-for-tests",
        OAUTH_URL=address,
        IPQPS="0",
        DISABLE_REGION="true",
        DISABLE_USERAGENT="true",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await asyncio.to_thread(server.wait_for, port)
        async with aiohttp.ClientSession() as session:
            who = {"display_name": "工会", "email": EMAIL, "password": PASSWORD, "url": ""}
            await session.post(f"{url}/api/user", json=who)
            return await Round(await doors(session, url), "waline").go()
    finally:
        server.stop()
        await services.cleanup()


async def doors(session: aiohttp.ClientSession, url: str) -> Doors:
    """Return the ways of a visitor and of an administrator into the server."""
    settings = {
        "url": url,
        "email": EMAIL,
        "password": PASSWORD,
        "site_url": "https://union.example.org/",
        "poll_seconds": 0.5,
        "rescan_seconds": 2.0,
        "call_seconds": 30.0,
    }
    who = {"email": EMAIL, "password": PASSWORD, "code": ""}
    async with session.post(f"{url}/api/token", json=who) as answer:
        admin = {"Authorization": f"Bearer {(await answer.json())['data']['token']}"}

    async def comment(text: str, name: str) -> str:
        body = {
            "comment": text,
            "url": PAGE,
            "nick": name or "小周",
            "mail": "xz@example.org",
            "ua": "x",
            "link": "",
        }
        async with session.post(f"{url}/api/comment", json=body) as answer:
            return str((await answer.json())["data"]["objectId"])

    async def public() -> str:
        async with session.get(
            f"{url}/api/comment", params={"path": PAGE, "page": "1", "pageSize": "100"}
        ) as answer:
            rows = (await answer.json())["data"]["data"]
        shown = [row for root in rows for row in (root, *root.get("children", ()))]
        return "\n".join(words_in(row["comment"])[0] for row in shown)

    async def edit(key: str, text: str) -> None:
        async with session.put(f"{url}/api/comment/{key}", json={"comment": text}, headers=admin) as answer:
            assert (await answer.json())["errno"] == 0

    async def destroy(key: str) -> None:
        async with session.delete(f"{url}/api/comment/{key}", headers=admin) as answer:
            assert (await answer.json())["errno"] == 0

    return Doors(connector, settings, {**settings, "password": "wrong"}, comment, public, edit, destroy)


if __name__ == "__main__":
    sys.exit(run("Waline", work))
