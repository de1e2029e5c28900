"""Drive the connector against a real Discuz! X that is installed in a folder, and look at the forum's own pages.

    python tests/real/discuz.py /srv/discuz/upload --forum 2 --username gonghui --password ... \\
        --member xiaozhou --member-password ...

The folder is that of an installed Discuz! X3.4 or X3.5 with its database running; PHP's own server is started in it, or
give ``--url`` where a server already stands before it. Two accounts are needed: the union's, which moderates the forum,
and a member's. Image codes at sign-in must be off. Prints one line per step and ends with 0 when all of them held.
Nothing is downloaded, and the posts that it writes stay in the forum.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import aiohttp

from connectors._discuz_api import Api
from connectors.discuz import Discuz, connector
from monitor.core.model import EffectKind, PostKind, RawPost
from monitor.core.ports import ChannelConfig
from monitor.testing.desk import Desk, effect


class Member:
    """Somebody who writes in the forum as a browser on a telephone does."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self._api = Api(url, name, password, 30.0, 60.0)

    async def open_topic(self, forum: int, subject: str, words: str) -> str:
        """Open a topic and return its number."""
        query = {"module": "newthread", "topicsubmit": "yes", "fid": str(forum)}
        answer = await self._api.act(query, {"subject": subject, "message": words})
        assert answer.message == "post_newthread_succeed", f"the member cannot open a topic: {answer.message}"
        return str(answer.variables["tid"])

    async def answer(self, tid: str, words: str) -> str:
        """Answer in a topic and return the number of the post."""
        query = {"module": "sendreply", "replysubmit": "yes", "tid": tid}
        answer = await self._api.act(query, {"message": words})
        assert answer.message == "post_reply_succeed", f"the member cannot answer: {answer.message}"
        return str(answer.variables["pid"])

    async def close(self) -> None:
        await self._api.close()


async def page(url: str, tid: str) -> str:
    """Return a topic as a visitor's browser shows it."""
    params = {"mod": "viewthread", "tid": tid, "mobile": "no"}
    async with aiohttp.ClientSession() as client, client.get(f"{url}/forum.php", params=params) as response:
        return (await response.read()).decode("utf-8", "replace")


@asynccontextmanager
async def served(folder: Path, url: str) -> AsyncIterator[str]:
    """Serve the folder by PHP's own server, unless an address is given."""
    if url:
        yield url.rstrip("/")
        return
    php = shutil.which("php")
    if php is None:
        raise SystemExit(
            "PHP is not installed: install php-cli, php-mysql, php-gd, php-xml, php-mbstring, php-curl"
        )
    if not (folder / "forum.php").exists() or not (folder / "config" / "config_global.php").exists():
        raise SystemExit(
            f"{folder} is no installed Discuz!: it has no forum.php or no config/config_global.php"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        php, "-d", "display_errors=0", "-S", f"127.0.0.1:{port}", "-t", str(folder),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PHP_CLI_SERVER_WORKERS": "2"}, start_new_session=True,
    )  # fmt: skip
    try:
        await _answers(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # its workers too
        await server.wait()


async def _answers(url: str) -> None:
    end = time.monotonic() + 30
    async with aiohttp.ClientSession() as client:
        while time.monotonic() < end:
            try:
                async with client.get(f"{url}/api/mobile/index.php?version=4&module=check") as response:
                    if response.status == 200 and b"discuzversion" in await response.read():
                        return
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.2)
    raise SystemExit(
        "the forum does not answer: is its database running, and its mobile interface switched on?"
    )


def told(words: str, held: object) -> None:
    """Print a step; one that did not hold ends everything."""
    print(f"{'ok  ' if held else 'FAIL'} {words}", flush=True)
    if not held:
        raise SystemExit(1)


async def drive(url: str, chosen: argparse.Namespace) -> None:
    """Go through everything that the channel can do."""
    discuz = made(url, chosen)
    health = await discuz.check()
    told(f"check: {health.message}", health.ok)
    told("the account moderates the forum", "hide" in health.capabilities)
    member = Member(url, chosen.member, chosen.member_password)
    salt = secrets.token_hex(3)
    desk = Desk()
    async with desk.at_work(discuz):
        tid = await member.open_topic(chosen.forum, f"三食堂停水 {salt}", f"二楼 & 三楼都停了 <急> {salt} 😀")
        last = ""
        for n in range(12):
            last = await member.answer(tid, f"第 {n} 句，盼复 {salt}")
        mine = f"{salt}"
        await desk.until(lambda: sum(mine in post.text for post in desk.posts) >= 13, 60)
        words = [post.text for post in desk.posts if mine in post.text]
        told(
            "thirteen posts over two pages, in their order",
            len(words) == 13 and words[1].startswith("第 0 句"),
        )
        told("marks and emoji as they were typed", f"二楼 & 三楼都停了 <急> {salt} 😀" in words[0])
        asked = next(post for post in desk.posts if post.external_id == last)
        reply = effect(EffectKind.REPLY, "real", 1, thread=tid, handle=asked.handle)
        told("nothing is found before it was said", await discuz.read_back(reply) is None)
        receipt = await discuz.perform(reply, None)
        told(f"answered: {receipt}", await discuz.read_back(reply) == receipt)
        shown = await page(url, tid) + await page_two(url, tid)
        told("the answer stands in the forum's own page", shown.count("〔H-1〕") >= 1)
        await moderate(discuz, desk, asked, url)
        told("our own answer is not taken for a post", all("〔H-1〕" not in post.text for post in desk.posts))
        told(f"no failures while listening: {desk.errors}", not desk.errors)
    await member.close()


async def page_two(url: str, tid: str) -> str:
    """Return the second page of a topic as a visitor's browser shows it."""
    params = {"mod": "viewthread", "tid": tid, "mobile": "no", "page": "2"}
    async with aiohttp.ClientSession() as client, client.get(f"{url}/forum.php", params=params) as response:
        return (await response.read()).decode("utf-8", "replace")


async def moderate(discuz: Discuz, desk: Desk, post: RawPost, url: str) -> None:
    """Hide, show and remove a post, and wait until listening says so."""
    tid, words = post.thread or "", re.escape(post.text)

    def heard(kind: PostKind) -> int:
        return sum(
            isinstance(item, RawPost) and item.kind is kind and item.external_id == post.external_id
            for item in desk.items
        )

    for kind, is_shown in ((EffectKind.HIDE, False), (EffectKind.RESTORE, True), (EffectKind.REMOVE, False)):
        done = effect(kind, "real", 2, thread=tid, handle=post.handle)
        told(f"{kind}: not done yet", await discuz.read_back(done) is None)
        told(f"{kind}: {await discuz.perform(done, None)}", await discuz.read_back(done))
        seen = bool(re.search(words, await page_two(url, tid)))
        told(f"{kind}: the forum's page {'shows' if is_shown else 'no longer shows'} it", seen is is_shown)
        wanted = PostKind.RESTORE if is_shown else PostKind.REMOVAL
        if kind is not EffectKind.REMOVE:
            await desk.until(lambda wanted=wanted: heard(wanted) >= 1, 60)
    await desk.until(lambda: heard(PostKind.REMOVAL) >= 2, 60)
    told("listening told each of them", heard(PostKind.RESTORE) == 1)


def made(url: str, chosen: argparse.Namespace) -> Discuz:
    """Return the connector as a channel of the configuration would have it, only quicker."""
    settings = {
        "url": url,
        "forums": [chosen.forum],
        "username": chosen.username,
        "password": chosen.password,
        "poll_seconds": 0.5,
        "rescan_seconds": 1.0,
        "retry_seconds": 2.0,
    }
    return connector(ChannelConfig("real", "discuz", settings))


async def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of an installed Discuz! (where forum.php is)")
    parser.add_argument("--url", default="", help="address of a server that already stands before it")
    parser.add_argument("--forum", type=int, required=True, help="number of the forum (fid)")
    for name in ("username", "password", "member", "member-password"):
        parser.add_argument(f"--{name}", required=True)
    chosen = parser.parse_args()
    async with served(chosen.folder, chosen.url) as url:
        await drive(url, chosen)
    print("all of it held")


if __name__ == "__main__":
    asyncio.run(main())
