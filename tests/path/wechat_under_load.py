"""How long WeChat waits for its answer while a thousand posts a second arrive in another channel (rule E-02).

``python tests/path/wechat_under_load.py --seconds 60 --rate 1000`` starts the service in a process of its own and
pushes signed posts to a webhook from another one, in requests of 50; meanwhile this process pushes messages as WeChat
does and measures each answer. WeChat waits five seconds and an answer comes only after the commit; the promise is
that 99 of 100 come within one. At the end everything that was acknowledged must be stored.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
from bad_hour import AES, free_port, share

from connectors._signing import webhook_key, webhook_signature
from monitor import bootstrap, config
from monitor.core.ports import PostFilter
from monitor.testing._fake_wechat_wire import message_xml
from monitor.testing.fake_wechat import FakeWeChat

BATCH: Final = 50
PER_SECOND: Final = 10
"""Messages of members to the account."""

_CODE: Final = "import sys; from monitor.cli.main import main; sys.argv = ['huiyin', '-q', 'serve']; main()"


def configure(folder: Path, port: int, gzh: FakeWeChat, secret: str) -> None:
    """Write the configuration of a service with a WeChat account and a webhook."""
    for name, text in (("hook", secret), ("wx", gzh.secret), ("token", gzh.token), ("aes", AES)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    (folder / "huiyin.toml").write_text(
        f"""
[service]
port = {port}
[channels.gzh]
type = "wechat"
appid = "{gzh.appid}"
app_secret = {{ file = "wx" }}
token = {{ file = "token" }}
aes_secret = {{ file = "aes" }}
comments = false
api_url = "{gzh.url}"
[channels.site]
type = "webhook"
secrets = [{{ file = "hook" }}]
""",
        encoding="utf-8",
    )
    (folder / "huiyin.toml").chmod(0o600)


async def flood(port: int, secret: str, rate: float, seconds: float) -> dict[str, float]:
    """Push ``rate`` posts a second to the webhook; what is refused is pushed again. Returns what was acknowledged."""
    key, url = webhook_key(secret), f"http://127.0.0.1:{port}/v1/channels/site/posts"
    taken, took = 0, list[float]()

    async def one(number: int) -> None:
        nonlocal taken
        first = number * BATCH
        rows = [{"id": f"p{first + n}", "text": f"第{first + n}句：食堂的豆浆又凉了"} for n in range(BATCH)]
        body, name, begun = json.dumps(rows).encode(), f"msg{number}", time.perf_counter()
        while True:
            stamp = str(int(time.time()))
            headers = {
                "webhook-id": name,
                "webhook-timestamp": stamp,
                "webhook-signature": webhook_signature(key, name, stamp, body),
            }
            async with client.post(url, data=body, headers=headers) as answer:
                await answer.read()
                if answer.status == 202:
                    break
            await asyncio.sleep(0.5)
        taken += BATCH
        took.append(time.perf_counter() - begun)

    begun = time.monotonic()
    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds / BATCH)):
            await asyncio.sleep(max(0.0, begun + number * BATCH / rate - time.monotonic()))
            group.create_task(one(number))
    spent = time.monotonic() - begun
    return {
        "posts": taken,
        "per_second": round(taken / spent, 1),
        "p99_ms": round(1000 * share(took, 0.99), 1),
    }


async def ask(gzh: FakeWeChat, url: str, seconds: float) -> list[float]:
    """Push members' messages as WeChat does and return how long each answer took."""
    took: list[float] = []

    async def one(number: int) -> None:
        fields = gzh.text(f"oABC-{number % 50:04}", f"第{number}封：班车晚点了")
        query, body = gzh.wrap(message_xml(fields))
        begun = time.perf_counter()
        status, text = await gzh.post(url, query, body, 60.0)
        assert (status, text) == (200, "success"), status
        took.append(time.perf_counter() - begun)

    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * PER_SECOND)):
            await asyncio.sleep(max(0.0, begun + number / PER_SECOND - time.monotonic()))
            group.create_task(one(number))
    return took


async def _ready(port: int) -> None:
    async with aiohttp.ClientSession() as client, asyncio.timeout(240):
        while True:
            try:
                async with client.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


def _stored(folder: Path) -> dict[str, int]:
    app = bootstrap.build(config.load(folder / "huiyin.toml", folder, {}), models=False)
    found = {"gzh": 0, "site": 0}
    with app.deps.uow.read() as store:
        for name in found:
            after = None
            while page := store.posts.page(PostFilter(channel=name), after, 5000):
                found[name] += len(page)
                after = page[-1].id
    app.close()
    return found


async def run(folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Run once and return the figures."""
    port, secret = free_port(), "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    async with FakeWeChat(AES) as gzh:
        configure(folder, port, gzh, secret)
        environment = {**os.environ, "HUIYIN_DATA": str(folder)}
        service = subprocess.Popen([sys.executable, "-c", _CODE], env=environment)
        sender = None
        try:
            await _ready(port)
            order = [str(port), secret, str(rate), str(seconds)]
            sender = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--flood", *order, stdout=asyncio.subprocess.PIPE
            )
            took = await ask(gzh, f"http://127.0.0.1:{port}/wechat/gzh", seconds)
            out, _err = await asyncio.wait_for(sender.communicate(), 300)
        finally:
            if sender is not None and sender.returncode is None:
                sender.kill()
            service.send_signal(signal.SIGTERM)
            await asyncio.to_thread(service.wait, 60)
    other, stored = json.loads(out), await asyncio.to_thread(_stored, folder)
    return {
        "answers": len(took),
        **{f"p{part}_ms": round(1000 * share(took, part / 100), 1) for part in (50, 95, 99)},
        "slowest_ms": round(1000 * max(took), 1),
        "other": other,
        "lost": len(took) + int(other["posts"]) - sum(stored.values()),
    }


def main() -> None:
    """Print the figures as JSON; exit code 1 when something was lost or the promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=1000.0, help="posts per second in the other channel")
    parser.add_argument("--flood", nargs=4, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood is not None:
        port, secret, rate, seconds = given.flood
        print(json.dumps(asyncio.run(flood(int(port), secret, float(rate), float(seconds)))))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(Path(folder), given.rate, given.seconds))
    print(json.dumps({"load": os.getloadavg(), **found}))
    sys.exit(1 if found["lost"] or found["p99_ms"] >= 1000 else 0)


if __name__ == "__main__":
    main()
