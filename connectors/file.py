"""Files: JSON Lines, CSV, XLSX and QQ chat logs, imported once or watched in a folder.

Every item has a stable id, so the same file twice, or two exports that overlap, add nothing twice. What cannot be
read becomes a Broken item with its place in the file, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import fnmatch
import math
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from connectors import _file_csv, _file_qce, _file_qq, _file_table, _file_xlsx
from connectors._file_forms import FORMATS, form_of
from connectors._file_text import raw_lines
from connectors._file_watch import Book, Look, Mark, Stat, is_settled, look_at, put_away, stat_of
from connectors._limits import broken, decode_json
from connectors._posts import read_post
from connectors._settings import read as read_settings
from connectors._settings import refuse, setting
from monitor.core.errors import Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route
from monitor.words import _

BATCH: Final = 500
AFTER: Final = ("keep", "move", "delete")
Item = RawPost | Broken

# --- one file --------------------------------------------------------------------------------------


def read(path: Path, form: str, channel: str) -> Iterator[Item]:
    """Yield the items of a file, one in memory at a time.

    Args:
        path: the file.
        form: one of :data:`FORMATS`; ``auto`` goes by what the file holds, then by its ending.
        channel: the channel that they belong to.

    Raises: Unavailable when it cannot be opened; Malformed when it is of another format.
    """
    if form not in FORMATS:
        raise Malformed(f"the format is one of {', '.join(FORMATS)}", "format")
    try:
        yield from _READERS[form_of(path) if form == "auto" else form](path, channel)
    except OSError:
        raise Unavailable("the file could not be read to its end; check the disk and its rights") from None


def _jsonl(path: Path, channel: str) -> Iterator[Item]:
    for number, raw in raw_lines(path):
        line = raw.strip()
        if not line:
            continue
        try:
            yield read_post(channel, decode_json(line))
        except Malformed as error:
            yield broken(channel, error, line, str(number))


def _csv(path: Path, channel: str) -> Iterator[Item]:
    return _file_table.posts(_file_csv.rows(path), channel)


def _xlsx(path: Path, channel: str) -> Iterator[Item]:
    return _file_table.posts(_file_xlsx.rows(path), channel)


_READERS: Final[Mapping[str, Callable[[Path, str], Iterator[Item]]]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "xlsx": _xlsx,
    "qq-txt": _file_qq.items,
    "qce-json": _file_qce.items,
}


# --- a watched folder ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``file``."""

    folder: str = setting("Folder to watch; empty when files are only imported by command.", "")
    pattern: str = setting("Which files of the folder count, e.g. *.csv.", "*")
    format: str = setting(f"Format of the files: {', '.join(FORMATS)}.", "auto")
    poll_seconds: float = setting("Seconds between two looks into the folder.", 30.0)
    settle_seconds: float = setting(
        "Seconds without a change after which a file is read, so that none is read half-written.", 2.0
    )
    after: str = setting(
        "What becomes of a file once all of it is stored: keep, move (to the folder done inside) or delete.",
        "keep",
    )


def connector(config: ChannelConfig) -> Files:
    """Return the connector of one channel of files.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read_settings(Settings, config)
    for key, known in (("format", FORMATS), ("after", AFTER)):
        if getattr(settings, key) not in known:
            raise refuse(config, key, f"is none of {', '.join(known)}")
    if not 0 < settings.poll_seconds < math.inf:
        raise refuse(config, "poll_seconds", "is a number above 0")
    if not 0 <= settings.settle_seconds < math.inf:
        raise refuse(config, "settle_seconds", "is 0 or a number above it")
    return Files(config.name, settings)


class Files:
    """A channel of files (see :class:`monitor.core.ports.Connector`).

    The cursor holds, for every file of the folder, its size and digest and how many of its items were handed over.
    A file that only grew goes on there; one that changed is read anew, and ids keep it from adding anything twice.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self._settings = settings
        self._folder = Path(settings.folder)
        self._closed = asyncio.Event()
        self._looks: dict[str, tuple[Stat, Mark, Look]] = {}
        self._stored: dict[str, Mark] = {}
        self._troubles: dict[str, str] = {}

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield what is new in the folder until closed; raises Unavailable when the folder is not there."""
        book = Book(cursor)
        self._stored = book.whole()
        while not self._closed.is_set():
            paths = await asyncio.to_thread(self._files) if self._settings.folder else []
            names = {path.name for path in paths}
            book.keep(names)
            for known in (self._looks, self._stored, self._troubles):
                _keep(known, names)
            for path in paths:
                async with aclosing(self._file(path, book)) as batches:
                    async for batch in batches:
                        yield batch
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_seconds if self._settings.folder else None):
                await self._closed.wait()
        except TimeoutError:
            return

    def _files(self) -> list[Path]:
        """Return the files that count, in the order of their names; raises Unavailable."""
        try:
            names = sorted(path for path in self._folder.iterdir() if path.is_file())
        except (OSError, ValueError):
            raise Unavailable("the watched folder is not there or cannot be read") from None
        fits = (path for path in names if fnmatch.fnmatch(path.name, self._settings.pattern))
        return [path for path in fits if not path.name.startswith(".") and not path.is_symlink()]

    async def _file(self, path: Path, book: Book) -> AsyncGenerator[Incoming, None]:
        """Yield what a file holds after its mark; one that cannot be read now does not hold up the others."""
        if self._closed.is_set() or not is_settled(path, self._settings.settle_seconds):
            return
        try:
            look = await asyncio.to_thread(self._look, path, book[path.name])
            if look is not None:
                async with aclosing(self._new(path, look, book)) as batches:
                    async for batch in batches:
                        yield batch
        except Unavailable:
            self._troubles[path.name] = "unreadable"

    def _look(self, path: Path, mark: Mark) -> Look | None:
        """Return how a file stands to its mark, reading it again only when it was written to; raises Unavailable."""
        stat = stat_of(path)
        known = self._looks.get(path.name)
        if known is not None and known[:2] == (stat, mark):
            return known[2]
        look = look_at(path, mark, self._closed.is_set)
        if look is not None:
            self._looks[path.name] = (stat, mark, look)
        return look

    async def _new(self, path: Path, look: Look, book: Book) -> AsyncGenerator[Incoming, None]:
        mark = book[path.name]
        if look.is_same and mark.whole:
            await self._put_away(path, mark)
            return
        taken = mark.items if look.is_same else max(0, mark.items - 1) if look.is_grown else 0
        items = islice(self._items(path), taken, None)
        while batch := await asyncio.to_thread(list, islice(items, BATCH)):
            taken += len(batch)
            book[path.name] = Mark(look.size, look.digest, taken)
            yield Incoming(tuple(batch), book.cursor())
            if self._closed.is_set():
                return
        self._troubles.pop(path.name, None)
        book[path.name] = done = Mark(look.size, look.digest, taken, whole=True)
        yield Incoming((), book.cursor(), self._noting(path.name, done))

    def _items(self, path: Path) -> Iterator[Item]:
        try:
            yield from read(path, self._settings.format, self.name)
        except Malformed as error:
            yield broken(self.name, error, b"", path.name)

    def _noting(self, name: str, mark: Mark) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            self._stored[name] = mark

        return note

    async def _put_away(self, path: Path, mark: Mark) -> None:
        """Do with a file what is to become of it, once the store has all of it."""
        if self._settings.after == "keep" or self._stored.get(path.name) != mark:
            return
        if not await asyncio.to_thread(put_away, path, self._settings.after):
            self._troubles[path.name] = "stays"

    # --- what it does not do, and how it is ----------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        """Return no path: nothing is pushed here."""
        return ()

    async def perform(self, effect: Effect, author: str | None) -> str:  # noqa: ARG002
        """Refuse: there is nobody behind a file."""
        raise Rejected("a channel of files only listens: nobody reads answers there")

    async def read_back(self, effect: Effect) -> str | None:  # noqa: ARG002
        """Refuse, as :meth:`perform` does."""
        raise Rejected("a channel of files only listens: nothing is ever sent there")

    async def check(self) -> Health:
        """Say how many files lie in the folder, and which of them cannot be read or put away."""
        if not self._settings.folder:
            return self._health(True, _("用 huiyin import 导入文件；没有监视文件夹。"))
        try:
            found = await asyncio.to_thread(self._files)
        except Unavailable:
            told = _("找不到或打不开文件夹 {folder}。请检查路径和权限。")
            return self._health(False, told.format(folder=self._settings.folder))
        words = [_("文件夹里有 {n} 个文件。").format(n=len(found))]
        if names := self._troubled("unreadable"):
            words.append(_("打不开：{names}。请检查权限。").format(names=names))
        if names := self._troubled("stays"):
            words.append(_("已入库但移不走：{names}。请检查文件夹的写权限。").format(names=names))
        return self._health(len(words) == 1, " ".join(words))

    def _troubled(self, kind: str) -> str:
        names = sorted(name for name, trouble in self._troubles.items() if trouble == kind)
        return "、".join(names[:5]) + ("…" if len(names) > 5 else "")

    def _health(self, ok: bool, words: str) -> Health:
        return Health(ok, words, frozenset(map(str, self.capabilities)))

    async def close(self) -> None:
        """Stop watching; may be called twice."""
        self._closed.set()


def _keep(known: MutableMapping[str, Any], names: Collection[str]) -> None:
    for name in [name for name in known if name not in names]:
        del known[name]
