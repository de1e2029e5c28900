"""``huiyin queue``: the queue for scripts and for people without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli._hand import As, Json, acting, emit, opened, short, table
from monitor.core.errors import BadInput
from monitor.core.model import Action, Actor, CaseKind, RuleCode
from monitor.words import _

if TYPE_CHECKING:
    from monitor.usecases.views import CaseRow, CaseView


def register(root: typer.Typer) -> None:
    """Mount ``queue`` on the root command."""
    app = typer.Typer(no_args_is_help=True)
    app.command(
        "list",
        help=_("列出等待处理的工单，按队列顺序。"),
        epilog="huiyin queue list --as mod.li --kind moderation --json",
    )(list_)
    app.command(
        "show",
        help=_("查看一个工单：原文、依据、经过、可做的操作。"),
        epilog="huiyin queue show 12 --as mod.li",
    )(show)
    app.command(
        "claim", help=_("领取一个工单；不写编号则领取下一个。"), epilog="huiyin queue claim 12 --as mod.li"
    )(claim)
    app.command(
        "decide",
        help=_("对一个工单作出处置。"),
        epilog="huiyin queue decide 12 --action remove --rule SPAM_AD --quote 加微信 --as mod.li",
    )(decide)
    app.command("undo", help=_("撤销自己的一个处置（十分钟内）。"), epilog="huiyin queue undo 7 --as mod.li")(
        undo
    )
    root.add_typer(app, name="queue", help=_("审核队列：列出、查看、领取、处置、撤销。"))


def row_of(row: CaseRow) -> dict[str, Any]:
    """Return one line of a list as data."""
    case = row.case
    return {
        "id": case.id,
        "reference": case.reference,
        "kind": case.kind,
        "state": case.state,
        "channel": case.channel,
        "unit": case.unit,
        "topic": case.topic,
        "urgency": case.urgency,
        "posts": case.post_count,
        "due_at": case.due_at,
        "version": case.version,
        "holder": row.holder,
        "text": row.first_text,
    }


def view_of(view: CaseView) -> dict[str, Any]:
    """Return everything about one case as data."""
    return {
        "case": view.case,
        "posts": [{"post": one.post, "reading": one.reading} for one in view.posts],
        "events": view.events,
        "decisions": view.decisions,
        "replies": view.replies,
        "effects": view.effects,
        "claim": view.claim,
        "allowed": view.allowed,
        "holder": view.holder,
    }


def pages(application: Any, actor: Actor, where: Any, limit: int) -> list[CaseRow]:
    """Return up to ``limit`` cases, page by page."""
    from monitor.usecases import queue

    found: list[CaseRow] = []
    after: tuple[int, int] | None = None
    while len(found) < limit:
        page = queue.page(application.deps, actor, where, after, min(100, limit - len(found)))
        found += page
        if not page:
            break
        after = (page[-1].case.rank, page[-1].case.id)
    return found


def show_rows(rows: list[CaseRow], as_json: bool) -> None:
    """Print a list of cases as JSON lines or as a table."""
    if as_json:
        for row in rows:
            emit(row_of(row))
        return
    lines = [
        (
            row.case.id,
            row.case.kind,
            row.case.state,
            row.case.channel,
            row.case.post_count,
            row.case.version,
            row.holder or "",
            short(row.first_text),
        )
        for row in rows
    ]
    head = ("id", _("种类"), _("状态"), _("渠道"), _("帖数"), _("版本"), _("领取人"), _("内容"))
    table(lines, head)


def list_(
    login: As = "",
    kind: Annotated[list[CaseKind] | None, typer.Option("--kind", help=_("只看这些种类，可重复"))] = None,
    channel: Annotated[str | None, typer.Option("--channel", help=_("只看这个渠道"))] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help=_("最多几条"))] = 20,
    as_json: Json = False,
) -> None:
    """Print what waits, in the order of the queue."""
    from monitor.core.ports import CaseFilter
    from monitor.core.states import WAITING_FOR_STAFF

    with opened(models=False) as application:
        actor = acting(application, login)
        where = CaseFilter(kinds=tuple(kind or ()), states=tuple(sorted(WAITING_FOR_STAFF)), channel=channel)
        show_rows(pages(application, actor, where, limit), as_json)


def show(case_id: int, login: As = "") -> None:
    """Print one case with its posts, reasons, history and what may be done."""
    from monitor.usecases import queue

    with opened(models=False) as application:
        emit(view_of(queue.view(application.deps, acting(application, login), case_id)))


def claim(case_id: Annotated[int | None, typer.Argument()] = None, login: As = "") -> None:
    """Take one case, or the next free one."""
    from monitor.core.ports import CaseFilter
    from monitor.usecases import queue

    with opened(models=False) as application:
        actor = acting(application, login)
        view = (
            queue.take_next(application.deps, actor, CaseFilter())
            if case_id is None
            else queue.claim(application.deps, actor, case_id)
        )
        if view is None:
            typer.echo(_("没有待处理的内容。"), err=True)
            return
        emit(view_of(view))


def _quote(view: CaseView, words: str) -> tuple[int, int, int]:
    """Find the quoted words in the posts of the case."""
    for one in view.posts:
        start = one.post.text.find(words)
        if words and start >= 0:
            return (one.post.id, start, start + len(words))
    raise BadInput(_("引文不在原文中：请逐字照抄要引用的原文。"))


def decide(
    case_id: int,
    action: Annotated[Action, typer.Option("--action", help=_("处置"))],
    rule: Annotated[RuleCode | None, typer.Option("--rule", help=_("依据（移除、隐藏、禁言必填）"))] = None,
    quote: Annotated[str, typer.Option("--quote", help=_("逐字引用的原文（移除、隐藏、禁言必填）"))] = "",
    note: Annotated[str, typer.Option("--note", help=_("给同事的备注"))] = "",
    explanation: Annotated[str, typer.Option("--explanation", help=_("给作者的说明"))] = "",
    mute_seconds: Annotated[int, typer.Option("--mute-seconds", min=0, help=_("禁言秒数"))] = 0,
    version: Annotated[int | None, typer.Option("--version", help=_("看到的版本；不写则取当前版本"))] = None,
    login: As = "",
) -> None:
    """Decide a case."""
    from monitor.usecases import decide as deciding
    from monitor.usecases import queue

    with opened(models=False) as application:
        actor = acting(application, login)
        view = queue.view(application.deps, actor, case_id)
        request = deciding.DecisionRequest(
            case_id,
            view.case.version if version is None else version,
            action,
            rule=rule,
            quote=_quote(view, quote) if quote else None,
            note=note,
            explanation=explanation,
            mute_seconds=mute_seconds,
        )
        emit(deciding.decide(application.deps, actor, request))


def undo(decision_id: int, login: As = "") -> None:
    """Take back one of one's own decisions."""
    from monitor.usecases import decide as deciding

    with opened(models=False) as application:
        emit(deciding.undo(application.deps, acting(application, login), decision_id))
