"""Reading a forum's topics: new answers, and by looking again edits, hidden, removed and returned posts.

A topic is read from its last page backwards: pages are counted over the posts that stand now, so that a removed post
moves the others up; going backwards none of them can slip through. A page beyond the end is the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from connectors import _discuz_wire as wire
from connectors._discuz_api import Api, Refused, SignInRefused, Unreadable
from connectors._discuz_state import Known, Shelf
from connectors._discuz_wire import Row, Topic
from connectors._limits import broken, id_of
from monitor.core.errors import ConnectorError, Malformed, RateLimited, Rejected, Unavailable
from monitor.core.model import Broken, PostKind, RawPost
from monitor.core.ports import Incoming

LAST_PAGE = 99_999
MOST_PAGES = 5_000
BATCH = 200
UNREADABLE = 3
"""Times that a topic's page is asked for before it counts as unreadable."""
GONE = frozenset({"thread_nonexistence", "post_not_found"})
_OURS, _UNSAID, _FAULTY = "-", "", "!"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to look at the lists, how often at everything of the last ``days``, how far back to begin."""

    quick: float
    again: float
    days: float
    history: float
    longest_wait: float


@dataclass(slots=True)
class Look:
    """What one look at a topic brought; ``whole`` down to ``floor``, a Unix time, or to its beginning."""

    tid: str
    topic: Topic | None
    rows: list[Row] = field(default_factory=list)
    faults: list[tuple[str, Any, Malformed]] = field(default_factory=list)
    is_whole: bool = False


async def page_of(api: Api, tid: str, page: int) -> tuple[Mapping[str, Any], str]:
    """Return one page of a topic, and the forum's message beside it."""
    answer = await api.ask("viewthread", tid=tid, page=page, ordertype=2)
    return answer.variables, answer.message


def before(variables: Mapping[str, Any], rows: Sequence[Any], page: int) -> int:
    """Return the number of the page before the one that ``rows`` stand on; 0 when that is the first."""
    per_page = max(wire.number_of(variables.get("ppp")) or 10, 1)
    floors = [n for row in rows if isinstance(row, dict) and (n := wire.number_of(row.get("number")))]
    last = max(floors, default=wire.count_of(variables))  # a pinned answer stands on more than one page
    return min((last - 1) // per_page + 1, page) - 1 if last else 0


async def pages_back(api: Api, tid: str) -> AsyncGenerator[tuple[Mapping[str, Any], list[Any]], None]:
    """Yield a topic's pages from the last to the first.

    Raises: Refused with the forum's message; Unavailable, RateLimited.
    """
    page = LAST_PAGE
    for _turn in range(MOST_PAGES):
        variables, message = await page_of(api, tid, page)
        rows = wire.rows_of(variables)
        if message and not (rows and message not in GONE):
            raise Refused(message, "to show a topic")
        yield variables, rows
        page = before(variables, rows, page)
        if page < 1:
            return


class Topics:
    """The topics of some forums of one site.

    Args:
        channel: name of the channel.
        site: address of the forum.
        fids: the forums that are read; a topic of another one is left alone.
        api: calls of the account.
        pace: how often to look.
    """

    def __init__(self, channel: str, site: str, fids: Sequence[int], api: Api, pace: Pace) -> None:
        self._channel = channel
        self._site = site
        self._fids = tuple(fids)
        self._api = api
        self._pace = pace
        self._shelf = Shelf()
        self._foreign: set[str] = set()
        self._hidden_by_us: set[str] = set()
        self._closed = asyncio.Event()
        self._told = ""
        self._failures = 0
        self._unread: Counter[str] = Counter()
        self.moderates: dict[int, bool] = {}

    def note_ours(self, pid: str) -> None:
        """Remember that we hid or removed a post ourselves."""
        self._hidden_by_us.add(pid)

    async def posts(self, cursor: str | None) -> AsyncGenerator[Incoming, None]:
        """Yield what is new after ``cursor`` until closed; waits and tries again by itself."""
        begin = int(datetime.now(UTC).timestamp() - self._pace.history * 86_400)
        self._shelf.load(cursor, begin)
        self._told = cursor or ""
        while not self._closed.is_set():
            try:
                async with aclosing(self._round()) as batches:
                    async for batch in batches:
                        yield batch
                self._failures, pause = 0, self._pace.quick
            except ConnectorError as error:
                pause = self._pause_after(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), max(pause, 0.001))

    def _pause_after(self, error: ConnectorError) -> float:
        longest = self._pace.longest_wait
        if isinstance(error, RateLimited):
            return max((error.retry_at - datetime.now(UTC)).total_seconds(), min(1.0, longest))
        if isinstance(error, (Rejected, SignInRefused)):
            return longest
        self._failures += 1
        return float(min(longest, 2.0 ** min(self._failures, 16) / 2))

    # --- one round -----------------------------------------------------------------------------------

    async def _round(self) -> AsyncGenerator[Incoming, None]:
        """Look at what has changed and say it; what was read before a failure is said before the failure."""
        looks, newest = list[Look](), dict[int, int]()
        failure: ConnectorError | None = None
        try:
            changed: dict[str, Topic] = {}
            for fid in self._fids:
                topics = await self._list(fid)
                newest[fid] = max((topic.last for topic in topics), default=0)
                changed |= {topic.tid: topic for topic in topics if self._has_changed(topic)}
            for topic in sorted(changed.values(), key=lambda one: one.last):
                looks.append(await self._try(topic.tid, topic))
            for tid in self._due(changed):
                looks.append(await self._try(tid, None))
        except ConnectorError as error:
            failure = error
        for batch in self._told_of(looks):
            yield batch
        if failure is not None:
            raise failure
        for fid, last in newest.items() if not self._unread else ():
            self._shelf.mark(fid, last)
        if (cursor := self._shelf.cursor()) != self._told:
            self._told = cursor
            yield Incoming((), cursor)

    async def _list(self, fid: int) -> list[Topic]:
        """Return the topics of a forum down to what the rounds before have seen."""
        bound, found = self._shelf.bound(fid), dict[str, Topic]()
        for page in range(1, MOST_PAGES):
            answer = await self._api.ask("forumdisplay", fid=fid, page=page, orderby="lastpost")
            if answer.message:  # an empty list may stand beside a refusal
                raise Refused(answer.message, "to show a forum")
            self.moderates[fid] = id_of(answer.variables.get("ismoderator")) == "1"
            topics = wire.topics_of(answer.variables)
            fresh = [topic for topic in topics if topic.tid not in found]
            found |= {topic.tid: topic for topic in fresh}
            if not fresh or any(topic.last < bound for topic in topics if not topic.pinned):
                break
        return [topic for topic in found.values() if topic.last >= bound]

    def _has_changed(self, topic: Topic) -> bool:
        known = self._shelf.known(topic.tid)
        is_new = (known.last, known.replies) != (topic.last, topic.replies)
        return is_new and topic.tid not in self._foreign

    def _due(self, but: Collection[str]) -> list[str]:
        now = asyncio.get_running_loop().time()
        return [tid for tid, one in self._shelf if one.posts and one.next_look <= now and tid not in but]

    # --- one topic -----------------------------------------------------------------------------------

    async def _try(self, tid: str, topic: Topic | None) -> Look:
        """Look at a topic; one whose page is no data for the third time is put aside, and the others go on."""
        try:
            look = await self._look(tid, topic)
        except Unreadable as error:
            self._unread[tid] += 1
            if self._unread[tid] < UNREADABLE:
                return Look(tid, None)
            look = Look(tid, topic)
            look.faults.append(
                ("", {"tid": tid}, Malformed("a page of the topic cannot be read", error.reason))
            )
        del self._unread[tid]
        return look

    async def _look(self, tid: str, topic: Topic | None) -> Look:
        """Read a topic back to what is known, or over all of the last days where that is due."""
        known, look, now = self._shelf.known(tid), Look(tid, topic), asyncio.get_running_loop().time()
        again = known.next_look <= now
        floor = self._window() if again and known.replies >= 0 else self._shelf.since
        try:
            async with aclosing(pages_back(self._api, tid)) as pages:
                async for variables, rows in pages:
                    if not self._is_own(variables):
                        self._foreign.add(tid)
                        return Look(tid, None)
                    read = self._read(look, variables, rows)
                    if read and max(row.at for row in read) < floor:
                        break
                    if not again and _reaches(read, known.position):
                        return look
        except Refused as error:
            if error.name not in GONE:
                return Look(tid, topic)  # we may not read this one: what it is about stays there
        look.is_whole = True
        return look

    def _window(self) -> int:
        return max(int(datetime.now(UTC).timestamp() - self._pace.days * 86_400), self._shelf.since)

    def _is_own(self, variables: Mapping[str, Any]) -> bool:
        topic = variables.get("thread")
        fid = topic.get("fid") if isinstance(topic, dict) else None
        found = wire.number_of(variables.get("fid") if fid is None else fid)
        return found is None or found in self._fids

    def _read(self, look: Look, variables: Mapping[str, Any], rows: Sequence[Any]) -> list[Row]:
        subject, read = wire.subject_of(variables), list[Row]()
        for row in rows:
            if wire.is_hole(row):
                continue
            try:
                read.append(wire.read_row(self._channel, self._site, look.tid, subject, row))
            except Malformed as error:
                look.faults.append((wire.pid_of(row) or "", row, error))
        look.rows += read
        return read

    # --- what is said of it --------------------------------------------------------------------------

    def _told_of(self, looks: Sequence[Look]) -> list[Incoming]:
        """Turn looks into batches, posts in the order of their times, each with the cursor after it."""
        batches, items = list[Incoming](), list[RawPost | Broken]()

        def flush() -> None:
            if items:
                self._told = self._shelf.cursor()
                batches.append(Incoming(tuple(items), self._told))
                items.clear()

        rows = [(row.at, int(row.pid), row, look) for look in looks for row in look.rows]
        for _at, _pid, row, look in sorted(rows, key=lambda each: each[:2]):
            items += self._say(look.tid, row)
            if len(items) >= BATCH:
                flush()
        for look in looks:
            items += self._faults_of(look)
            items += self._settle(look)
        flush()
        return batches

    def _known(self, tid: str) -> Known:
        known = self._shelf.known(tid)
        self._shelf.keep(tid, known)
        return known

    def _say(self, tid: str, row: Row) -> list[RawPost]:
        """Return what a post says that was not said before, and remember it."""
        known = self._known(tid)
        found = known.posts.get(row.pid)
        if found is None:
            is_old = row.position <= known.position and row.at < self._window()
            known.position = max(known.position, row.position)
            if is_old or row.at < self._shelf.since:
                return []
            return self._first_words(known, row)
        return self._later_words(known, row, found[1])

    def _first_words(self, known: Known, row: Row) -> list[RawPost]:
        if self._api.uid and row.post.author == self._api.uid:
            known.posts[row.pid] = (row.at, _OURS)
            return []
        if row.hidden:
            known.posts[row.pid] = (row.at, _UNSAID)
            known.hidden.add(row.pid)
            return []
        known.posts[row.pid] = (row.at, row.digest)
        return [row.post]

    def _later_words(self, known: Known, row: Row, digest: str) -> list[RawPost]:
        if digest in (_OURS, _FAULTY):
            return []
        if row.hidden:
            is_news = row.pid not in known.hidden
            known.hidden.add(row.pid)
            return (
                [wire.notice(row.post, PostKind.REMOVAL, self._who(row.pid, "moderator"))] if is_news else []
            )
        said = list[RawPost]()
        if row.pid in known.hidden:
            known.hidden.discard(row.pid)
            self._hidden_by_us.discard(row.pid)
            if digest == _UNSAID:
                said.append(row.post)
            else:
                said.append(wire.notice(row.post, PostKind.RESTORE))
        if digest not in (_UNSAID, row.digest):
            said.append(_edit(row.post))
        known.posts[row.pid] = (row.at, row.digest)
        return said

    def _who(self, pid: str, other: str | None) -> str | None:
        return "self" if pid in self._hidden_by_us else other

    def _faults_of(self, look: Look) -> list[Broken]:
        told = list[Broken]()
        for pid, row, error in look.faults:
            text = json.dumps(row, ensure_ascii=False, default=str)
            if pid:
                self._known(look.tid).posts.setdefault(pid, (self._window(), _FAULTY))
            if self._shelf.note_fault(wire.digest_of(f"{look.tid}\0{pid or text}")):
                told.append(broken(self._channel, error, text, f"{look.tid}:{pid}" if pid else look.tid))
        return told

    def _settle(self, look: Look) -> list[RawPost]:
        """Close a look: what was absent twice from a whole one is gone."""
        if look.topic is None and not look.is_whole:
            return []
        known, said = self._known(look.tid), list[RawPost]()
        if look.is_whole:
            said = self._compare(look, known)
            known.next_look = asyncio.get_running_loop().time() + self._pace.again
        if look.topic is not None:
            known.last, known.replies = look.topic.last, look.topic.replies
        known.forget(self._window())
        return said

    def _compare(self, look: Look, known: Known) -> list[RawPost]:
        there = {row.pid for row in look.rows} | {pid for pid, _row, _error in look.faults}
        window = self._window()
        absent = {
            pid
            for pid, (at, digest) in known.posts.items()
            if pid not in there and at >= window and pid not in known.hidden and digest != _OURS
        }
        gone = {pid for pid in absent if pid in known.missing or pid in self._hidden_by_us}
        known.missing = absent - gone
        known.hidden |= gone
        return [self._gone(look.tid, pid) for pid in sorted(gone, key=int) if known.posts[pid][1] != _FAULTY]

    def _gone(self, tid: str, pid: str) -> RawPost:
        handle = str(wire.Place(tid, pid))
        by = self._who(pid, None)
        return RawPost(
            self._channel,
            pid,
            "",
            PostKind.REMOVAL,
            posted_at=datetime.now(UTC),
            thread=tid,
            handle=handle,
            by=by,
        )

    # --- for others ----------------------------------------------------------------------------------

    async def rows_back(self, tid: str, until: Callable[[Row], bool]) -> list[Row]:
        """Return the last posts of a topic, newest page first, down to the page where ``until`` says enough.

        Raises: Unavailable, RateLimited, Refused.
        """
        look = Look(tid, None)
        async with aclosing(pages_back(self._api, tid)) as pages:
            async for variables, rows in pages:
                if any(until(row) for row in self._read(look, variables, rows)):
                    break
        return look.rows

    async def row_of(self, place: wire.Place) -> Row | None:
        """Return one post as it stands now, or None when it is not there any more.

        Raises: Unavailable, RateLimited, Refused when the topic may not be read.
        """
        answer = await self._api.ask("viewthread", tid=place.tid, viewpid=place.pid)
        if answer.message in GONE:
            return None
        subject = wire.subject_of(answer.variables)
        for row in wire.rows_of(answer.variables):
            if wire.pid_of(row) == place.pid:
                try:
                    return wire.read_row(self._channel, self._site, place.tid, subject, row)
                except Malformed:
                    raise Unavailable("the forum does not show the post readably") from None
        if answer.message:
            raise Refused(answer.message, "to show the post")
        raise Unavailable("the forum does not show the post")

    async def try_all(self) -> list[str]:
        """Return each forum's name, and note whether the account moderates it.

        Raises: Unavailable, RateLimited, Refused.
        """
        found = []
        for fid in self._fids:
            answer = await self._api.ask("forumdisplay", fid=fid, page=1, orderby="lastpost")
            forum = answer.variables.get("forum")
            if answer.message or not isinstance(forum, dict):
                raise Refused(answer.message, f"to show the forum {fid}")
            self.moderates[fid] = id_of(answer.variables.get("ismoderator")) == "1"
            found.append(id_of(forum.get("name")) or str(fid))
        return found

    def close(self) -> None:
        """End :meth:`posts`."""
        self._closed.set()


def _reaches(rows: Sequence[Row], position: int) -> bool:
    """Say whether a page holds the last place that is known, or only earlier ones."""
    places = [row.position for row in rows]
    return bool(places) and (position in places or max(places) <= position)


def _edit(post: RawPost) -> RawPost:
    return replace(post, kind=PostKind.EDIT)


__all__ = ["GONE", "Pace", "Topics"]
