"""Everything goes wrong for an hour: six channels at once, four of them over networks that fail in every way.

``python tests/path/bad_hour.py --minutes 10 --rate 50`` starts a service in a process of its own, a fake QQ program, a
fake QQ bot platform and a fake WeChat behind faulty wires, and senders of two signed webhooks and of files. It is run
twice: without faults, then with latency, resets, half-open connections, lost answers, cuts after each of the first
1,024 bytes, one byte a second, a login page, storms of 429, 503 and floods. Printed is what was lost or doubled (it
must be nothing), what became of the answers, and how long posts of the healthy channels took, beside the quiet run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from connectors._signing import webhook_key, webhook_signature
from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.core.model import CaseKind, CaseState, EffectKind, EffectState, NewCase, NewEffect
from monitor.core.ports import PostFilter
from monitor.testing._fake_wechat_wire import message_xml
from monitor.testing.fake_qq import FakeQQ
from monitor.testing.fake_qqbot import FakeQQBot
from monitor.testing.fake_wechat import FakeWeChat
from monitor.testing.faulty_wire import Fault, FaultyWire

GROUP, BOT_GROUP = 700_001, "0F3C" * 8
CHANNELS: Final = ("qq", "bot", "gzh", "site", "letters", "files")
HEALTHY: Final = ("letters", "files")
SETTLING: Final = 300.0
AT_ONCE: Final = 16
"""Pushes of one channel on their way together: a sender that repeats everything at once would only hinder itself."""

ANSWER_EVERY: Final = 5.0
AES: Final = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
_LATENCY = "latency"
_FAULTS: Final = (_LATENCY, *(fault for fault in Fault if fault is not Fault.NONE))


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Said:
    """What was said where and when; a text is said once."""

    at: dict[str, dict[str, float]] = field(default_factory=lambda: {name: {} for name in CHANNELS})
    acknowledged: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CHANNELS})
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def next(self, channel: str) -> str:
        """Return a new text for a channel and note its time."""
        text = f"第{next(self._numbers):06}句，{channel}，食堂的豆浆又凉了"
        self.at[channel][text] = time.time()
        return text


class Place:
    """A folder with a configuration, the fakes, their wires, and the service in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.qq = FakeQQ("napcat", "a-long-token-for-the-hour", heartbeat=1.0)
        self.bot = FakeQQBot(heartbeat=1.0)
        self.gzh = FakeWeChat(AES)
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.wires: dict[str, FaultyWire] = {}
        self.inbox = folder / "inbox"
        self.process: subprocess.Popen[bytes] | None = None
        self.client: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start fakes, wires and service, and wait until it answers."""
        await self.qq.start()
        self.qq.join(GROUP)
        await self.bot.start()
        self.bot.group(BOT_GROUP)
        await self.gzh.start()
        targets = {"qq": self.qq.port, "bot": self.bot.port, "gzh": self.port, "site": self.port}
        for name, target in targets.items():
            self.wires[name] = FaultyWire(target)
            await self.wires[name].start()
        self.bot.front = self.wires["bot"].port
        self.inbox.mkdir(parents=True)
        self._configure()
        code = "import sys; from monitor.cli.main import main; sys.argv = ['huiyin', '-q', 'serve']; main()"
        with (self.folder / "service.log").open("ab") as log:
            environment = {**os.environ, "HUIYIN_DATA": str(self.folder)}
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], env=environment, stdout=log, stderr=log
            )
        await self._until_ready()

    def _configure(self) -> None:
        for name, text in (("token", self.qq.token), ("bot", self.bot.secret), ("hook", self.secret),
                           ("wx", self.gzh.secret), ("wxtoken", self.gzh.token), ("aes", AES)):  # fmt: skip
            (self.folder / name).write_text(text, encoding="utf-8")
            (self.folder / name).chmod(0o600)
        (self.folder / "huiyin.toml").write_text(
            f"""
[service]
port = {self.port}
[rules]
effect_delay = 0.0
send_timeout = 2.0
human_after = 60.0
[channels.qq]
type = "onebot"
groups = [{GROUP}]
token = {{ file = "token" }}
url = "ws://127.0.0.1:{self.wires["qq"].port}/"
call_seconds = 3.0
silence_seconds = 5.0
catch_up_limit = 50000
history_pause = 0.0
retry_seconds = 0.5
[channels.bot]
type = "qqbot"
app_id = "{self.bot.app_id}"
secret = {{ file = "bot" }}
groups = ["{BOT_GROUP}"]
api_url = "http://127.0.0.1:{self.wires["bot"].port}"
call_seconds = 3.0
retry_seconds = 0.5
[channels.gzh]
type = "wechat"
appid = "{self.gzh.appid}"
app_secret = {{ file = "wx" }}
token = {{ file = "wxtoken" }}
aes_secret = {{ file = "aes" }}
comments = false
api_url = "{self.gzh.url}"
[channels.site]
type = "webhook"
secrets = [{{ file = "hook" }}]
[channels.letters]
type = "webhook"
secrets = [{{ file = "hook" }}]
[channels.files]
type = "file"
folder = "{self.inbox}"
poll_seconds = 0.2
settle_seconds = 0.2
after = "move"
""",
            encoding="utf-8",
        )
        (self.folder / "huiyin.toml").chmod(0o600)

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + 240
        async with aiohttp.ClientSession() as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"http://127.0.0.1:{self.port}/healthz") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.2)
            else:
                raise RuntimeError((self.folder / "service.log").read_text(encoding="utf-8")[-2000:])
        await asyncio.wait_for(self.qq.connected.wait(), 120)
        app = self.opened()
        try:  # what is said before a bot's first session stands in a cursor is lost to everybody
            while not await asyncio.to_thread(lambda: _cursor(app, "bot")):
                await asyncio.sleep(0.1)
        finally:
            app.close()

    def start_letters(self, rate: float, seconds: float) -> None:
        """Start the sender of a healthy webhook in a process of its own: it measures the service, and not our fakes."""
        order = {"port": self.port, "secret": self.secret, "rate": rate, "seconds": seconds}
        (self.folder / "letters.json").write_text(json.dumps(order), encoding="utf-8")
        self.client = subprocess.Popen([sys.executable, str(Path(__file__)), "--letters", str(self.folder)])

    async def letters(self, said: Said) -> None:
        """Wait for the end of that sender and note what it said and how long each answer took."""
        assert self.client is not None
        if await asyncio.to_thread(self.client.wait, SETTLING):
            raise RuntimeError("the sender of the healthy webhook failed")
        for line in (self.folder / "letters.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            said.at["letters"][row["text"]] = row["at"]
            said.acknowledged["letters"].append(row["took"])

    def opened(self) -> App:
        """Open the store beside the service."""
        return bootstrap.build(config.load(self.folder / "huiyin.toml", self.folder, {}), models=False)

    def log(self) -> str:
        """Return whether the service still runs, and the end of its log."""
        assert self.process is not None
        return f"ended {self.process.poll()}, {(self.folder / 'service.log').read_text(encoding='utf-8')[-3000:]}"

    def memory(self) -> int:
        """Return the resident memory of the service in MiB."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") // 2**20

    async def stop(self) -> None:
        """End the service and the fakes."""
        if self.client is not None and self.client.poll() is None:
            self.client.kill()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self.process.wait, 30)
        for wire in self.wires.values():
            await wire.stop()
        for fake in (self.qq, self.bot, self.gzh):
            await fake.stop()


def _cursor(app: App, channel: str) -> str | None:
    with app.deps.uow.read() as store:
        return store.channels.cursor(channel)


async def push(client: aiohttp.ClientSession, url: str, secret: str, text: str) -> bool:
    """Push one signed post; says whether it was acknowledged."""
    body, stamp = json.dumps({"id": text[:8], "text": text}).encode(), str(int(time.time()))
    headers = {
        "webhook-id": text[:8],
        "webhook-timestamp": stamp,
        "webhook-signature": webhook_signature(webhook_key(secret), text[:8], stamp, body),
        "Content-Type": "application/json",
    }
    async with client.post(url, data=body, headers=headers) as answer:
        return answer.status == 202 and bool(await answer.content.read(4096))


async def send_letters(folder: Path) -> None:
    """Be the sender of the healthy webhook (see :meth:`Place.start_letters`)."""
    order = json.loads((folder / "letters.json").read_text(encoding="utf-8"))
    url = f"http://127.0.0.1:{order['port']}/v1/channels/letters/posts"
    rows: list[dict[str, object]] = []

    async def one(number: int) -> None:
        text, at, begun = f"信{number:07}，食堂的豆浆又凉了", time.time(), time.perf_counter()
        while not await push(client, url, order["secret"], text):
            await asyncio.sleep(0.2)
        rows.append({"text": text, "at": at, "took": time.perf_counter() - begun})

    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
        begun = time.monotonic()
        for number in range(int(order["rate"] * order["seconds"])):
            await asyncio.sleep(max(0.0, begun + number / order["rate"] - time.monotonic()))
            group.create_task(one(number))
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "letters.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# --- saying ----------------------------------------------------------------------------------------


@dataclass
class Senders:
    """What says things in every channel; pushes are repeated until they are acknowledged, as platforms do."""

    place: Place
    said: Said
    client: aiohttp.ClientSession
    waiting: set[asyncio.Task[None]] = field(default_factory=set)
    file: list[str] = field(default_factory=list)
    files: int = 0
    last: dict[str, str] = field(default_factory=dict)
    doors: dict[str, asyncio.Semaphore] = field(
        default_factory=lambda: {name: asyncio.Semaphore(AT_ONCE) for name in CHANNELS}
    )

    async def say(self, channel: str) -> None:
        """Say one thing in a channel."""
        text = self.said.next(channel)
        if channel == "qq":
            await self.place.qq.say(GROUP, 20_002_000, text)
        elif channel == "bot":
            await self.place.bot.say(BOT_GROUP, "7D21" * 8, text)
        elif channel == "files":
            self._write(text)
        else:
            sending = self._push_wechat(text) if channel == "gzh" else self._push(channel, text)
            task = asyncio.create_task(sending, name=channel)
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)

    def _write(self, text: str) -> None:
        now = datetime.now(UTC).isoformat()
        self.file.append(json.dumps({"id": text[:8], "text": text, "posted_at": now}, ensure_ascii=False))
        if len(self.file) >= 5:
            self.files += 1
            partial = self.place.folder / "writing.jsonl"
            partial.write_text("\n".join(self.file) + "\n", encoding="utf-8")
            partial.rename(self.place.inbox / f"{self.files:06}.jsonl")
            self.file.clear()

    async def _until_taken(self, channel: str, send: Callable[[], Awaitable[bool]]) -> None:
        begun = time.perf_counter()
        pause = 0.2
        while True:
            try:
                async with self.doors[channel]:
                    is_taken = await send()
                if is_taken:
                    self.said.acknowledged[channel].append(time.perf_counter() - begun)
                    return
                self.last[channel] = "refused"
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                self.last[channel] = type(error).__name__
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(5.0, pause * 2)

    async def _push(self, channel: str, text: str) -> None:
        url = f"http://127.0.0.1:{self.place.wires['site'].port}/v1/channels/{channel}/posts"
        await self._until_taken(channel, lambda: push(self.client, url, self.place.secret, text))

    async def _push_wechat(self, text: str) -> None:
        fields = self.place.gzh.text("oABC-test_openid", text)
        url = f"http://127.0.0.1:{self.place.wires['gzh'].port}/wechat/gzh"

        async def send() -> bool:
            query, body = self.place.gzh.wrap(message_xml(fields))
            async with self.client.post(url, params=query, data=body) as answer:
                return answer.status == 200 and await answer.content.read(64) in (b"", b"success")

        await self._until_taken("gzh", send)

    async def finish(self) -> None:
        """Write what waits, and wait until every push is acknowledged."""
        while self.file:
            await self.say("files")
        waiting = set(self.waiting)
        if waiting:
            _done, pending = await asyncio.wait(waiting, timeout=SETTLING)
            if pending:
                names = Counter(task.get_name() for task in pending)
                raise RuntimeError(
                    f"never acknowledged: {dict(names)}; last answers {self.last}; {self.place.log()}"
                )


# --- what goes wrong -------------------------------------------------------------------------------


async def trouble(wire: FaultyWire, chance: random.Random, seen: Counter[str]) -> None:
    """Let one thing after the other be wrong with a wire, with moments of peace between."""
    cuts = itertools.cycle(range(1, 1025))
    wire.cut_after = lambda: next(cuts)
    while True:
        fault = chance.choice(_FAULTS)
        seen[str(fault)] += 1
        wire.drip_seconds = chance.choice([1.0, 0.02])
        wire.delay = chance.uniform(0.05, 0.6) if fault == _LATENCY else 0.0
        if fault != _LATENCY:
            await wire.become(Fault(fault))
        await asyncio.sleep(chance.uniform(1.0, 8.0))
        wire.delay = 0.0
        await wire.become(Fault.NONE)
        await asyncio.sleep(chance.uniform(0.5, 3.0))


def _write_answer(app: App, number: int) -> str | None:
    """Put an answer to the newest post of the group into the outbox, as an approved reply does."""
    now, mark = app.deps.clock.now(), f"〔H-{number}-1〕"
    with app.deps.uow.begin() as store:
        found = store.posts.page(PostFilter(channel="qq"), None, 1)
        if not found:
            return None
        post = found[0]
        new = NewCase(
            CaseKind.GRIEVANCE, CaseState.REGISTERED, 1, "qq", (post.id,), "test", thread=post.thread
        )
        case = store.cases.open(new, now)
        effect = NewEffect(
            key=f"reply:{number}:{post.id}", kind=EffectKind.REPLY, channel="qq", case_id=case.id, not_before=now,
            thread=post.thread, handle=post.handle, post_id=post.id,
            text=f"第{number}个答复：已转后勤处。\n编号{mark}", mark=mark,
        )  # fmt: skip
        store.outbox.add(effect, now)
    return mark


async def answer(app: App, marks: list[str]) -> None:
    """Answer something every few seconds."""
    for number in itertools.count(1):
        mark = await asyncio.to_thread(_write_answer, app, number)
        marks += [mark] if mark else []
        await asyncio.sleep(ANSWER_EVERY)


# --- counting --------------------------------------------------------------------------------------


def _stored(app: App) -> dict[str, list[tuple[str, float]]]:
    """Return channel -> (text, when it was stored) of every post and revision that stands newest."""
    found: dict[str, list[tuple[str, float]]] = {}
    with app.deps.uow.read() as store:
        for name in CHANNELS:
            rows, after = [], None
            while page := store.posts.page(PostFilter(channel=name), after, 1000):
                rows += [(post.text, post.received_at.timestamp()) for post in page]
                after = page[-1].id
            found[name] = rows
    return found


def _counted(app: App) -> int:
    with app.deps.uow.read() as store:
        return store.posts.count()


def _outcomes(app: App) -> Counter[str]:
    with app.deps.uow.read() as store:
        return Counter({state: n for state, n in store.outbox.counts().items() if n})


def share(values: list[float], part: float) -> float:
    """Return the value under which ``part`` of them lie; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Outcome:
    """What one run found; times in milliseconds."""

    said: int
    lost: int
    doubled: int
    answers: int
    answers_doubled: int
    outcomes: dict[str, int]
    letters_p95: float
    files_p95: float
    faulty_p95: float
    faults: dict[str, int]
    memory: int


async def run(seconds: float, rate: float, seed: int, folder: Path, *, faulty: bool) -> Outcome:
    """Say things for ``seconds`` and count what was stored.

    Args:
        seconds: how long.
        rate: posts per second over all channels.
        seed: of the faults.
        folder: where the service lives.
        faulty: with faults.
    """
    place, said = Place(folder), Said()
    chance, seen, marks = random.Random(seed), Counter[str](), list[str]()
    timeout = aiohttp.ClientTimeout(total=5.0)
    background: list[asyncio.Task[None]] = []
    app: App | None = None
    try:
        await place.start()
        app = place.opened()
        background.append(asyncio.create_task(answer(app, marks)))
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=200)
        ) as client:
            senders = Senders(place, said, client)
            if faulty:
                background += [
                    asyncio.create_task(trouble(wire, random.Random(chance.random()), seen))
                    for wire in place.wires.values()
                ]
            others = [name for name in CHANNELS if name != "letters"]
            place.start_letters(rate / len(CHANNELS), seconds)
            rate *= len(others) / len(CHANNELS)
            begun, names = time.monotonic(), itertools.cycle(others)
            for number in itertools.count():
                late = begun + number / rate - time.monotonic()
                if late > 0:
                    await asyncio.sleep(late)
                if time.monotonic() - begun >= seconds:
                    break
                await senders.say(next(names))
            await _stop(background)
            for wire in place.wires.values():
                wire.delay = 0.0
                await wire.become(Fault.NONE)
            await senders.finish()
            await place.letters(said)
        total = sum(map(len, said.at.values()))
        await _until(lambda: asyncio.to_thread(_counted, app), lambda n: n >= total)
        quiet = await _settled(app)
        return _outcome(place, app, said, marks, quiet, seen)
    finally:
        await _stop(background)
        if app is not None:
            app.close()
        await place.stop()


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    tasks.clear()


async def _until(look: Callable[[], Awaitable[int]], enough: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + SETTLING
    while not enough(await look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.5)


async def _settled(app: App) -> Counter[str]:
    """Wait until no answer is on its way any more, and return their states."""
    on_its_way = {EffectState.SENDING, EffectState.UNKNOWN, EffectState.NEW}

    async def open_ones() -> int:
        return sum(n for state, n in (await asyncio.to_thread(_outcomes, app)).items() if state in on_its_way)

    await _until(open_ones, lambda n: n == 0)
    return await asyncio.to_thread(_outcomes, app)


def _outcome(
    place: Place, app: App, said: Said, marks: list[str], outcomes: Counter[str], seen: Counter[str]
) -> Outcome:
    lost = doubled = 0
    took: dict[str, list[float]] = {}
    for name, rows in _stored(app).items():
        times = Counter(text for text, _at in rows)
        lost += sum(text not in times for text in said.at[name])
        doubled += sum(n - 1 for n in times.values())
        took[name] = [at - said.at[name][text] for text, at in rows if text in said.at[name]]
    faulty = [one for name in CHANNELS if name not in HEALTHY for one in took[name]]
    sent = Counter(mark for mark in marks for _time in range(place.qq.sent(mark)))
    return Outcome(
        said=sum(map(len, said.at.values())),
        lost=lost,
        doubled=doubled,
        answers=len(marks),
        answers_doubled=sum(n - 1 for n in sent.values()),
        outcomes=dict(outcomes),
        letters_p95=1000 * share(said.acknowledged["letters"], 0.95),
        files_p95=1000 * share(took["files"], 0.95),
        faulty_p95=1000 * share(faulty, 0.95),
        faults=dict(seen),
        memory=place.memory(),
    )


def told(name: str, found: Outcome) -> str:
    """Return one run in words."""
    return (
        f"{name}: said {found.said}, lost {found.lost}, doubled {found.doubled}; answers {found.answers}, doubled"
        f" {found.answers_doubled}, {found.outcomes}; p95 webhook acknowledged {found.letters_p95:.0f} ms, file stored"
        f" {found.files_p95:.0f} ms, faulty channels stored {found.faulty_p95:.0f} ms; service {found.memory} MiB"
        f"{f'; faults {found.faults}' if found.faults else ''}"
    )


def _one(minutes: float, rate: float, seed: int, *, faulty: bool) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(60 * minutes, rate, seed, Path(folder), faulty=faulty))


def _beside(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE)


def main() -> None:
    """Run both and print; exit code 1 when something was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=50.0, help="posts per second over all channels")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument(
        "--together",
        action="store_true",
        help="both runs at once, each with its service: what else the machine does hits both alike",
    )
    parser.add_argument("--one", choices=("quiet", "bad"), help=argparse.SUPPRESS)
    parser.add_argument("--letters", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.letters is not None:
        asyncio.run(send_letters(given.letters))
        return
    if given.one is not None:
        found = _one(given.minutes, given.rate, given.seed, faulty=given.one == "bad")
        print(json.dumps(asdict(found)))
        return
    print("seed", given.seed, flush=True)
    usual = [f"--minutes={given.minutes}", f"--rate={given.rate}", f"--seed={given.seed}"]
    runs: dict[str, subprocess.Popen[bytes]] = {}
    both: dict[str, Outcome] = {}
    for name in ("quiet", "bad"):
        runs[name] = _beside([*usual, f"--one={name}"])
        if not given.together:
            runs[name].wait()
    for name, process in runs.items():
        out, _err = process.communicate()
        both[name] = Outcome(**json.loads(out))
        print(told(name, both[name]), flush=True)
    for what in ("letters_p95", "files_p95"):
        before, after = getattr(both["quiet"], what), getattr(both["bad"], what)
        print(f"{what}: {before:.0f} -> {after:.0f} ms ({(after / before - 1) if before else 0:+.0%})")
    bad = both["bad"]
    sys.exit(1 if bad.lost or bad.doubled or bad.answers_doubled else 0)


if __name__ == "__main__":
    main()
