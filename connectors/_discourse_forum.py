"""A Discourse forum as it is looked at: its newest posts page by page, and what became of a single one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from connectors import _discourse_wire as wire
from connectors._discourse_api import Api, Refused
from connectors._forum_watch import Row, Standing
from connectors._limits import id_of
from monitor.core.errors import Unavailable
from monitor.core.model import PostKind, RawPost

STEP: Final = 50
"""Posts of a page; the ids of a page in versions before 2018, whose pages may therefore be short or empty."""
EMPTY: Final = 20
"""Empty pages in a row after which the beginning of the forum is taken for reached."""
_PLACES: Final = 20_000


class Forum:
    """See :class:`connectors._forum_watch.Source`.

    ``ours`` holds the numbers of the posts that we removed ourselves.
    """

    def __init__(self, channel: str, api: Api, scope: wire.Scope, ours: Collection[int]) -> None:
        self._channel = channel
        self._api = api
        self._scope = scope
        self._ours = ours
        self._places: OrderedDict[tuple[str, int], str] = OrderedDict()

    async def pages(self) -> AsyncGenerator[Sequence[Any], None]:
        """Yield the newest posts, then older ones, until the first post of the forum."""
        before, empty = 0, 0
        while empty < EMPTY:
            query = [("before", str(before))] if before else []
            rows = (await self._api.ask("/posts.json", query)).get("latest_posts")
            if not isinstance(rows, list):
                raise Unavailable("what answers is not Discourse: it sent no list of posts")
            numbers = [n for row in rows if (n := wire.number_of(row)) and (not before or n < before)]
            self._note_places(rows)
            yield rows
            empty = 0 if numbers else empty + 1
            before = min(numbers) if numbers else before - STEP
            if before <= 1:
                return

    def _note_places(self, rows: Sequence[Any]) -> None:
        """Remember which post stands where, to know later what is answered."""
        for row in rows:
            number = wire.number_of(row)
            topic, place = (id_of(row.get("topic_id")), row.get("post_number")) if number else (None, None)
            if topic is not None and isinstance(place, int):
                self._places[(topic, place)] = str(number)
        while len(self._places) > _PLACES:
            self._places.popitem(last=False)

    async def standing(self, number: int) -> tuple[Standing, Row]:
        """Ask about one post: removed, gone with its topic, or only out of the list."""
        try:
            row = await self._api.ask(f"/posts/{number}.json")
            if wire.is_gone(row):
                return Standing.REMOVED, row
            topic = await self._api.ask(f"/t/{id_of(row.get('topic_id'))}.json")
        except Refused:
            return Standing.UNKNOWN, {}
        if topic.get("deleted_at"):
            return Standing.REMOVED, {**row, "deleted_at": topic["deleted_at"]}
        return Standing.THERE, row

    def number(self, row: Any) -> int | None:
        """Return the number of a row."""
        return wire.number_of(row)

    def outside(self, row: Mapping[str, Any]) -> str:
        """Return why a row is none of the channel's business."""
        return self._scope.outside(row)

    def is_gone(self, row: Mapping[str, Any]) -> bool:
        """Say whether a row is a removed post."""
        return wire.is_gone(row)

    def read(self, row: Mapping[str, Any], kind: PostKind) -> RawPost:
        """Return what a row says; of a removal also whether it was ours."""
        post = wire.read_post(self._channel, self._scope, row, kind, self._places)
        is_ours = kind is PostKind.REMOVAL and wire.number_of(row) in self._ours
        return replace(post, by="self") if is_ours else post

    def digest(self, post: RawPost) -> str:
        """Return the digest by which an edit is noticed."""
        return wire.digest_of_post(post)


__all__ = ["Forum"]
