"""Kill the service and the worker at random moments while posts arrive and answers leave, then count.

``python tests/path/kill_drill.py --kills 50 --store sqlite`` (or ``--store postgres``) starts a service, a worker and
a fake QQ program, posts signed webhooks and group messages, answers grievances, and ends the service (which also
dispatches) or the worker with SIGKILL again and again. At the end: every acknowledged post is stored, no answer was
sent twice, every answer is settled, the ledger verifies, and the queue gives out work. The seed is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from standardwebhooks import Webhook

from monitor import bootstrap, config
from monitor.core.model import SYSTEM, CaseKind, CaseState, EffectState, ReplyState, Role
from monitor.core.ports import CaseFilter
from monitor.testing.fake_qq import FakeQQ
from monitor.usecases import accounts, cases, ledger, queue, replies

GROUP = 700_001
PASSWORD = "a long drill pass phrase"
CORPUS = Path(__file__).resolve().parents[2] / "corpora" / "domain"


def grievances() -> list[str]:
    """Return the grievances of the in-domain corpus: texts that do not resemble one another."""
    rows = [
        json.loads(line)
        for path in sorted(CORPUS.glob("part*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [row["text"] for row in rows if row["grievance"] and len(row["text"]) > 15]


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Parts:
    """The processes under test."""

    folder: Path
    environment: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, name: str) -> None:
        """Start a part."""
        code = f"import sys; from monitor.cli.main import main; sys.argv = ['huiyin', '{name}']; main()"
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-c", code],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a part with all its processes as a power cut would, and start it again."""
        process = self.running[name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.kills[name] += 1
        self.start(name)

    def stop(self) -> None:
        """End everything gently, then firmly."""
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def settings(port: int) -> str:
    """Return the configuration of the drill."""
    return f"""
union_name = "临江大学工会"

[service]
port = {port}

[rules]
effect_delay = 0.2
send_timeout = 1.0
human_after = 60.0
job_lease_seconds = 5.0

[channels.qq]
type = "onebot"
groups = [{GROUP}]
token = {{ file = "qq.token" }}
call_seconds = 1.0
retry_seconds = 1.0
history_pause = 0.01

[channels.hook]
type = "webhook"
secrets = [{{ file = "hook.secret" }}]
"""


@dataclass
class Drill:
    """Everything that one run knows."""

    app: bootstrap.App
    parts: Parts
    fake: FakeQQ
    signer: Webhook
    url: str
    chance: random.Random
    acknowledged: list[str] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    approved: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=grievances)
    refusals: Counter[str] = field(default_factory=Counter)
    over: bool = False
    count: int = 0

    def next(self) -> int:
        """Return a number not used before."""
        self.count += 1
        return self.count


def _words(drill: Drill) -> str:
    return f"今天操场的银杏真好看，第 {drill.next()} 棵最黄"


async def post(drill: Drill, session: aiohttp.ClientSession) -> None:
    """Post signed webhooks for ever; what is answered with 202 is acknowledged."""
    while not drill.over:
        rows = [
            {
                "id": f"h{drill.next()}",
                "text": _words(drill),
                "author": f"u{drill.count % 50}",
                "thread": "web",
            }
            for _each in range(drill.chance.randint(1, 5))
        ]
        body = json.dumps(rows, ensure_ascii=False)
        moment = datetime.now(UTC)
        message = f"msg_{secrets.token_hex(8)}"
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": drill.signer.sign(message, moment, body),
            "content-type": "application/json",
        }
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            async with session.post(drill.url, data=body.encode(), headers=headers) as answer:
                if answer.status == 202:
                    results = json.loads(await answer.read())["results"]
                    drill.acknowledged += [r["id"] for r in results if r["outcome"] != "quarantined"]
        await asyncio.sleep(0.02)


async def talk(drill: Drill) -> None:
    """Say things in the group for ever."""
    while not drill.over:
        words = drill.texts.pop() if drill.texts and drill.chance.random() < 0.5 else _words(drill)
        user = 90_000_000 + drill.chance.randint(1, 40)
        drill.said.append(await drill.fake.say(GROUP, user, words))
        await asyncio.sleep(0.05)


def answer_some(drill: Drill, officer: Any, leader: Any, most: int) -> None:
    """Take grievances of the group to an approved answer."""
    where = CaseFilter(kinds=(CaseKind.GRIEVANCE,), states=(CaseState.REGISTERED,), channel="qq")
    for row in queue.page(drill.app.deps, officer, where, None, 3):
        if len(drill.approved) >= most:
            return
        case = cases.move(drill.app.deps, officer, row.case.id, row.case.version, "accept")
        case = cases.move(drill.app.deps, officer, case.id, case.version, "start", assignee=officer.login)
        draft = replies.draft(
            drill.app.deps, leader, case.id, f"您反映的情况已核实，本周内办结（{case.id}）。"
        )
        replies.approve(drill.app.deps, officer, draft.id, draft.version)
        drill.approved[case.reference] = draft.id


async def answer(drill: Drill, most: int) -> None:
    """Answer for ever; a lost race with another writer is tried again."""
    from monitor.core.errors import HuiyinError

    people = {}
    for login, role in (("drill.officer", Role.OFFICER), ("drill.leader", Role.LEADER)):
        accounts.add_account(drill.app.deps, SYSTEM, login, "", "工会干部", frozenset({role}), None, PASSWORD)
        with drill.app.deps.uow.read() as store:
            people[role] = store.accounts.get(login).actor()
    while not drill.over:
        try:
            await asyncio.to_thread(answer_some, drill, people[Role.OFFICER], people[Role.LEADER], most)
        except HuiyinError as error:
            drill.refusals[f"{error.code}: {error}"] += 1
        await asyncio.sleep(0.1)


async def kill(drill: Drill, kills: int) -> None:
    """End the service (three times in four) or the worker, at moments that nobody can foresee."""
    for number in range(kills):
        await asyncio.sleep(drill.chance.uniform(0.05, 3.5))
        drill.parts.kill("worker" if number % 4 == 3 else "serve")


def _open_effects(drill: Drill) -> int:
    with drill.app.deps.uow.read() as store:
        counts = store.outbox.counts()
    return sum(
        counts.get(state.value, 0) for state in (EffectState.NEW, EffectState.SENDING, EffectState.UNKNOWN)
    )


def _waiting(drill: Drill) -> int:
    with drill.app.deps.uow.read() as store:
        counts = store.jobs.counts()
    return counts.get("waiting", 0) + counts.get("leased", 0)


async def settle(drill: Drill, patience: float) -> None:
    """Wait until nothing is under way any more."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        busy = await asyncio.to_thread(
            lambda: _open_effects(drill) + _waiting(drill) + len(_lost_messages(drill))
        )
        if not busy:
            return
        await asyncio.sleep(0.5)


def _stored(drill: Drill, channel: str) -> set[str]:
    from monitor.core.ports import PostFilter

    found: set[str] = set()
    after: int | None = None
    with drill.app.deps.uow.read() as store:
        while page := store.posts.page(PostFilter(channel=channel), after, 1_000):
            found |= {one.external_id for one in page}
            found |= {one.handle for one in page if one.handle}
            after = page[-1].id
    return found


def _lost_messages(drill: Drill) -> list[int]:
    stored = _stored(drill, "qq")
    return [one for one in drill.said if str(one) not in stored]


def figures(drill: Drill, seed: int) -> dict[str, Any]:
    """Count what the drill is about."""
    stored = _stored(drill, "hook")
    with drill.app.deps.uow.read() as store:
        states = Counter(store.replies.get(reply).state for reply in drill.approved.values())
        outbox = store.outbox.counts()
    sent = {reference: drill.fake.sent(reference) for reference in drill.approved}
    with drill.app.deps.uow.read() as store:
        officer = store.accounts.get("drill.officer").actor()
    return {
        "seed": seed,
        "kills": dict(drill.parts.kills),
        "acknowledged": len(drill.acknowledged),
        "acknowledged_lost": len([one for one in drill.acknowledged if one not in stored]),
        "group_messages": len(drill.said),
        "group_messages_lost": len(_lost_messages(drill)),
        "answers_approved": len(drill.approved),
        "answers_sent_once": sum(n == 1 for n in sent.values()),
        "answers_sent_twice": sum(n > 1 for n in sent.values()),
        "answers_not_sent": sum(n == 0 for n in sent.values()),
        "answers_by_state": {state.value: states[state] for state in ReplyState if states[state]},
        "refusals": dict(drill.refusals),
        "outbox": outbox,
        "ledger_ok": ledger.verify(drill.app.deps).ok,
        "queue_continues": queue.take_next(drill.app.deps, officer, CaseFilter()) is not None,
    }


@asynccontextmanager
async def scene(folder: Path, store_url: str | None, seed: int) -> AsyncIterator[Drill]:
    """Open everything over an empty store and close it again."""
    port = free_port()
    token, key = secrets.token_hex(16), "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    for name, text in (("huiyin.toml", settings(port)), ("qq.token", token), ("hook.secret", key)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    environment = os.environ | {"HUIYIN_DATA": str(folder), "HUIYIN_CONFIG": str(folder / "huiyin.toml")}
    if store_url is not None:
        environment["HUIYIN_STORE_URL"] = store_url
        os.environ["HUIYIN_STORE_URL"] = store_url
    chosen = config.load(folder / "huiyin.toml", folder)
    bootstrap.prepare_database(chosen)
    app = bootstrap.build(chosen, models=False)
    parts = Parts(folder, environment)
    try:
        async with FakeQQ(token=token, state=folder / "fake.jsonl") as fake:
            fake.join(GROUP)
            for part in ("serve", "worker"):
                parts.start(part)
            fake.connect(f"ws://127.0.0.1:{port}/onebot/v11/qq")
            url = f"http://127.0.0.1:{port}/v1/channels/hook/posts"
            yield Drill(app, parts, fake, Webhook(key), url, random.Random(seed))
            parts.stop()
    finally:
        parts.stop()
        app.close()
        os.environ.pop("HUIYIN_STORE_URL", None)


async def run(folder: Path, store_url: str | None, kills: int, answers: int, seed: int) -> dict[str, Any]:
    """Run one drill and return its figures."""
    async with (
        scene(folder, store_url, seed) as drill,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
    ):
        while not drill.acknowledged:
            probe = asyncio.ensure_future(post(drill, session))
            await asyncio.sleep(1.0)
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        noise = [
            asyncio.ensure_future(work)
            for work in (post(drill, session), talk(drill), answer(drill, answers))
        ]
        deadline = time.monotonic() + 60
        while len(drill.approved) < min(5, answers) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        await kill(drill, kills)
        await asyncio.sleep(2.0)
        drill.over = True
        await asyncio.gather(*noise)
        await settle(drill, 150.0)
        return figures(drill, seed)


def passed(found: dict[str, Any]) -> bool:
    """Say whether nothing was lost and nothing was doubled: what has not been sent still stands in the outbox."""
    zero = ("acknowledged_lost", "group_messages_lost", "answers_sent_twice")
    waiting = sum(found["outbox"].get(state, 0) for state in ("new", "unknown", "needs_human"))
    whole = found["answers_not_sent"] <= waiting
    return not any(found[name] for name in zero) and whole and found["ledger_ok"] and found["queue_continues"]


@contextlib.contextmanager
def postgres_database(address: str) -> Iterator[str]:
    """Make an empty database, yield the address that the store takes, and drop it again."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    name = f"huiyin_drill_{secrets.token_hex(4)}"
    with psycopg.connect(address, autocommit=True) as link:
        link.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    try:
        yield address.replace("postgresql://", "postgresql+psycopg://").rsplit("/", 1)[0] + f"/{name}"
    finally:
        with psycopg.connect(address, autocommit=True) as link:
            link.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def main() -> int:
    """Read the command line, run, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--postgres", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    seed = chosen.seed or secrets.randbelow(10**6) + 1
    database = (
        postgres_database(chosen.postgres) if chosen.store == "postgres" else contextlib.nullcontext(None)
    )
    with tempfile.TemporaryDirectory() as temporary, database as url:
        folder = chosen.folder or Path(temporary)
        found = asyncio.run(run(folder, url, chosen.kills, chosen.answers, seed))
    print(json.dumps({"store": chosen.store, **found}, ensure_ascii=False, default=str))
    return 0 if passed(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
