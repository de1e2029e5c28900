"""Channels, quarantine, accounts and what keeps the service running."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, and_, delete, func, or_, select, update
from sqlalchemy import case as when

from monitor.adapters.sql.dialect import alone, insert, put, put_once
from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import (
    ACCOUNT,
    PARKED,
    PART,
    SESSION,
    dump_roles,
    micros,
    moment_or_none,
)
from monitor.adapters.sql.tables import (
    account,
    api_token,
    channel,
    draft,
    failure,
    original,
    part,
    quarantine,
    remembered,
    session,
    setting,
)
from monitor.core.errors import NotFound
from monitor.core.model import Account, Broken, Role
from monitor.core.ports import ChannelConfig, ChannelStatus, PartStatus, QuarantineItem, SignInSession

_FAILURES_KEPT = timedelta(days=1)
_BLANK: dict[str, Any] = {"type": "", "capabilities": "", "paused": 0, "received": 0, "quarantined": 0}
_HOUR = 3_600_000_000


class SqlChannels:
    """Cursors and the life of channels; a channel that was never declared gets its row on first use."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def cursor(self, channel: str) -> str | None:
        """Return where the source stands."""
        found = self._link.value(select(_CHANNEL.c.cursor).where(_CHANNEL.c.name == channel))
        return None if found is None else str(found)

    def set_cursor(self, channel: str, value: str | None) -> None:
        """Write where the source stands; None forgets it."""
        self._set(channel, cursor=value)

    def _set(self, name: str, **values: Any) -> None:
        row = insert(self._link, channel).values({**_BLANK, "name": name})
        self._link.run(row.on_conflict_do_nothing())
        self._link.run(update(channel).where(channel.c.name == name).values(values))

    def declare(self, config: ChannelConfig, capabilities: Sequence[str]) -> None:
        """Write what is configured; the cursor and the counters stay. Settings are not stored: they hold secrets."""
        row = {"type": config.type, "unit": config.unit, "paused": int(config.paused)}
        self._set(config.name, **row, capabilities=",".join(sorted(map(str, capabilities))))

    def remove(self, name: str) -> None:
        """Forget a channel with its cursor; its posts stay."""
        self._link.run(delete(channel).where(channel.c.name == name))

    def set_paused(self, name: str, paused: bool) -> None:
        """Pause or resume a channel; raises NotFound."""
        if not self._link.changed(update(channel).where(channel.c.name == name).values(paused=int(paused))):
            raise NotFound("there is no such channel; `huiyin channel list` names them")

    def note_ok(
        self, name: str, now: datetime, posts: int, quarantined: int, lag: timedelta | None = None
    ) -> None:
        """Write that the source answered, what came, and how long the last post was on its way."""
        at = micros(now)
        values: dict[str, Any] = {"last_ok_at": at, "last_error": None, "next_retry_at": None}
        values |= _counted(at, oks=1)
        if posts:
            values["last_post_at"] = at
        if lag is not None:
            values["lag"] = int(lag.total_seconds() * 1_000_000)
        values["received"] = channel.c.received + posts
        values["quarantined"] = channel.c.quarantined + quarantined
        self._set(name, **values)

    def note_error(self, name: str, now: datetime, error: str, retry_at: datetime | None) -> None:
        """Write that the source failed at ``now`` and when it is tried again."""
        counted = _counted(micros(now), failures=1)
        self._set(name, last_error=error, next_retry_at=micros(retry_at or now), **counted)

    def status(self) -> list[ChannelStatus]:
        """Return every channel by name."""
        hour = self._link.now() // _HOUR
        rows = self._link.all(select(channel).order_by(channel.c.name))
        return [_status(row, hour) for row in rows]


def _counted(at: int, oks: int = 0, failures: int = 0) -> dict[str, Any]:
    """Return what counts a try in the hour of ``at``; the hour before it is kept beside it, older ones are forgotten."""
    hour, c = at // _HOUR, _CHANNEL.c
    values: dict[str, Any] = {"hour": hour}
    for name, more in (("oks", oks), ("failures", failures)):
        now, before = c[name], c[f"{name}_before"]
        values[name] = when((c.hour == hour, now + more), else_=more)
        values[f"{name}_before"] = when((c.hour == hour, before), (c.hour == hour - 1, now), else_=0)
    return values


def _tries(row: Any, hour: int) -> tuple[int, int]:
    """Return tries and failures within this hour and the one before it."""
    now = (row.oks, row.failures) if row.hour in (hour, hour - 1) else (0, 0)
    before = (row.oks_before, row.failures_before) if row.hour == hour else (0, 0)
    return sum(now) + sum(before), now[1] + before[1]


_CHANNEL = channel
"""The table under a second name, for methods whose parameter is called ``channel``."""


def _status(row: Any, hour: int) -> ChannelStatus:
    if row.paused:
        state = "paused"
    elif row.last_error is not None:
        state = "failing"
    else:
        state = "ok" if row.last_ok_at is not None else "idle"
    tries, failures = _tries(row, hour)
    return ChannelStatus(
        name=row.name,
        type=row.type,
        state=state,
        last_post_at=moment_or_none(row.last_post_at),
        last_ok_at=moment_or_none(row.last_ok_at),
        last_error=row.last_error,
        next_retry_at=moment_or_none(row.next_retry_at),
        received=row.received,
        quarantined=row.quarantined,
        capabilities=tuple(name for name in row.capabilities.split(",") if name),
        lag=None if row.lag is None else timedelta(microseconds=row.lag),
        tries=tries,
        failures=failures,
    )


class SqlQuarantine:
    """What could not be read; the bytes are sealed by the caller."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, item: Broken, sealed: bytes, now: datetime) -> int:
        """Park an item; returns its id."""
        row: dict[str, Any] = {
            "channel": item.channel,
            "reason": item.reason,
            "message": item.message,
            "position": item.position,
        }
        row |= {"at": micros(now), "size": len(item.payload), "sealed": sealed}
        return self._link.id_of(quarantine.insert().values(row))

    def page(self, after: int | None, limit: int) -> list[QuarantineItem]:
        """Return items newest first; ``after`` is the last id of the previous page."""
        query = select(*PARKED.columns).order_by(quarantine.c.id.desc()).limit(limit)
        query = query if after is None else query.where(quarantine.c.id < after)
        return [PARKED.load(row) for row in self._link.all(query)]

    def payload(self, item_id: int) -> bytes:
        """Return the sealed bytes; raises NotFound."""
        found = self._link.value(select(quarantine.c.sealed).where(quarantine.c.id == item_id))
        if found is None:
            raise NotFound("there is no such item in the quarantine")
        return bytes(found)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (channel, reason) -> number."""
        by = (quarantine.c.channel, quarantine.c.reason)
        return {(row[0], row[1]): row[2] for row in self._link.all(select(*by, func.count()).group_by(*by))}


class SqlAccounts:
    """Accounts, sessions, tokens, failures and drafts."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, account: Account, password_hash: str) -> None:
        """Store an account; raises Conflict when the login is taken."""
        row = ACCOUNT.dump(account) | {"password_hash": password_hash}
        self._link.run(ACCOUNT.table.insert().values(row))

    def get(self, login: str) -> Account:
        """Return one account; raises NotFound."""
        found = self._link.first(select(*ACCOUNT.columns).where(account.c.login == login))
        if found is None:
            raise NotFound("there is no such account; `huiyin user list` names them")
        return ACCOUNT.load(found)

    def all(self) -> list[Account]:
        """Return every account by login."""
        return [
            ACCOUNT.load(row) for row in self._link.all(select(*ACCOUNT.columns).order_by(account.c.login))
        ]

    def password_hash(self, login: str) -> str | None:
        """Return the stored hash, or None for an unknown login."""
        return self._text(account.c.password_hash, account.c.login == login)

    def _text(self, wanted: Column[Any], *where: Any) -> str | None:
        found = self._link.value(select(wanted).where(*where))
        return None if found is None else str(found)

    def _change(self, login: str, **values: Any) -> None:
        if not self._link.changed(update(account).where(account.c.login == login).values(values)):
            raise NotFound("there is no such account; `huiyin user list` names them")

    def set_password(self, login: str, password_hash: str) -> None:
        """Write another hash; raises NotFound."""
        self._change(login, password_hash=password_hash)

    def set_roles(self, login: str, roles: frozenset[Role]) -> None:
        """Write other roles; raises NotFound."""
        self._change(login, roles=dump_roles(roles))

    def set_active(self, login: str, active: bool) -> None:
        """Open or close an account; raises NotFound."""
        self._change(login, active=int(active))

    def add_session(self, session: SignInSession) -> None:
        """Store a session."""
        self._link.run(SESSION.table.insert().values(SESSION.dump(session)))

    def session(self, sid_hash: str) -> SignInSession | None:
        """Return a session."""
        found = self._link.first(select(*SESSION.columns).where(SESSION.table.c.sid_hash == sid_hash))
        return None if found is None else SESSION.load(found)

    def touch_session(self, sid_hash: str, now: datetime) -> None:
        """Write that a session was used."""
        seen = update(SESSION.table).where(SESSION.table.c.sid_hash == sid_hash)
        self._link.run(seen.values(seen_at=micros(now)))

    def end_session(self, sid_hash: str) -> None:
        """Forget a session."""
        self._link.run(delete(session).where(session.c.sid_hash == sid_hash))

    def end_sessions(self, login: str) -> None:
        """Forget every session of an account."""
        self._link.run(delete(session).where(session.c.login == login))

    def add_api_token(self, digest: str, login: str, name: str, now: datetime) -> None:
        """Store the digest of a program's token."""
        row = {"digest": digest, "login": login, "name": name, "created_at": micros(now)}
        self._link.run(api_token.insert().values(row))

    def api_token(self, digest: str) -> str | None:
        """Return the login that a program's token acts as."""
        return self._text(api_token.c.login, api_token.c.digest == digest)

    def note_failure(self, key: str, now: datetime) -> None:
        """Write a failed try; those older than a day are forgotten. One transaction at a time counts under a key."""
        alone(self._link, f"tries of {key}")
        self._link.run(
            delete(failure).where(failure.c.key == key, failure.c.at < micros(now - _FAILURES_KEPT))
        )
        self._link.run(failure.insert().values(key=key, at=micros(now)))

    def failures(self, key: str, since: datetime) -> int:
        """Return the number of failed tries since a moment."""
        late = (
            select(func.count())
            .select_from(failure)
            .where(failure.c.key == key, failure.c.at >= micros(since))
        )
        return int(self._link.value(late))

    def clear_failures(self, key: str) -> None:
        """Forget failed tries."""
        self._link.run(delete(failure).where(failure.c.key == key))

    def draft(self, login: str, key: str) -> str:
        """Return unsent words of an account, or an empty text."""
        return self._text(draft.c.text, draft.c.login == login, draft.c.key == key) or ""

    def set_draft(self, login: str, key: str, text: str, now: datetime) -> None:
        """Keep unsent words; an empty text forgets them."""
        if text:
            put(self._link, draft, {"login": login, "key": key, "text": text, "at": micros(now)})
        else:
            self._link.run(delete(draft).where(draft.c.login == login, draft.c.key == key))


class SqlOperations:
    """Heartbeats, idempotency keys and settings."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def beat(self, part: PartStatus) -> None:
        """Write how a part is doing."""
        put(self._link, PART.table, PART.dump(part))

    def parts(self) -> list[PartStatus]:
        """Return every part by name."""
        return [PART.load(row) for row in self._link.all(select(*PART.columns).order_by(part.c.name))]

    def remembered(self, key: str, login: str) -> str | None:
        """Return the stored answer for an Idempotency-Key of this login."""
        c = remembered.c
        found = self._link.value(select(c.answer).where(c.key == key, c.login == login))
        return None if found is None else str(found)

    def remember(self, key: str, login: str, answer: str, now: datetime) -> None:
        """Store an answer; the first one under a key stays."""
        put_once(self._link, remembered, [{"key": key, "login": login, "answer": answer, "at": micros(now)}])

    def setting(self, key: str) -> str | None:
        """Return a stored setting."""
        found = self._link.value(select(setting.c.value).where(setting.c.key == key))
        return None if found is None else str(found)

    def set_setting(self, key: str, value: str) -> None:
        """Write a setting."""
        put(self._link, setting, {"key": key, "value": value})

    def expire(self, what: str, before: datetime, *, dry_run: bool) -> int:
        """Delete what is older than ``before`` of one kind; see :class:`monitor.core.ports.Operations`."""
        table, at, *more = _EXPIRING[what]
        old = and_(at < micros(before), *more)
        if dry_run:
            return int(self._link.value(select(func.count()).select_from(table).where(old)))
        return self._link.changed(delete(table).where(old))


_EXPIRING: dict[str, tuple[Any, ...]] = {
    "originals": (original, original.c.at),
    "idempotency": (
        remembered,
        remembered.c.at,
        or_(*(remembered.c.key.like(form) for form in ("http:%", "http-answer:%", "said:____-__-__:%"))),
    ),
    "quarantine": (quarantine, quarantine.c.at),
    "sessions": (session, session.c.seen_at),
    "failures": (failure, failure.c.at),
}
"""What expires: its table, the column of its age, and what else must hold. That the same words stand in a thread
already (``said:`` and a digest) is never forgotten: an answer is said there once."""


__all__ = ["SqlAccounts", "SqlChannels", "SqlOperations", "SqlQuarantine"]
