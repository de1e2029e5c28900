"""``huiyin case`` and ``huiyin claim``: cases by state, one case, one step, and the statements to be checked."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.cli._hand import As, Json, acting, emit, opened, short, table
from monitor.cli.queue import pages, show_rows, view_of
from monitor.core.model import CaseKind, CaseState
from monitor.words import _


def register(root: typer.Typer) -> None:
    """Mount ``case`` and ``claim`` on the root command."""
    case_app = typer.Typer(no_args_is_help=True)
    case_app.command(
        "list",
        help=_("列出工单，默认是诉求。"),
        epilog="huiyin case list --as off.zhao --state registered --json",
    )(list_)
    case_app.command(
        "show", help=_("查看一个工单的全部经过。"), epilog="huiyin case show HY-000012 --as off.zhao"
    )(show)
    case_app.command(
        "move", help=_("让工单走一步。"), epilog="huiyin case move HY-000012 accept --as off.zhao"
    )(move)
    root.add_typer(case_app, name="case", help=_("诉求工单：列出、查看、流转。"))
    claim_app = typer.Typer(no_args_is_help=True)
    claim_app.command(
        "list", help=_("列出待核说法和核实结论。"), epilog="huiyin claim list --as lead.chen --json"
    )(claims)
    root.add_typer(claim_app, name="claim", help=_("待核说法：列出、查看。"))


def list_(
    login: As = "",
    kind: Annotated[list[CaseKind] | None, typer.Option("--kind", help=_("只看这些种类，可重复"))] = None,
    state: Annotated[list[CaseState] | None, typer.Option("--state", help=_("只看这些状态，可重复"))] = None,
    unit: Annotated[str | None, typer.Option("--unit", help=_("只看这个承办单位"))] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help=_("最多几条"))] = 20,
    as_json: Json = False,
) -> None:
    """Print cases, grievances unless told otherwise."""
    from monitor.core.ports import CaseFilter

    with opened(models=False) as application:
        actor = acting(application, login)
        where = CaseFilter(tuple(kind or (CaseKind.GRIEVANCE,)), tuple(state or ()), unit=unit)
        show_rows(pages(application, actor, where, limit), as_json)


def _id_of(application: object, given: str) -> int:
    """Return the id of a case given as number or as reference (HY-000123)."""
    if given.isdecimal():
        return int(given)
    with application.deps.uow.read() as store:  # type: ignore[attr-defined]
        return int(store.cases.by_reference(given).id)


def show(case: Annotated[str, typer.Argument(help=_("编号或工单号"))], login: As = "") -> None:
    """Print one case with its whole history."""
    from monitor.usecases import queue

    with opened(models=False) as application:
        actor = acting(application, login)
        emit(view_of(queue.view(application.deps, actor, _id_of(application, case))))


def move(
    case: Annotated[str, typer.Argument(help=_("编号或工单号"))],
    action: Annotated[str, typer.Argument(help=_("流转动作，如 accept、transfer、start"))],
    reason: Annotated[str, typer.Option("--reason", help=_("理由"))] = "",
    unit: Annotated[str | None, typer.Option("--unit", help=_("承办单位（转办时）"))] = None,
    assignee: Annotated[str | None, typer.Option("--assignee", help=_("承办人账号（办理时）"))] = None,
    version: Annotated[int | None, typer.Option("--version", help=_("看到的版本；不写则取当前版本"))] = None,
    login: As = "",
) -> None:
    """Move a case one step."""
    from monitor.usecases import cases

    with opened(models=False) as application:
        actor = acting(application, login)
        number = _id_of(application, case)
        with application.deps.uow.read() as store:
            seen = store.cases.get(number).version if version is None else version
        emit(cases.move(application.deps, actor, number, seen, action, reason, unit, assignee))


def claims(
    login: As = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help=_("最多几条"))] = 50,
    as_json: Json = False,
) -> None:
    """Print the statements to be checked and what was found out."""
    from monitor.usecases import claims as statements

    with opened(models=False) as application:
        found = statements.page(application.deps, acting(application, login), None, limit)
    if as_json:
        for claim in found:
            emit(claim)
        return
    lines = [(c.id, c.case_id, c.state, c.valid_until or "", short(c.statement)) for c in found]
    table(lines, ("id", _("工单"), _("结论"), _("有效至"), _("说法")))
