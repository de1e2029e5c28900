"""``huiyin trends``: posts over time; groups of few people are hidden here as on the screens."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli._hand import As, Json, acting, emit, opened, table
from monitor.core.errors import BadInput
from monitor.words import _

if TYPE_CHECKING:
    from monitor.core.ports import TrendCell


class Step(StrEnum):
    """Length of a step."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


class Group(StrEnum):
    """What a step is divided by."""

    ALL = "all"
    CHANNEL = "channel"
    TOPIC = "topic"
    SENTIMENT = "sentiment"
    UNIT = "unit"
    LABEL = "label"


def register(root: typer.Typer) -> None:
    """Mount ``trends`` on the root command."""
    example = "huiyin trends --by day --group topic --from 2026-11-01 --as off.zhao"
    root.command("trends", help=_("趋势：按时、日、周统计，少于五人的分组不显示。"), epilog=example)(trends)


def moment(given: str | None) -> datetime | None:
    """Read a date or RFC 3339 moment; without a zone it is Shanghai's."""
    from monitor.core.workdays import SHANGHAI

    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise BadInput(_("时间写作 2026-11-01 或 2026-11-01T08:00:00+08:00。")) from None
    return at if at.tzinfo else at.replace(tzinfo=SHANGHAI)


def trends(
    login: As = "",
    by: Annotated[Step, typer.Option("--by", help=_("步长"))] = Step.DAY,
    group: Annotated[Group, typer.Option("--group", help=_("分组"))] = Group.ALL,
    since: Annotated[str | None, typer.Option("--from", help=_("从何时起（含）"))] = None,
    until: Annotated[str | None, typer.Option("--to", help=_("到何时止（不含）"))] = None,
    channel: Annotated[str | None, typer.Option("--channel", help=_("只看这个渠道"))] = None,
    as_json: Json = False,
) -> None:
    """Print posts per step and group."""
    from monitor.core.ports import PostFilter
    from monitor.usecases import trends as counting

    with opened(models=False) as application:
        where = PostFilter(since=moment(since), until=moment(until), channel=channel)
        cells = counting.series(application.deps, acting(application, login), where, by, group)
    _print(cells, as_json)


def _print(cells: list[TrendCell], as_json: bool) -> None:
    from monitor.core.workdays import SHANGHAI

    if as_json:
        for cell in cells:
            emit(cell)
        return
    hidden = _("不足五人")
    lines = [
        (
            cell.at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M"),
            cell.key,
            hidden if cell.hidden else cell.n,
            "" if cell.hidden else cell.authors,
        )
        for cell in cells
    ]
    table(lines, (_("时间"), _("分组"), _("帖数"), _("人数")))
