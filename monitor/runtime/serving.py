"""The service process: HTTP, intake and dispatch together, because they share the connectors and their sockets."""

from __future__ import annotations

import asyncio
import gc
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import web

from monitor import logs
from monitor.bootstrap import App
from monitor.core.errors import ConfigError
from monitor.runtime import notify, service
from monitor.runtime.dispatch import Dispatcher
from monitor.runtime.intake import Intake
from monitor.runtime.parts import BEAT_SECONDS, Pulse

THREADS: Final = 16
SENDING_GRACE: Final = 4.0
CLOSING_GRACE: Final = 3.0
_log = logs.get("service")


async def serve(app: App, stop: asyncio.Event) -> None:
    """Serve until ``stop``; a loop that breaks ends the process, so that the supervisor starts it anew.

    Raises: ConfigError when the address is taken.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "store"))
    runner = web.AppRunner(service.create(app), access_log=None, shutdown_timeout=CLOSING_GRACE)
    await runner.setup()
    try:
        await _open(runner, app)
        await _run_loops(app, stop)
    finally:
        await runner.cleanup()
    for part in ("service", "dispatcher"):
        await asyncio.to_thread(Pulse(app, part).beat, "stopped", now=True)


async def _open(runner: web.AppRunner, app: App) -> None:
    host, port = app.config.service.host, app.config.service.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(
            f"the service cannot listen on {host}:{port} ({error.strerror}); end what uses it or choose another --port"
        ) from None
    _log.info("service.started", port=port, safe=app.safe)


async def _beat(app: App, part: str) -> None:
    pulse = Pulse(app, part)
    while True:
        await asyncio.to_thread(pulse.beat, now=True)
        await asyncio.sleep(BEAT_SECONDS)


async def _run_loops(app: App, stop: asyncio.Event) -> None:
    """Run intake and dispatch until ``stop``, let what is being sent finish, end them; raises what broke a loop."""
    dispatcher = Dispatcher(app)
    sending = asyncio.create_task(_hold(stop) if app.safe else dispatcher.run())
    beating = ["service"] if app.safe else ["service", "dispatcher"]
    telling = _hold(stop) if app.safe else notify.run(app)
    loops = [Intake(app).run(), telling, *(_beat(app, part) for part in beating)]
    others = [asyncio.create_task(loop) for loop in loops]
    stopping = asyncio.create_task(_hold(stop))
    done, _pending = await asyncio.wait({stopping, sending, *others}, return_when=asyncio.FIRST_COMPLETED)
    dispatcher.stop()
    await asyncio.wait({sending}, timeout=SENDING_GRACE)
    for task in (stopping, sending, *others):
        task.cancel()
    await asyncio.gather(stopping, sending, *others, return_exceptions=True)
    for task in done:
        task.result()


async def _hold(stop: asyncio.Event) -> None:
    await stop.wait()


def run(app: App) -> None:
    """Run the service in this process until SIGINT or SIGTERM."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.freeze()
        await serve(app, stop)

    asyncio.run(main())


__all__ = ["run", "serve"]
