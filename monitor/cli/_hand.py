"""What the commands over the database share: the application, who acts, and how data is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.core.errors import BadInput, NotAllowed, NotFound
from monitor.core.model import Actor
from monitor.words import _

if TYPE_CHECKING:
    from monitor.bootstrap import App

As = Annotated[
    str,
    typer.Option("--as", envvar="HUIYIN_LOGIN", metavar="LOGIN", help=_("以哪个账号的身份操作")),
]
Json = Annotated[bool, typer.Option("--json", help=_("输出 JSON，每行一个对象"))]


@contextmanager
def opened(*, models: bool = True) -> Iterator[App]:
    """Open the application of the chosen data directory and close it again; ``models``: with the classifier."""
    from monitor.bootstrap import from_environment

    app = from_environment(models=models)
    try:
        yield app
    finally:
        app.close()


def acting(app: App, login: str) -> Actor:
    """Return the actor of an active account.

    Raises:
        BadInput: no account was named.
        NotAllowed: there is no such account, or it is disabled.
    """
    if not login:
        raise BadInput(_("请用 --as 指定账号，例如 --as mod.li。"))
    with app.deps.uow.read() as store:
        try:
            account = store.accounts.get(login)
        except NotFound:
            raise NotAllowed(_("没有这个账号，用 huiyin user list 查看。")) from None
    if not account.active:
        raise NotAllowed(_("这个账号已停用。"))
    return account.actor()


def emit(value: Any) -> None:
    """Print one JSON object on one line of stdout."""
    import msgspec

    typer.echo(msgspec.json.encode(value).decode("utf-8"))


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows as aligned columns; East Asian letters take two places."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(_width(row[place]) for row in cells) for place in range(len(head))]
    for row in cells:
        typer.echo("  ".join(_padded(cell, widths[place]) for place, cell in enumerate(row)).rstrip())


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("\n", " ").replace("\x1b", "")


def _width(text: str) -> int:
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def short(text: str, longest: int = 40) -> str:
    """Return the beginning of a text for one line of a table."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
