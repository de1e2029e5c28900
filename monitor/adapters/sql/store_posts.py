"""Posts, the jobs that wait for their reading, and the readings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from monitor.adapters.sql.dialect import add_terms, alone, among, put_once, searched, take_ids
from monitor.adapters.sql.link import Link
from monitor.adapters.sql.rows import (
    BITS,
    POST,
    micros,
    moment,
    reading_row,
    to_json,
    to_post,
    to_reading,
)
from monitor.adapters.sql.tables import (
    contact,
    identity,
    job,
    model_set,
    original,
    post,
    post_receipt,
    reading,
    tombstone,
)
from monitor.core.errors import NotFound, StoreError
from monitor.core.model import BINARY_LABELS, Label, NewPost, Post, PostKind, Reading, SourceState
from monitor.core.ports import Job, Outcome, PostFilter, Stored

_NOTICES = {PostKind.REMOVAL: SourceState.REMOVED, PostKind.RESTORE: SourceState.VISIBLE}
# --- statements that run once per row: kept here, so that each is compiled once -----------------------

_ONE: BindParameter[int] = bindparam("one")
_INSERT = post.insert()
_SUPERSEDE = update(post).where(post.c.id == _ONE).values(newest=0)
_REGROUP = update(post).where(post.c.id == _ONE).values(group_id=bindparam("many"))
_WAIT = job.insert().values(due_at=0, attempt=0)
_DONE = delete(job).where(job.c.post_id == _ONE)
_GIVE_BACK = (
    update(job)
    .where(job.c.post_id == _ONE)
    .values(due_at=bindparam("due"), lease_by=None, error=bindparam("why"))
)
_FORGET = delete(reading).where(reading.c.post_id == _ONE, reading.c.set_id == bindparam("other"))
_OUTDATE = update(reading).where(reading.c.post_id == _ONE).values(current=0)
_READ = reading.insert()

# --- filters, shared with the trends ---------------------------------------------------------------


def narrow(link: Link, where: PostFilter) -> tuple[FromClause, ColumnElement[int], list[Any]]:
    """Return what to select from, the id to order by and the conditions of a filter, over newest revisions."""
    query = (where.query or "").strip()
    source: FromClause = post
    number: ColumnElement[int] = post.c.id
    conditions: list[Any] = [post.c.newest == 1]
    if query:
        source, number, found = searched(link, query)
        conditions.append(found)
    if where.label or where.topic or where.sentiment:
        source = source.join(reading, current_reading())
    return source, number, conditions + _conditions(where)


def current_reading() -> Any:
    """Return the condition that joins a post with its current reading."""
    return and_(reading.c.post_id == post.c.id, reading.c.current == 1)


def flagged(label: str) -> Any:
    """Return the condition that a reading flags ``label``; raises StoreError for what is not a label."""
    try:
        bit = BITS[Label(label)]
    except ValueError:
        known = ", ".join(one.value for one in BINARY_LABELS)
        raise StoreError(f"no such label; the labels are {known}") from None
    return reading.c.flags.op("&")(bit) != 0


def _conditions(where: PostFilter) -> list[Any]:
    equal = {
        post.c.channel: where.channel,
        post.c.unit: where.unit,
        post.c.group_id: where.group_id,
        reading.c.topic: where.topic,
        reading.c.sentiment: where.sentiment,
    }
    conditions: list[Any] = [column == value for column, value in equal.items() if value is not None]
    if where.label is not None:
        conditions.append(flagged(where.label))
    if where.since is not None:
        conditions.append(post.c.posted_at >= micros(where.since))
    if where.until is not None:
        conditions.append(post.c.posted_at < micros(where.until))
    return conditions


# --- adding ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Message:
    """What is known of one message while a batch is placed: digest -> post id, and its newest revision."""

    digests: dict[str, int]
    revisions: set[int]
    newest: int
    edited: bool
    posted_at: int
    state: str
    state_at: int | None
    removed_by: str | None = None


@dataclass(slots=True)
class _Plan:
    """What a run of posts will write."""

    rows: list[dict[str, Any]]
    superseded: list[int]
    announced: dict[tuple[str, str], list[Any]]


_KEPT = {f.name for f in fields(Post)} & {f.name for f in fields(NewPost)} - {"received_at", "posted_at"}
_MESSAGE = (
    post.c.channel,
    post.c.external_id,
    post.c.id,
    post.c.revision,
    post.c.newest,
    post.c.edit,
    post.c.digest,
    post.c.posted_at,
    post.c.source_state,
    post.c.source_state_at,
    post.c.removed_by,
)


class SqlPosts:
    """Posts over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    # adding

    def add(self, posts: Sequence[NewPost]) -> list[Stored]:
        """Store a batch in order; see :class:`monitor.core.ports.Posts`."""
        for name in sorted({item.channel for item in posts}):
            alone(self._link, f"posts of {name}")
        done: list[Stored] = []
        for notices, run in groupby(posts, key=lambda item: item.kind in _NOTICES):
            items = list(run)
            done += [self._mark(item) for item in items] if notices else self._add_run(items)
        return done

    def _add_run(self, items: Sequence[NewPost]) -> list[Stored]:
        known = self._known(items)
        fresh = [item for item in items if item.digest not in _digests(known, item)]
        edits = [item for item in items if item.kind is PostKind.EDIT]
        ids = iter(take_ids(self._link, "post", len(fresh) + len(edits)))
        plan = _Plan([], [], self._announced(fresh))
        placed = [self._place(item, known, ids, plan) for item in items]
        self._write(plan, items, placed)
        return self._answers(plan, placed)

    def _known(self, items: Sequence[NewPost]) -> dict[tuple[str, str], _Message]:
        known: dict[tuple[str, str], _Message] = {}
        for name in {item.channel for item in items}:
            wanted = {item.external_id for item in items if item.channel == name}
            where = and_(post.c.channel == name, among(self._link, post.c.external_id, wanted))
            for row in self._link.all(select(*_MESSAGE).where(where).order_by(post.c.id)):
                _remember(known, row)
        return known

    def _place(
        self, item: NewPost, known: dict[tuple[str, str], _Message], ids: Iterator[int], plan: _Plan
    ) -> tuple[Outcome, int]:
        """Decide what becomes of one item and note what it writes; returns the outcome and the post it is about."""
        key, posted_at = (item.channel, item.external_id), micros(item.posted_at)
        message = known.get(key)
        if message is None:
            announced = self._tombstone(item, plan)
            edited = item.kind is PostKind.EDIT
            message = _Message({}, set(), 0, edited, posted_at, *announced)
            known[key] = message
            revision, newest, outcome = 2 if edited else 1, True, Outcome.NEW
        elif _seen(item, message, posted_at):
            return Outcome.DUPLICATE, message.digests[item.digest]
        else:
            revision, newest, outcome = _next(item, message, posted_at)
        post_id = next(ids)
        if newest:
            if message.newest:
                plan.superseded.append(message.newest)
            message.newest, message.edited, message.posted_at = post_id, item.kind is PostKind.EDIT, posted_at
        message.digests[item.digest] = post_id
        message.revisions.add(revision)
        plan.rows.append(_row(item, post_id, revision, newest, message))
        return outcome, post_id

    def _announced(self, items: Sequence[NewPost]) -> dict[tuple[str, str], list[Any]]:
        """Return what was said about messages before they came, by channel and key."""
        found: dict[tuple[str, str], list[Any]] = {}
        if not items or not self._link.value(select(exists().select_from(tombstone))):
            return found
        for name in {item.channel for item in items}:
            keys = {key for i in items if i.channel == name for key in (i.external_id, i.handle) if key}
            here = and_(tombstone.c.channel == name, among(self._link, tombstone.c.key, keys))
            for row in self._link.all(select(tombstone).where(here)):
                found.setdefault((name, row.key), []).append(row)
        return found

    def _tombstone(self, item: NewPost, plan: _Plan) -> tuple[str, int | None, str | None]:
        """Return the state, its time and who did it, as it was announced before the post came, and forget the announcement."""
        about = [
            *plan.announced.get((item.channel, item.external_id), ()),
            *(
                row
                for row in plan.announced.get((item.channel, item.handle or ""), ())
                if row.thread in ("", item.thread or "") or item.thread is None
            ),
        ]
        if not about:
            return SourceState.VISIBLE.value, None, None
        last, c = max(about, key=lambda row: row.at), tombstone.c
        for row in about:
            gone = and_(c.channel == row.channel, c.key == row.key, c.thread == row.thread)
            self._link.run(delete(tombstone).where(gone))
        return last.state, last.at, last.by

    def _write(self, plan: _Plan, items: Sequence[NewPost], placed: Sequence[tuple[Outcome, int]]) -> None:
        link, rows = self._link, plan.rows
        if not rows:
            return
        link.many(_INSERT, rows)
        link.many(_SUPERSEDE, [{"one": i} for i in plan.superseded])
        link.many(_WAIT, [{"post_id": row["id"]} for row in rows if row["newest"]])
        add_terms(link, [(row["id"], row["text"]) for row in rows])
        written = {row["id"] for row in rows}
        fresh = [
            (post_id, item)
            for item, (outcome, post_id) in zip(items, placed, strict=True)
            if outcome is not Outcome.DUPLICATE and post_id in written
        ]
        sealed = {i.author: {"author": i.author, "sealed": i.identity} for _id, i in fresh if i.identity}
        put_once(link, identity, list(sealed.values()))
        put_once(link, contact, [{"post_id": n, "sealed": i.contact} for n, i in fresh if i.contact])
        words = [(n, i, micros(i.received_at)) for n, i in fresh if i.original]
        put_once(link, original, [{"post_id": n, "sealed": i.original, "at": at} for n, i, at in words])
        put_once(link, post_receipt, [{"post_id": n, "digest": i.receipt} for n, i in fresh if i.receipt])

    def _answers(self, plan: _Plan, placed: Sequence[tuple[Outcome, int]]) -> list[Stored]:
        made = {row["id"]: _post(row) for row in plan.rows}
        missing = [post_id for _outcome, post_id in placed if post_id not in made]
        made.update({one.id: one for one in self.many(missing)})
        return [Stored(outcome, made[post_id]) for outcome, post_id in placed]

    # removals and restores

    def _mark(self, item: NewPost) -> Stored:
        state, at = _NOTICES[item.kind].value, micros(item.posted_at)
        by = item.by if item.kind is PostKind.REMOVAL else None
        found = self._target(item)
        if found is None:
            return Stored(Outcome.UPDATED if self._announce(item, state, at, by) else Outcome.DUPLICATE, None)
        older = or_(post.c.source_state_at.is_(None), post.c.source_state_at <= at)
        where = and_(post.c.channel == found.channel, post.c.external_id == found.external_id, older)
        # The time is written even when the state stays: an older notice may still be on its way.
        change = update(post).where(where).values(source_state=state, source_state_at=at, removed_by=by)
        if not self._link.changed(change) or found.source_state == state:
            return Stored(Outcome.DUPLICATE, found)
        return Stored(Outcome.UPDATED, replace(found, source_state=SourceState(state), removed_by=by))

    def _target(self, item: NewPost) -> Post | None:
        """Return the newest revision that a notice is about: by its id, else by handle within its thread."""
        by_id = and_(
            post.c.channel == item.channel, post.c.external_id == item.external_id, post.c.newest == 1
        )
        found = self._link.first(select(*POST.columns).where(by_id)) if item.external_id else None
        if found is None:
            handle = item.handle or item.external_id
            here = post.c.thread == item.thread if item.thread is not None else post.c.id > 0
            by_handle = and_(
                post.c.channel == item.channel, post.c.handle == handle, post.c.newest == 1, here
            )
            found = self._link.first(
                select(*POST.columns).where(by_handle).order_by(post.c.id.desc()).limit(1)
            )
        return None if found is None else to_post(found)

    def _announce(self, item: NewPost, state: str, at: int, by: str | None) -> bool:
        """Keep a notice until its post comes; says whether it told anything new."""
        t, key = tombstone.c, item.external_id or item.handle or ""
        same = and_(t.channel == item.channel, t.key == key, t.thread == (item.thread or ""))
        stands = self._link.first(select(t.state, t.at).where(same))
        if stands is not None:
            newer = update(tombstone).where(same, t.at <= at).values(state=state, at=at, by=by)
            return bool(self._link.changed(newer)) and stands.state != state
        row = {"channel": item.channel, "key": key, "thread": item.thread or "", "state": state, "at": at}
        self._link.run(tombstone.insert(), row | {"by": by})
        return True

    # reading

    def get(self, post_id: int) -> Post:
        """Return one post; raises NotFound."""
        found = self._link.first(select(*POST.columns).where(post.c.id == post_id))
        if found is None:
            raise NotFound(f"there is no post {post_id}")
        return to_post(found)

    def many(self, ids: Sequence[int]) -> list[Post]:
        """Return the posts of ``ids`` that exist, in that order."""
        if not ids:
            return []
        rows = self._link.all(select(*POST.columns).where(among(self._link, post.c.id, ids)))
        found = {row[0]: to_post(row) for row in rows}
        return [found[post_id] for post_id in ids if post_id in found]

    def find_handle(self, channel: str, handle: str, thread: str | None = None) -> Post | None:
        """Return the newest post with this handle (or external id)."""
        here = [post.c.channel == channel, post.c.newest == 1]
        here += [post.c.thread == thread] if thread is not None else []
        # One question per index: an OR would read the whole channel.
        named = (post.c.handle == handle, post.c.external_id == handle)
        ids = [self._link.value(select(func.max(post.c.id)).where(*here, name)) for name in named]
        known = [int(one) for one in ids if one is not None]
        return self.get(max(known)) if known else None

    def current(self, post: Post) -> Post:
        """Return the newest revision of the same message."""
        found = self._link.first(select(*POST.columns).where(*_same(post), _TABLE.c.newest == 1))
        return post if found is None else to_post(found)

    def revisions(self, post: Post) -> list[int]:
        """Return the ids of all revisions of the same message, oldest first."""
        query = select(_TABLE.c.id).where(*_same(post)).order_by(_TABLE.c.revision)
        return [row[0] for row in self._link.all(query)]

    def thread(self, post: Post, before: int, after: int) -> list[Post]:
        """Return neighbours of ``post`` in its thread, oldest first, ``post`` included."""
        if post.thread is None:
            return [post]
        c = _TABLE.c
        place = tuple_(micros(post.posted_at), post.id)
        there = select(*POST.columns).where(
            c.channel == post.channel,
            c.thread == post.thread,
            c.newest == 1,
            c.external_id != post.external_id,
        )
        order = tuple_(c.posted_at, c.id)
        earlier = there.where(order < place).order_by(c.posted_at.desc(), c.id.desc()).limit(before)
        later = there.where(order > place).order_by(c.posted_at, c.id).limit(after)
        return [*map(to_post, reversed(self._link.all(earlier))), post, *map(to_post, self._link.all(later))]

    def page(self, where: PostFilter, after: int | None, limit: int) -> list[Post]:
        """Return posts newest first; ``after`` is the last id of the previous page."""
        source, number, conditions = narrow(self._link, where)
        if after is not None:
            conditions.append(number < after)
        query = (
            select(*POST.columns).select_from(source).where(*conditions).order_by(number.desc()).limit(limit)
        )
        return [to_post(row) for row in self._link.all(query)]

    def set_groups(self, groups: Mapping[int, int]) -> None:
        """Write post id -> group id."""
        self._link.many(_REGROUP, [{"one": one, "many": many} for one, many in groups.items()])

    def recent_texts(self, since: datetime, limit: int) -> list[tuple[int, str]]:
        """Return (group id, text) of recent posts, oldest first."""
        query = (
            select(post.c.group_id, post.c.text)
            .where(post.c.received_at >= micros(since), post.c.group_id.is_not(None))
            .order_by(post.c.id.desc())
            .limit(limit)
        )
        return [(row[0], row[1]) for row in reversed(self._link.all(query))]

    def count(self) -> int:
        """Return the number of messages, whatever their revisions."""
        return int(self._link.value(select(func.count()).select_from(post).where(post.c.newest == 1)))

    def identity(self, author: str) -> bytes | None:
        """Return the sealed native id behind a pseudonym."""
        found = self._link.value(select(identity.c.sealed).where(identity.c.author == author))
        return None if found is None else bytes(found)

    def contact(self, post_id: int) -> bytes | None:
        """Return the sealed contact left with a post."""
        found = self._link.value(select(contact.c.sealed).where(contact.c.post_id == post_id))
        return None if found is None else bytes(found)

    def original(self, post_id: int) -> bytes | None:
        """Return the sealed words of a post before masking."""
        found = self._link.value(select(original.c.sealed).where(original.c.post_id == post_id))
        return None if found is None else bytes(found)


_TABLE = post
"""The table under a second name, for methods whose parameter is called ``post``."""


def _same(one: Post) -> tuple[Any, Any]:
    return _TABLE.c.channel == one.channel, _TABLE.c.external_id == one.external_id


def _digests(known: Mapping[tuple[str, str], _Message], item: NewPost) -> Mapping[str, int]:
    message = known.get((item.channel, item.external_id))
    return {} if message is None else message.digests


def _remember(known: dict[tuple[str, str], _Message], row: Any) -> None:
    name, external_id, post_id, revision, newest, edit, digest, posted_at, *state = row
    message = known.setdefault((name, external_id), _Message({}, set(), 0, False, posted_at, *state))
    message.digests[digest] = post_id
    message.revisions.add(revision)
    if newest:
        message.newest, message.edited, message.posted_at = post_id, bool(edit), posted_at


def _seen(item: NewPost, message: _Message, posted_at: int) -> bool:
    """Say whether these words of this message are stored already.

    An edit back to known words is new only when the source dates it after the newest revision: without a time
    of its own (arrival is then its time) it cannot be told from the same edit delivered twice. That holds for
    the newest words too, because an edit between the two may still be on its way.
    """
    if item.digest not in message.digests:
        return False
    if item.kind is not PostKind.EDIT:
        return True
    return item.posted_at == item.received_at or posted_at <= message.posted_at


def _next(item: NewPost, message: _Message, posted_at: int) -> tuple[int, bool, Outcome]:
    """Return revision, whether it is the newest, and the outcome for other words of a known message.

    Revision 1 is kept for the original: when an edit came before it, the late original is history at once. So
    is an edit that the source dates before the newest one.
    """
    if item.kind is PostKind.POST and 1 not in message.revisions:
        return 1, False, Outcome.UPDATED
    late = item.kind is PostKind.EDIT and message.edited and posted_at < message.posted_at
    return max(message.revisions) + 1, not late, Outcome.UPDATED


def _row(item: NewPost, post_id: int, revision: int, newest: bool, message: _Message) -> dict[str, Any]:
    row = {name: getattr(item, name) for name in _KEPT}
    row["id"], row["revision"], row["newest"] = post_id, revision, int(newest)
    row["edit"], row["digest"] = int(item.kind is PostKind.EDIT), item.digest
    row["received_at"], row["posted_at"] = micros(item.received_at), micros(item.posted_at)
    row["source_state"], row["source_state_at"] = message.state, message.state_at
    row["removed_by"] = message.removed_by
    return row


def _post(row: Mapping[str, Any]) -> Post:
    given: dict[str, Any] = {name: row[name] for name in (*_KEPT, "id", "revision")}
    given["received_at"], given["posted_at"] = moment(row["received_at"]), moment(row["posted_at"])
    return Post(**given, source_state=SourceState(row["source_state"]), removed_by=row["removed_by"])


# --- jobs ------------------------------------------------------------------------------------------


class SqlJobs:
    """Leases over the posts that wait; the id of a job is the id of its post."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def lease(self, n: int, seconds: float, owner: str) -> list[Job]:
        """Take up to ``n`` due jobs, oldest first, for ``seconds``."""
        now = self._link.now()
        due = (
            select(job.c.post_id)
            .where(job.c.due_at <= now)
            .order_by(job.c.due_at, job.c.post_id)
            .limit(n)
            .with_for_update(skip_locked=True)
        )
        until = now + int(seconds * 1_000_000)
        taken = self._link.all(
            update(job)
            .where(job.c.post_id.in_(due))
            .values(due_at=until, lease_by=owner, attempt=job.c.attempt + 1)
            .returning(job.c.post_id, job.c.attempt)
        )
        attempts = {row.post_id: row.attempt for row in taken}
        posts = SqlPosts(self._link).many(sorted(attempts))
        return [Job(one.id, one, attempts[one.id]) for one in posts]

    def done(self, ids: Sequence[int]) -> None:
        """Forget jobs whose reading is stored."""
        self._link.many(_DONE, [{"one": i} for i in ids])

    def retry(self, ids: Sequence[int], at: datetime, error: str) -> None:
        """Put jobs back until ``at``."""
        self._change(ids, micros(at), error)

    def park(self, ids: Sequence[int], reason: str) -> None:
        """Give up for now."""
        self._change(ids, None, reason)

    def _change(self, ids: Sequence[int], due_at: int | None, error: str) -> None:
        self._link.many(_GIVE_BACK, [{"one": i, "due": due_at, "why": error} for i in ids])

    def replay(self) -> int:
        """Put all parked jobs back; returns how many."""
        return self._link.changed(
            update(job).where(job.c.due_at.is_(None)).values(due_at=0, attempt=0, lease_by=None, error=None)
        )

    def counts(self) -> dict[str, int]:
        """Return ``waiting``, ``leased``, ``parked``."""
        held = and_(job.c.lease_by.is_not(None), job.c.due_at > self._link.now())
        row = self._link.first(
            select(
                func.count(),
                func.count().filter(held),
                func.count().filter(job.c.due_at.is_(None)),
            ).select_from(job)
        )
        total, leased, parked = row if row is not None else (0, 0, 0)
        return {"waiting": total - leased - parked, "leased": leased, "parked": parked}


# --- readings --------------------------------------------------------------------------------------


class SqlReadings:
    """Readings over one transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def add(self, rows: Iterable[tuple[int, Reading]]) -> None:
        """Store readings; the last one of a post is its current one."""
        sets: dict[tuple[tuple[str, str], ...], int] = {}
        latest: dict[tuple[int, int], dict[str, Any]] = {}
        for post_id, one in rows:
            models = tuple(one.models.items())
            set_id = sets.get(models) or sets.setdefault(models, self._set_id(one.models))
            latest.pop((post_id, set_id), None)
            latest[post_id, set_id] = reading_row(post_id, set_id, one)
        if not latest:
            return
        last = dict(latest.keys())
        for (post_id, set_id), row in latest.items():
            row["current"] = int(last[post_id] == set_id)
        self._replace(list(latest.values()), list(last))

    def _replace(self, rows: list[dict[str, Any]], post_ids: Sequence[int]) -> None:
        link = self._link
        already = select(reading.c.post_id).where(among(link, reading.c.post_id, post_ids)).distinct()
        known = {row[0] for row in link.all(already)}
        again = [row for row in rows if row["post_id"] in known]
        link.many(_FORGET, [{"one": row["post_id"], "other": row["set_id"]} for row in again])
        link.many(_OUTDATE, [{"one": post_id} for post_id in known])
        link.many(_READ, rows)

    def _set_id(self, models: Mapping[str, str]) -> int:
        text = to_json(dict(sorted(models.items())))
        put_once(self._link, model_set, [{"models": text}])
        return int(self._link.value(select(model_set.c.id).where(model_set.c.models == text)))

    def get(self, post_id: int) -> Reading | None:
        """Return the current reading of a post."""
        return self.many([post_id]).get(post_id)

    def many(self, ids: Sequence[int]) -> dict[int, Reading]:
        """Return post id -> current reading, for those that have one."""
        if not ids:
            return {}
        query = (
            select(reading, model_set.c.models)
            .join(model_set, model_set.c.id == reading.c.set_id)
            .where(among(self._link, reading.c.post_id, ids), reading.c.current == 1)
        )
        return {row.post_id: to_reading(row) for row in self._link.all(query)}


__all__ = ["SqlJobs", "SqlPosts", "SqlReadings", "current_reading", "flagged", "narrow"]
