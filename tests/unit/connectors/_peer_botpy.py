"""A bot of botpy, QQ's own library: tells what it hears and does what it is asked to.

The library has the platform's addresses built in; here they lead to the fake, and nothing else of it is changed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
import botpy
from _peer_lines import Line, take_commands, tell
from botpy.manage import GroupManageEvent
from botpy.message import GroupMessage

settings: Line = json.loads(sys.argv[1])
PLATFORM = ("https://bots.qq.com", "https://api.sgroup.qq.com")
_request = aiohttp.ClientSession._request


async def _led(self: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Any:
    for known in PLATFORM:
        url = str(url).replace(known, settings["url"])
    return await _request(self, method, url, **options)


aiohttp.ClientSession._request = _led  # type: ignore[assignment, method-assign]


class Bot(botpy.Client):
    """Hears groups, and keeps their messages to answer them."""

    heard: dict[str, GroupMessage] = {}  # noqa: RUF012

    async def on_ready(self) -> None:
        tell("ready", name=self.robot.name)

    async def on_resumed(self) -> None:
        tell("resumed")

    async def on_group_at_message_create(self, message: GroupMessage) -> None:
        self.heard[message.id] = message
        member = message.author.member_openid
        fields = {"id": message.id, "group": message.group_openid, "member": member}
        tell("message", **fields, content=message.content, at=message.timestamp)

    async def _managed(self, name: str, event: GroupManageEvent) -> None:
        tell("managed", name=name, group=event.group_openid, operator=event.op_member_openid)

    async def on_group_add_robot(self, event: GroupManageEvent) -> None:
        await self._managed("add", event)

    async def on_group_del_robot(self, event: GroupManageEvent) -> None:
        await self._managed("del", event)

    async def on_group_msg_reject(self, event: GroupManageEvent) -> None:
        await self._managed("reject", event)

    async def on_group_msg_receive(self, event: GroupManageEvent) -> None:
        await self._managed("receive", event)

    async def obey(self, command: Line) -> Any:
        if command["action"] == "reply":
            return await self.heard[command["id"]].reply(content=command["content"], msg_seq=command["seq"])
        return await self.api.post_group_message(command["group"], content=command["content"])


async def main() -> None:
    bot = Bot(botpy.Intents(public_messages=True), timeout=60, bot_log=None, ext_handlers=False)
    async with bot:
        take_commands(asyncio.get_running_loop(), bot.obey)
        await bot.start(settings["app_id"], settings["secret"])


asyncio.run(main())
