"""Telling the staff: one loop per notifier, each on its own, none of them in the way of anything else.

A loop looks into the store for what is new, takes a message when one is due, sends it and writes the outcome. What
fails is written down and tried again later; the other notifiers, the intake and the dispatcher notice nothing of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from monitor import logs
from monitor.adapters.guard import GuardedNotifier
from monitor.bootstrap import App, build_notifier
from monitor.config import Config, Notifier
from monitor.core.errors import (
    ConfigError,
    ConnectorError,
    HuiyinError,
    PluginError,
    RateLimited,
    Rejected,
    Unavailable,
)
from monitor.core.workdays import SHANGHAI
from monitor.runtime.intake import pause_after
from monitor.usecases import alerts
from monitor.usecases.alerts import Due, Wanted

LOOK_SECONDS: Final = 10.0
PRUNE_SECONDS: Final = 86_400.0
_log = logs.get("notify")


def screens_of(config: Config) -> str:
    """Return the address of the screens, as far as the configuration tells it."""
    host, ui = config.ui.host, config.ui
    here = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104
    if ui.allowed_hosts:
        return f"https://{ui.allowed_hosts[0]}{ui.base_path}"
    return f"http://{f'[{here}]' if ':' in here else here}:{ui.port}{ui.base_path}"


def link_of(config: Config, declared: Notifier) -> str:
    """Return where a message of this notifier leads."""
    return declared.link or screens_of(config)


class Teller:
    """One notifier at work.

    Args:
        app: the application.
        declared: the notifier as configured.
        make: makes its plug-in; raises ConfigError, PluginError.
    """

    def __init__(
        self, app: App, declared: Notifier, make: Callable[[Config, str], GuardedNotifier] = build_notifier
    ) -> None:
        self._app = app
        self._declared = declared
        self._make = make
        self._notifier: GuardedNotifier | None = None
        self.sent = 0

    def _wanted(self) -> Wanted:
        declared = self._declared
        at = self._app.deps.clock.now().astimezone(SHANGHAI).time()
        known = self._notifier is not None and self._notifier.is_idempotent
        return Wanted(
            name=declared.name,
            kinds=declared.tells,
            allowed=declared.allowed(at),
            gather=timedelta(seconds=declared.gather_seconds),
            patience=timedelta(minutes=declared.down_minutes),
            link=link_of(self._app.config, declared),
            is_idempotent=known or declared.repeat_unsure,
        )

    async def run(self) -> None:
        """Look and send until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    taken = await self.round()
                    failures = 0
                except HuiyinError as error:
                    failures += 1
                    _log.warning("notify.failed", notifier=self._declared.name, code=error.code)
                    await asyncio.sleep(pause_after(failures))
                    continue
                await asyncio.sleep(alerts.PACE.total_seconds() if taken else LOOK_SECONDS)
        finally:
            if self._notifier is not None:
                await self._notifier.close()

    async def round(self) -> bool:
        """Look once and send what is due; says whether a message was taken. Raises StoreError, ConfigError, PluginError."""
        notifier = await self._made()
        wanted = self._wanted()
        await asyncio.to_thread(alerts.look, self._app.deps, wanted)
        due = await asyncio.to_thread(alerts.take, self._app.deps, wanted)
        if due is None:
            return False
        outcome = await self._send(notifier, wanted, due)
        _log.info("notify.settled", notifier=wanted.name, message=due.delivery.id, outcome=outcome)
        return True

    async def _made(self) -> GuardedNotifier:
        """Return the plug-in; that it cannot be made is written down for the health screen."""
        if self._notifier is None:
            name, deps = self._declared.name, self._app.deps
            try:
                self._notifier = await asyncio.to_thread(self._make, self._app.config, name)
            except (ConfigError, PluginError) as error:
                await asyncio.to_thread(alerts.note_trouble, deps, name, error.code)
                raise
            await asyncio.to_thread(alerts.note_trouble, deps, name, "")
        return self._notifier

    async def _send(self, notifier: GuardedNotifier, wanted: Wanted, due: Due) -> str:
        deps = self._app.deps
        try:
            await notifier.send(due.message)
        except RateLimited as error:
            await asyncio.to_thread(alerts.later, deps, wanted, due, error.code, error.retry_at)
            return error.code
        except Unavailable as error:
            await asyncio.to_thread(alerts.later, deps, wanted, due, error.code)
            return error.code
        except Rejected as error:
            await asyncio.to_thread(alerts.later, deps, wanted, due, error.code, refused=True)
            return error.code
        except ConnectorError as error:
            await asyncio.to_thread(alerts.perhaps, deps, wanted, due, error.code)
            return error.code
        self.sent += 1
        await asyncio.to_thread(alerts.sent, deps, due)
        return "sent"


async def run(app: App) -> None:
    """Tell the staff through every declared notifier until cancelled; one that is misconfigured says so and is tried again."""
    declared = [one for one in app.config.notifiers.values() if not one.paused]
    if not declared:
        await asyncio.Event().wait()
    tellers = [asyncio.create_task(Teller(app, one).run()) for one in declared]
    tellers.append(asyncio.create_task(_prune(app)))
    try:
        await asyncio.gather(*tellers)
    finally:
        for task in tellers:
            task.cancel()
        await asyncio.gather(*tellers, return_exceptions=True)


async def _prune(app: App) -> None:
    while True:
        with contextlib.suppress(HuiyinError):
            await asyncio.to_thread(alerts.prune, app.deps)
        await asyncio.sleep(PRUNE_SECONDS)


__all__ = ["Teller", "link_of", "run", "screens_of"]
