"""Playing a script through the fake QQ program and the suggestion box at a chosen speed."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from monitor.testing.fake_qq import FakeQQ

Row = dict[str, Any]
_LONGEST = 10.0
_REPORT = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play: ``speed`` is script seconds per second (0: at once); ``start`` dates the script's zero.

    Without ``start`` every message bears the moment at which it is played.
    """

    rows: Sequence[Row]
    speed: float
    box: str = ""
    start: float | None = None


def read_week(path: Path) -> list[Row]:
    """Return the rows of a script, in its order."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


async def play(fake: FakeQQ, plan: Plan) -> None:
    """Play what was not played before; a state file remembers across restarts."""
    played = fake.memory.played | fake.memory.keys()
    left = [row for row in plan.rows if str(row["id"]) not in played]
    for row in plan.rows:
        if row["via"] == "qq":
            fake.join(int(row["group"]))
    begun, zero = time.monotonic(), left[0]["at"] if left else 0
    for row in left:
        if plan.speed > 0:
            await asyncio.sleep(max(0.0, (row["at"] - zero) / plan.speed - (time.monotonic() - begun)))
        await fake.connected.wait()
        await _play_row(fake, plan, row)
        fake.memory.mark_played(str(row["id"]))


async def _play_row(fake: FakeQQ, plan: Plan, row: Row) -> None:
    at = None if plan.start is None else plan.start + row["at"]
    if row["via"] == "box":
        if plan.box:
            await _put_in_box(plan.box, row)
    elif row.get("event") == "recall":
        target = fake.memory.by_key(str(row["target"]))
        if target is not None:
            await fake.recall(target.message_id, at=at)
    else:
        parent = fake.memory.by_key(str(row["reply_to"])) if row.get("reply_to") else None
        await fake.say(
            int(row["group"]),
            int(row["user"]),
            row["text"],
            parent.message_id if parent else None,
            name=row["name"],
            role=row["role"],
            at=at,
            key=str(row["id"]),
        )


async def _put_in_box(url: str, row: Row) -> None:
    """Post one row as the form of the box page does; waits as long as the service is away or busy."""
    form = {"text": row["text"], "contact": row.get("contact") or "", "unit": row.get("unit") or ""}
    form["once"] = secrets.token_urlsafe(12)  # the number of the form: sent again, it is one writing
    where, pause = urlsplit(url), 0.25
    async with aiohttp.ClientSession(headers={"Origin": f"{where.scheme}://{where.netloc}"}) as session:
        while True:
            try:
                async with session.post(url, data=form, allow_redirects=False) as response:
                    if response.status < 500 and response.status != 429:
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(pause)
            pause = min(_LONGEST, pause * 2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "fake_qq", description="A fake QQ program that plays a week of a campus."
    )
    parser.add_argument("--week", type=Path, required=True, help="script, one JSON object per line")
    parser.add_argument("--url", required=True, help="reverse WebSocket, ws://HOST:PORT/onebot/v11/CHANNEL")
    parser.add_argument("--token", required=True, help="access token")
    parser.add_argument("--speed", type=float, default=600.0, help="script seconds per second; 0 is at once")
    parser.add_argument("--state", type=Path, help="file that keeps messages and effects across restarts")
    parser.add_argument("--box", default="", help="where box rows are posted, http://HOST:PORT/box")
    parser.add_argument(
        "--start", help="date of the script's zero (RFC 3339); default: the moment of playing"
    )
    parser.add_argument("--profile", default="napcat", help="napcat, llonebot, lagrange, go-cqhttp or strict")
    parser.add_argument("--self-id", type=int, default=10_001_000, help="our own account")
    parser.add_argument("--port", type=int, default=0, help="port of the forward WebSocket and HTTP calls")
    parser.add_argument("--exit", action="store_true", help="end when the script is played")
    return parser


def _state(fake: FakeQQ) -> str:
    if fake.connected.is_set():
        return "connected"
    if fake.refusals:
        return f"refused with HTTP {max(fake.refusals)}: is the token right?"
    return "waiting for the service"


def tell(fake: FakeQQ, total: int) -> str:
    """Return how far the play is and what the service asked for, as counts only."""
    asked = Counter(done.action for done in fake.done)
    return (
        f"fake QQ: played {len(fake.memory.played)} of {total}; answers {asked['send_group_msg']}, "
        f"recalls {asked['delete_msg']}, mutes {asked['set_group_ban']}; {_state(fake)}"
    )


async def _report(fake: FakeQQ, total: int) -> None:
    """Print the counts when the connection changes, and from time to time when they do."""
    told, state, at = "", "", 0.0
    while True:
        now = tell(fake, total)
        if _state(fake) != state or (now != told and time.monotonic() - at >= _REPORT):
            print(now, file=sys.stderr, flush=True)
            told, state, at = now, _state(fake), time.monotonic()
        await asyncio.sleep(0.5)


async def _run(args: argparse.Namespace) -> None:
    start = datetime.fromisoformat(args.start).timestamp() if args.start else None
    plan = Plan(read_week(args.week), args.speed, args.box, start)
    fake = FakeQQ(args.profile, args.token, self_id=args.self_id, state=args.state, reconnect=1.0)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await fake.start(args.port)
    fake.connect(args.url)
    playing = asyncio.ensure_future(play(fake, plan))
    others = [asyncio.ensure_future(_report(fake, len(plan.rows))), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait({playing, *others}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()  # a fault in the script ends the player, and is seen
            if not args.exit:
                await others[1]  # what was played may still be answered or recalled
    finally:
        for task in (playing, *others):
            task.cancel()
        await asyncio.gather(playing, *others, return_exceptions=True)
        print(tell(fake, len(plan.rows)), file=sys.stderr, flush=True)
        await fake.stop()


def run(arguments: list[str] | None) -> int:
    """Parse the command line and play until told to stop."""
    args = _parser().parse_args(arguments)
    if not args.week.exists():
        print(f"{args.week} is not there", file=sys.stderr)
        return 2
    asyncio.run(_run(args))
    return 0
