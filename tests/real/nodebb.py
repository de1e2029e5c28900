"""A real NodeBB beside our connectors: ``python tests/real/nodebb.py``.

Needs Redis at 127.0.0.1:6379, Node 22 (``HUIYIN_NODE`` names the program when ``node`` is older), and NodeBB 4 with its
dependencies in the folder that ``HUIYIN_REAL`` names (``npm install`` after copying ``install/package.json`` beside
``app.js``). It is set up at the first run, in a Redis database of its own; every run uses a new member and a new topic.
Exit codes: 0 all was seen, 1 something was not, 2 the forum cannot be started here.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from comments_round import MARK, TEXT, CannotStart, Program, folder, need, run

from connectors.feed import connector as feed
from connectors.nodebb import NodeBB, connector
from monitor.core.model import EffectKind, PostKind, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.desk import Desk, effect

PORT, DATABASE = 4567, 7
SITE = f"http://127.0.0.1:{PORT}"
ADMIN, PASSWORD = "zongguan", "huiyin-try-2026"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
_faults = 0


def saw(what: str, fact: object, shown: str = "") -> None:
    """Print one observation."""
    global _faults
    _faults += not fact
    print(f"{'ok  ' if fact else 'NOT '} {what}{': ' + shown if shown else ''}", flush=True)


# --- the forum -------------------------------------------------------------------------------------


def _node() -> str:
    program = os.environ.get("HUIYIN_NODE") or need("node", "install Node 22")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < 22:
        raise CannotStart(f"Node is {version.strip()}, NodeBB 4 wants 22; name a newer one in HUIYIN_NODE")
    return program


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start() -> Program | None:
    """Start the forum, None when it answers already; set it up when it is new. Raises: CannotStart."""
    if _listens(PORT):
        return None
    here = folder("nodebb")
    if not (here / "app.js").is_file() or not (here / "node_modules").is_dir():
        raise CannotStart(
            f"there is no NodeBB with its dependencies in {here}; name its folder in HUIYIN_REAL"
        )
    if not _listens(6379):
        raise CannotStart("Redis does not answer at 127.0.0.1:6379; install redis-server")
    node = _node()
    given = {
        "NODEBB_URL": SITE,
        "NODEBB_PORT": str(PORT),
        "NODEBB_DB": "redis",
        "NODEBB_REDIS_HOST": "127.0.0.1",
        "NODEBB_REDIS_PORT": "6379",
        "NODEBB_REDIS_PASSWORD": "",
        "NODEBB_REDIS_DB": str(DATABASE),
        "NODEBB_ADMIN_USERNAME": ADMIN,
        "NODEBB_ADMIN_PASSWORD": PASSWORD,
        "NODEBB_ADMIN_EMAIL": "admin@example.org",
    }
    if not (here / "config.json").is_file():
        print("setting NodeBB up, which takes minutes ...", flush=True)
        done = subprocess.run([node, "nodebb", "setup"], cwd=here, env={**os.environ, **given}, check=False)
        if done.returncode:
            raise CannotStart("its setup failed; see above")
    program = Program([node, "app.js"], here, here / "logs" / "real.log", NODE_ENV="production")
    program.wait_for(PORT)
    return program


class Forum:
    """The forum as a browser and as a program with the master token use it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.master = ""

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token or self.master}"}
        async with self._session.request(method, SITE + path, json=body, headers=headers) as answer:
            told = await answer.text()
            return json.loads(told) if answer.content_type == "application/json" else told

    async def page(self, path: str) -> str:
        """Return a page as any visitor sees it."""
        async with self._session.get(SITE + path, headers=BROWSER) as answer:
            return await answer.text()

    async def tokens(self) -> tuple[str, str]:
        """Sign in as the administrator and return a master token and one of the administrator."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(headers=BROWSER, cookie_jar=jar) as browser:

            async def ready() -> dict[str, str]:
                async with browser.get(SITE + "/api/config") as answer:
                    return {"x-csrf-token": (await answer.json())["csrf_token"]}

            async def post(path: str, body: Any) -> Any:
                async with browser.post(SITE + path, json=body, headers=await ready()) as answer:
                    return await answer.json()

            await post("/login", {"username": ADMIN, "password": PASSWORD})
            body = {"uid": 0, "description": "try", "password": PASSWORD}
            master = await post("/api/v3/admin/tokens", body)
            own = await post("/api/v3/admin/tokens", {"uid": 1, "description": "huiyin"})
        return master["response"]["secret"], own["response"]["secret"]

    async def settings(self) -> None:
        """Let new members write at once: the forum's own limits are not what is tried here."""
        for name in ("postQueue", "initialPostDelay", "newbiePostDelay", "postDelay"):
            await self.call("PUT", f"/api/v3/admin/settings/{name}", {"value": 0, "_uid": 1})


# --- one round -------------------------------------------------------------------------------------


def notices(desk: Desk, kind: PostKind, key: str) -> list[RawPost]:
    items = [item for item in desk.items if isinstance(item, RawPost)]
    return [item for item in items if item.kind is kind and item.external_id == key]


async def until(desk: Desk, fact: Any) -> bool:
    try:
        await desk.until(fact, 60.0)
    except TimeoutError:
        return False
    return True


def make(token: str, **more: Any) -> NodeBB:
    given = {"url": SITE, "token": token, "poll_seconds": 0.5, "whole_seconds": 2.0, **more}
    return connector(ChannelConfig("real", "nodebb", given))


async def go() -> int:
    """Start the forum, go round once and return how much was not seen."""
    program = start()
    try:
        async with aiohttp.ClientSession() as session:
            forum = Forum(session)
            forum.master, own = await forum.tokens()
            await forum.settings()
            await _round(forum, own)
    finally:
        if program is not None:
            program.stop()
    return _faults


async def _round(forum: Forum, own: str) -> None:
    stranger = make("00000000-0000-0000-0000-000000000000")
    health = await stranger.check()
    saw("a wrong token is told, although public pages answer 200", not health.ok, health.message)
    await stranger.close()
    name = f"jiaoshi{secrets.token_hex(3)}"
    member = await forum.call("POST", "/api/v3/users", {"username": name, "password": PASSWORD, "_uid": 1})
    uid = member["response"]["uid"]
    words = f"二楼从早上停水到现在 {secrets.token_hex(3)}"
    content = f"{words}\n\n> 昨天说今天修好\n\n[领取补贴](http://spam.example/x)"
    topic = {"_uid": uid, "cid": 2, "title": "三食堂 & 停水", "content": content}
    made = (await forum.call("POST", "/api/v3/topics", topic))["response"]
    tid, key = made["tid"], str(made["mainPid"])
    nodebb, desk = make(own), Desk()
    health = await nodebb.check()
    saw("the check is good", health.ok, health.message)
    async with desk.at_work(nodebb):
        saw(
            "a member's topic arrives",
            await until(desk, lambda: key in desk.texts),
            repr(desk.texts.get(key)),
        )
        post = next(post for post in desk.posts if post.external_id == key)
        saw("its title and words are the member's", post.text.startswith(f"三食堂 & 停水\n{words}"))
        saw("what is quoted stands apart", post.quoted == "昨天说今天修好", repr(post.quoted))
        saw("where a link leads is seen", "http://spam.example/x" in post.text)
        await _answer(forum, nodebb, desk, post)
        await _take_and_give_back(forum, nodebb, desk, post)
        await _follow(forum, desk, uid, tid)
        await _mute(forum, nodebb, post, uid, tid)
    again, before = make(own), len(desk.items)
    async with desk.at_work(again):
        await until(desk, lambda: again._watch.looks > 2)
    saw("after a restart nothing comes twice", len(desk.items) == before)
    saw("no item could not be read", not desk.broken and not desk.errors)
    await _feed(f"{SITE}/topic/{tid}.rss", f"{SITE}/recentposts.rss")


async def _answer(forum: Forum, nodebb: NodeBB, desk: Desk, post: RawPost) -> None:
    told = effect(
        EffectKind.REPLY, "real", 1, handle=post.external_id, thread=post.thread, text=TEXT, mark=MARK
    )
    # marks are never used twice in earnest; here an earlier round left its own in another topic
    saw("before: read-back finds no answer", await nodebb.read_back(told) is None)
    receipt = await nodebb.perform(told, None)
    found = await nodebb.read_back(told)
    saw("after: read-back finds it", found == receipt, str(found))
    page = await forum.page(f"/topic/{post.thread}")
    saw("every visitor sees the answer", MARK in page)
    for part in ("*加急*", "&lt;今天&gt;", "点前_答复_ &amp; 公布", "https://huiyin.example.org/rate/a_b"):
        saw(f"  word for word: {part}", part in page)
    await until(desk, lambda: nodebb.counts["ignored.own"] > 0)
    saw("our answer is not taken for a member's", MARK not in "".join(desk.texts.values()))


async def _take_and_give_back(forum: Forum, nodebb: NodeBB, desk: Desk, post: RawPost) -> None:
    key, words = post.external_id, post.text.split("\n")[1]
    saw("before: every visitor sees the post", words in await forum.page(f"/topic/{post.thread}"))
    for kind in (EffectKind.HIDE, EffectKind.REMOVE):
        wanted = len(notices(desk, PostKind.REMOVAL, key)) + 1
        told = effect(kind, "real", 2, handle=key, text="", mark="")
        print(
            f"     {kind.value}: {await nodebb.perform(told, None)}, again: {await nodebb.perform(told, None)}"
        )
        saw(f"{kind.value}: no visitor sees it", words not in await forum.page(f"/topic/{post.thread}"))
        saw(f"{kind.value}: read-back says so", await nodebb.read_back(told))
        gone = await until(desk, lambda n=wanted: len(notices(desk, PostKind.REMOVAL, key)) >= n)
        saw(f"{kind.value}: the channel notices it", gone)
        saw(
            f"{kind.value}: and knows that it was us",
            gone and notices(desk, PostKind.REMOVAL, key)[-1].by == "self",
        )
        told = effect(EffectKind.RESTORE, "real", 3, handle=key, text="", mark="")
        await nodebb.perform(told, None)
        saw("restore: every visitor sees it again", words in await forum.page(f"/topic/{post.thread}"))
        saw("restore: read-back says so", await nodebb.read_back(told))
        back = await until(desk, lambda n=wanted: len(notices(desk, PostKind.RESTORE, key)) >= n)
        saw("restore: the channel notices it", back)


async def _follow(forum: Forum, desk: Desk, uid: int, tid: int) -> None:
    made = await forum.call("POST", f"/api/v3/topics/{tid}", {"_uid": uid, "content": "三楼也停水了，没人管"})
    key = str(made["response"]["pid"])
    saw("a member's answer arrives", await until(desk, lambda: key in desk.texts))
    await forum.call("PUT", f"/api/v3/posts/{key}", {"_uid": uid, "content": "三楼来水了，谢谢大家"})
    edited = await until(desk, lambda: notices(desk, PostKind.EDIT, key))
    saw("an edit there is followed", edited, notices(desk, PostKind.EDIT, key)[-1].text if edited else "")
    await forum.call("DELETE", f"/api/v3/posts/{key}/state", {"_uid": 1})
    gone = await until(desk, lambda: notices(desk, PostKind.REMOVAL, key))
    saw("a removal there is followed", gone)
    made = await forum.call("POST", f"/api/v3/topics/{tid}", {"_uid": uid, "content": "这一条会被彻底清除"})
    key = str(made["response"]["pid"])
    await until(desk, lambda: key in desk.texts)
    await forum.call("DELETE", f"/api/v3/posts/{key}", {"_uid": 1})
    saw("a purge there is followed", await until(desk, lambda: notices(desk, PostKind.REMOVAL, key)))


async def _mute(forum: Forum, nodebb: NodeBB, post: RawPost, uid: int, tid: int) -> None:
    told = effect(EffectKind.MUTE, "real", 4, handle=post.external_id, text="", seconds=600)
    saw("before: read-back says that nobody is muted", await nodebb.read_back(told) is None)
    await nodebb.perform(told, str(uid))
    saw("mute: read-back says so", await nodebb.read_back(told))
    refused = await forum.call(
        "POST", f"/api/v3/topics/{tid}", {"_uid": uid, "content": "被禁言后还想说的话"}
    )
    saw("mute: the member cannot write", refused["status"]["code"] != "ok", refused["status"]["message"][:60])


async def _feed(*urls: str) -> None:
    channel, desk = feed(ChannelConfig("rss", "feed", {"urls": list(urls), "poll_seconds": 1.0})), Desk()
    health = await channel.check()
    saw("its feeds can be read", health.ok, health.message)
    async with desk.at_work(channel):
        saw("the feed's entries arrive", await until(desk, lambda: len(desk.texts) > 1), f"{len(desk.texts)}")
        saw("the answer stands in the feed", any(MARK in text for text in desk.texts.values()))
        soon = asyncio.get_running_loop().time() + 3_000
        saw("the feeds ask for an hour, and get it", all(one.next_look > soon for one in channel._sources))
    saw("nothing of the feeds is unreadable", not desk.broken and not desk.errors)


if __name__ == "__main__":
    sys.exit(run("NodeBB", go))
