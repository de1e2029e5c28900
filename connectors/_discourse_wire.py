"""Posts as Discourse writes them: its Markdown, its quotes, its webhooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

from connectors._html import IMAGE, words_in
from connectors._limits import clean_text, decode_json, from_text, id_of
from connectors._seen import digest_of
from connectors._signing import header
from monitor.core.errors import Malformed
from monitor.core.model import PostKind, RawPost

MOST_NUMBER: Final = 2**63
EVENTS: Final[Mapping[str, PostKind]] = {
    "post_created": PostKind.POST,
    "post_edited": PostKind.EDIT,
    "post_destroyed": PostKind.REMOVAL,
    "post_recovered": PostKind.RESTORE,
}
_QUOTE = re.compile(r"\[quote(?:=[^\]\n]{0,300})?\]|\[/quote\]", re.IGNORECASE)
_QUOTED_LINE = re.compile(r" {0,3}>+ ?(.*)")
_PICTURE = re.compile(r"!\[[^\]\n]{0,300}\]\([^()\s]{1,500}\)")
_ATTACHMENT = re.compile(r"\[([^\]\n|]{1,200})\|attachment\]\([^()\s]{1,500}\)(?: \([^()\n]{1,20}\))?")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which posts are the channel's: the forum's address, our own account, the categories (empty: all)."""

    site: str
    username: str
    categories: tuple[int, ...] = ()

    def is_own(self, row: Mapping[str, Any]) -> bool:
        """Say whether our own account wrote a post."""
        name = row.get("username")
        return isinstance(name, str) and name.lower() == self.username.lower()

    def outside(self, row: Mapping[str, Any]) -> str:
        """Return why a post is none of the channel's business, or an empty string."""
        if row.get("post_type", 1) != 1:
            return "small_action"  # moderators' notes and whispers are no posts
        if row.get("topic_archetype") == "private_message":
            return "private"
        if self.categories and row.get("category_id") not in self.categories:
            return "category"
        return "own" if self.is_own(row) else ""


def number_of(row: Any) -> int | None:
    """Return the number of a post, or None when it has none."""
    found = row.get("id") if isinstance(row, Mapping) else None
    is_number = isinstance(found, int) and not isinstance(found, bool) and 0 < found < MOST_NUMBER
    return found if is_number else None


def is_gone(row: Mapping[str, Any]) -> bool:
    """Say whether a post was removed, by a moderator or by its author."""
    return bool(row.get("deleted_at")) or row.get("user_deleted") is True


# --- words -----------------------------------------------------------------------------------------


def _blocks(raw: str) -> tuple[str, list[str]]:
    """Return the text outside of ``[quote]`` blocks and the blocks; one that is never closed is no quote."""
    own, quoted, depth, begin, last = [], [], 0, 0, 0
    for token in _QUOTE.finditer(raw):
        if token[0][1] != "/":
            begin = token.start() if depth == 0 else begin
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                own.append(raw[last:begin])
                quoted.append(_QUOTE.sub("", raw[begin : token.end()]))
                last = token.end()
    return "".join([*own, raw[last:]]), quoted


def split_quotes(raw: str) -> tuple[str, str | None]:
    """Return an author's own words in Discourse Markdown and the quoted ones (None when nothing is quoted)."""
    text, quoted = _blocks(raw[:100_000])
    own: list[str] = []
    for line in text.split("\n"):
        found = _QUOTED_LINE.fullmatch(line)
        if found is not None:
            quoted.append(found[1])
        else:
            own.append(line)
    words = _ATTACHMENT.sub(r"[附件 \1]", _PICTURE.sub(IMAGE, "\n".join(own)))
    return clean_text(words).strip(), clean_text("\n".join(quoted)).strip() or None


def _said(row: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return own and quoted words; who only quotes says what he quotes, so that nothing hides in a quote."""
    raw, cooked = row.get("raw"), row.get("cooked")
    if isinstance(raw, str) and raw.strip():
        own, quoted = split_quotes(raw)
    elif isinstance(cooked, str):
        own, quoted = words_in(cooked)
    else:
        raise Malformed("the post has no `raw` and no `cooked`", "no_text")
    title = row.get("topic_title")
    if row.get("post_number") == 1 and isinstance(title, str) and title.strip():
        own = clean_text(f"{title.strip()}\n{own}".strip())
    if own:
        return own, quoted
    if quoted is None:
        raise Malformed("there are no words in the post", "empty")
    return quoted, None


def _time(row: Mapping[str, Any], *keys: str) -> datetime | None:
    return next((at for key in keys if (at := from_text(row.get(key), UTC)) is not None), None)


def _url(site: str, row: Mapping[str, Any]) -> str | None:
    path = row.get("post_url")
    if isinstance(path, str) and path.startswith("/") and not path.startswith("//"):
        return clean_text(site + path)[:2_000]
    return None


def _parent(row: Mapping[str, Any], numbers: Mapping[tuple[str, int], str]) -> str | None:
    topic, place = id_of(row.get("topic_id")), row.get("reply_to_post_number")
    if topic is None or not isinstance(place, int):
        return None
    return numbers.get((topic, place))


def read_post(
    channel: str,
    scope: Scope,
    row: Any,
    kind: PostKind = PostKind.POST,
    places: Mapping[tuple[str, int], str] | None = None,
) -> RawPost:
    """Return what a row says.

    Args:
        channel: name of the channel.
        scope: for the address of the post.
        row: one post as Discourse sends it.
        kind: what is said about the post.
        places: (topic, place in it) -> number of the post there, to find what is answered.

    Raises: Malformed with a stable reason.
    """
    number = number_of(row)
    if number is None:
        raise Malformed("the post has no usable `id`", "no_id")
    about = {"thread": id_of(row.get("topic_id")), "url": _url(scope.site, row)}
    if kind in (PostKind.REMOVAL, PostKind.RESTORE):
        at = _time(row, "deleted_at", "updated_at") if kind is PostKind.REMOVAL else _time(row, "updated_at")
        by = (
            ("author" if row.get("user_deleted") is True else "moderator")
            if kind is PostKind.REMOVAL
            else None
        )
        return RawPost(channel, str(number), "", kind, posted_at=at or datetime.now(UTC), by=by, **about)
    text, quoted = _said(row)
    keys = ("updated_at", "created_at") if kind is PostKind.EDIT else ("created_at",)
    return RawPost(
        channel,
        str(number),
        text,
        kind,
        author=id_of(row.get("user_id")),
        posted_at=_time(row, *keys),
        reply_to=_parent(row, places or {}),
        quoted=quoted,
        **about,
    )


def digest_of_post(post: RawPost) -> str:
    """Return the digest by which an edit is noticed: ``version`` does not grow within the time of grace."""
    return digest_of(f"{post.text}\0{post.quoted or ''}")


# --- pushes ----------------------------------------------------------------------------------------


def pushed(headers: Mapping[str, str], body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the event and what is said in it (an empty object where it is not about a post).

    A body of the form type carries the same JSON under ``payload``.

    Raises: Malformed when it cannot be read.
    """
    event = header(headers, "X-Discourse-Event")
    if body.startswith(b"payload="):
        try:
            fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=8)
        except ValueError:
            raise Malformed("the form cannot be read", "form") from None
        body = fields.get("payload", [""])[0].encode("utf-8", "replace")
    told = decode_json(body)
    if not isinstance(told, dict):
        raise Malformed("a push is an object", "shape")
    if event not in EVENTS:
        return event, {}
    post = told.get("post")
    if not isinstance(post, dict):
        raise Malformed("the push holds no `post`", "shape")
    return event, post


__all__ = [
    "EVENTS",
    "Scope",
    "digest_of_post",
    "is_gone",
    "number_of",
    "pushed",
    "read_post",
    "split_quotes",
]
