"""A bot of the framework NoneBot with its own OneBot v11 adapter: tells every event, calls what it is asked to."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import nonebot
from _peer_lines import Line, take_commands, tell
from nonebot.adapters.onebot.v11 import Adapter, Bot, Event, GroupMessageEvent
from nonebot.message import event_preprocessor

settings: Line = json.loads(sys.argv[1])
nonebot.init(driver="~quart+~aiohttp", host="127.0.0.1", log_level="WARNING", **settings)
driver = nonebot.get_driver()
driver.register_adapter(Adapter)


@event_preprocessor
async def _heard(bot: Bot, event: Event) -> None:
    fields = json.loads(event.model_dump_json())
    if isinstance(event, GroupMessageEvent):
        fields |= {"plain": event.get_plaintext(), "quoted": event.reply and event.reply.message_id}
        fields["quoted_words"] = event.reply and event.reply.message.extract_plain_text()
    tell("event", kind=type(event).__name__, bot=bot.self_id, **fields)


@driver.on_bot_connect
async def _connected(bot: Bot) -> None:
    tell("connected", bot=bot.self_id)


@driver.on_bot_disconnect
async def _gone(bot: Bot) -> None:
    tell("disconnected", bot=bot.self_id)


async def _obey(command: Line) -> Any:
    bot = nonebot.get_bot(command["bot"])
    return await bot.call_api(command["action"], **command["params"])


@driver.on_startup
async def _ready() -> None:
    take_commands(asyncio.get_running_loop(), _obey)


nonebot.run()
