"""Files: JSON Lines, CSV, XLSX and QQ chat logs, imported once or watched in a folder.

Every item has a stable id, so the same file twice, or two exports that overlap, add nothing twice. What cannot be
read becomes a Broken item with its place in the file, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from connectors import _file_qq as qq
from connectors import _file_table as table
from connectors._file_text import opened, raw_lines
from connectors._limits import broken, decode_json
from connectors._posts import read_post
from connectors._settings import read as read_settings
from connectors._settings import refuse, setting
from monitor.core.errors import ConnectorError, Malformed, Rejected, Unavailable
from monitor.core.model import Broken, Effect, Health, RawPost
from monitor.core.ports import Capability, ChannelConfig, Incoming, Route
from monitor.words import _

FORMATS: Final = ("auto", "jsonl", "csv", "xlsx", "qq-txt", "qce-json")
BATCH: Final = 500
Item = RawPost | Broken


# --- one file --------------------------------------------------------------------------------------


def read(path: Path, form: str, channel: str) -> Iterator[Item]:
    """Yield the items of a file, one in memory at a time.

    Args:
        path: the file.
        form: one of :data:`FORMATS`; ``auto`` goes by the ending and the first bytes.
        channel: the channel that they belong to.

    Raises: Unavailable when it cannot be opened; Malformed when it is of another format.
    """
    if form not in FORMATS:
        raise Malformed(f"the format is one of {', '.join(FORMATS)}", "format")
    chosen = form_of(path) if form == "auto" else form
    readers: Mapping[str, Callable[[Path, str], Iterator[Item]]] = {
        "jsonl": _jsonl,
        "csv": _csv,
        "xlsx": _xlsx,
        "qq-txt": qq.text_items,
        "qce-json": qq.json_items,
    }
    return readers[chosen](path, channel)


def form_of(path: Path) -> str:
    """Return the format of a file by its ending, or by its first bytes. Raises Unavailable, Malformed."""
    endings = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".xlsx": "xlsx"}
    with opened(path) as file:
        start = file.read(4096)
    if path.suffix.lower() == ".json":
        first = start.lstrip(b"\xef\xbb\xbf \r\n\t").partition(b"\n")[0]
        return "jsonl" if first.startswith(b'{"id"') or first.startswith(b'{"text"') else "qce-json"
    if path.suffix.lower() in endings:
        return endings[path.suffix.lower()]
    if path.suffix.lower() == ".txt":
        return "qq-txt"
    if start.startswith(b"PK"):
        return "xlsx"
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{"):
        return "jsonl"
    raise Malformed(f"the format of {path.suffix or 'this'} files is not known; name it", "format")


def _jsonl(path: Path, channel: str) -> Iterator[Item]:
    for number, raw in raw_lines(path):
        line = raw.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else raw.strip()
        if not line:
            continue
        try:
            yield read_post(channel, decode_json(line))
        except Malformed as error:
            yield broken(channel, error, line, str(number))


def _csv(path: Path, channel: str) -> Iterator[Item]:
    return _table(table.csv_rows(path), channel)


def _xlsx(path: Path, channel: str) -> Iterator[Item]:
    return _table(table.xlsx_rows(path), channel)


def _table(rows: Iterator[tuple[int, table.Cells | Malformed]], channel: str) -> Iterator[Item]:
    seen: Counter[str] = Counter()
    for number, cells in rows:
        try:
            if isinstance(cells, Malformed):
                raise cells
            yield read_post(channel, _identified(cells, seen))
        except Malformed as error:
            payload = (
                ""
                if isinstance(cells, Malformed)
                else json.dumps(dict(cells), ensure_ascii=False, default=str)
            )
            yield broken(channel, error, payload, str(number))


def _identified(cells: table.Cells, seen: Counter[str]) -> dict[str, Any]:
    """Return the cells as a row of the import format; without an id, one made of what the row says."""
    row = {key: value for key, value in cells.items() if value not in (None, "")}
    at = row.get("posted_at")
    row["posted_at"] = at.isoformat() if isinstance(at, datetime) else at
    if not row.get("kind"):
        row.pop("kind", None)
    if "id" not in row:
        names = ("thread", "posted_at", "author", "text")
        said = "\x1f".join(str(row.get(name) or "") for name in names)
        digest = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
        seen[digest] += 1
        row["id"] = f"row-{digest}-{seen[digest]}"
    return row


# --- a watched folder ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a channel of type ``file``."""

    folder: str = setting("Folder to watch; empty when files are only imported by command.", "")
    pattern: str = setting("Which files of the folder count, e.g. *.csv.", "*")
    format: str = setting(f"Format of the files: {', '.join(FORMATS)}.", "auto")
    poll_seconds: float = setting("Seconds between two looks into the folder.", 30.0)


def connector(config: ChannelConfig) -> Files:
    """Return the connector of one channel of files.

    Raises: ConfigError naming the key and its mend.
    """
    settings = read_settings(Settings, config)
    if settings.format not in FORMATS:
        raise refuse(config, "format", f"is none of {', '.join(FORMATS)}")
    if not 0 < settings.poll_seconds < float("inf"):
        raise refuse(config, "poll_seconds", "is a number above 0")
    return Files(config.name, settings)


class Files:
    """A channel of files (see :class:`monitor.core.ports.Connector`).

    The cursor holds, per file, its size and the digest of its bytes up to there: a file that has grown or changed is
    read again from its beginning, and ids keep that from adding anything twice.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.capabilities = frozenset({Capability.LISTEN})
        self._settings = settings
        self._closed = asyncio.Event()

    async def posts(self, cursor: str | None) -> AsyncIterator[Incoming]:
        """Yield what is new in the folder until closed."""
        known = _known(cursor)
        while not self._closed.is_set():
            if self._settings.folder:
                for path in await asyncio.to_thread(self._files):
                    async for batch in self._file(path, known):
                        yield batch
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._settings.poll_seconds if self._settings.folder else None):
                await self._closed.wait()
        except TimeoutError:
            return

    def _files(self) -> list[Path]:
        folder = Path(self._settings.folder)
        try:
            names = sorted(
                path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")
            )
        except OSError:
            raise Unavailable("the watched folder is not there or cannot be read") from None
        return [path for path in names if fnmatch.fnmatch(path.name, self._settings.pattern)]

    async def _file(self, path: Path, known: dict[str, str]) -> AsyncIterator[Incoming]:
        stamp = await asyncio.to_thread(_stamp, path)
        if known.get(path.name) == stamp:
            return
        items = self._items(path)
        while batch := await asyncio.to_thread(lambda: list(islice(items, BATCH))):
            if self._closed.is_set():
                return
            yield Incoming(tuple(batch))
        known[path.name] = stamp
        yield Incoming((), json.dumps(known, ensure_ascii=False, sort_keys=True))

    def _items(self, path: Path) -> Iterator[Item]:
        try:
            yield from read(path, self._settings.format, self.name)
        except Malformed as error:
            yield broken(self.name, error, b"", path.name)

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
        """Say how many files wait in the folder."""
        able = frozenset(map(str, self.capabilities))
        if not self._settings.folder:
            return Health(True, _("用 huiyin import 导入文件；没有监视文件夹。"), able)
        try:
            found = await asyncio.to_thread(self._files)
        except ConnectorError:
            told = _("找不到或打不开文件夹 {folder}。").format(folder=self._settings.folder)
            return Health(False, told, able)
        return Health(True, _("文件夹里有 {n} 个文件。").format(n=len(found)), able)

    async def close(self) -> None:
        """Stop watching; may be called twice."""
        self._closed.set()


def _known(cursor: str | None) -> dict[str, str]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _stamp(path: Path) -> str:
    digest = hashlib.sha256()
    with opened(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:32]
