"""The public page: what was said, answered and removed, with denominators; who answers; by which rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import web

from monitor.bootstrap import App
from monitor.core.model import Account, CaseKind, CaseState, Role, RuleCode
from monitor.core.ports import LedgerEntry
from monitor.runtime._web import figures, wire
from monitor.runtime._web.forms import spoken
from monitor.runtime._web.markup import Markup, join, tag
from monitor.runtime._web.names import answerer_name, kind_name, moment, rule_meaning, rule_name, state_name
from monitor.runtime._web.page import here, page
from monitor.usecases import ledger
from monitor.words import _

ANSWERERS: Final = (Role.LEADER, Role.OFFICER, Role.HANDLER)


def _shown(figure: int | None) -> str:
    return _("数据不足") if figure is None else str(figure)


def _rate(rate: wire.RateOut) -> str:
    """Return a rate with its denominator: a percentage alone says nothing."""
    if rate.whole is None:
        return _("数据不足")
    if rate.part is None:
        return _("数据不足（共 {whole} 件）").format(whole=rate.whole)
    share = 100 * rate.part / rate.whole
    return _("{part} / {whole}（{share} %）").format(part=rate.part, whole=rate.whole, share=f"{share:.1f}")


def _table(caption: str, rows: Iterable[tuple[str | Markup, str | Markup]]) -> Markup:
    lines = (tag("tr", tag("th", name, scope="row"), tag("td", value, class_="n")) for name, value in rows)
    return join(tag("h2", caption), tag("table", tag("tbody", *lines)))


def _cases(report: wire.ReportOut) -> Markup:
    rows = [
        (f"{kind_name(kind)} · {state_name(state)}", _shown(report.cases[kind][state]))
        for kind in CaseKind
        for state in CaseState
        if state in report.cases.get(kind, {})
    ]
    return _table(_("各类事项"), rows or [(_("事项"), _("数据不足"))])


def _figures(report: wire.ReportOut) -> Markup:
    rates = (
        (_("响应率：期限内有人答应的 / 应当答应的"), _rate(report.responded)),
        (_("解决率：本人说已解决的 / 已评价的"), _rate(report.solved)),
        (_("满意率：4 至 5 分的 / 已评价的"), _rate(report.satisfied)),
        (_("已答复而未评价（不算满意）"), _shown(report.unrated)),
    )
    removals = [(rule_name(rule), _shown(n)) for rule, n in report.removals.items() if rule in set(RuleCode)]
    appeals = {"received": _("收到"), "upheld": _("维持原处理"), "overturned": _("改正")}
    return join(
        _table(_("收到的帖文"), [(_("处理过的帖文"), _shown(report.posts))]),
        _table(_("答复与评价"), rates),
        _cases(report),
        _table(_("被限制的帖文（按规则）"), removals or [(_("全部规则"), _("数据不足"))]),
        _table(_("申诉"), ((appeals[name], _shown(n)) for name, n in report.appeals.items())),
    )


def _rules() -> Markup:
    meanings = (join(tag("dt", rule_name(rule)), tag("dd", rule_meaning(rule))) for rule in RuleCode)
    return join(
        tag("h2", _("什么会被移除，什么不会")),
        tag("p", _("批评从来不是违规。语气、立场、批评的对象和话题都不能成为移除的理由。")),
        tag(
            "p", _("只有下列情形可以限制一条帖文；每次都写明规则和原话，通知本人，可以申诉，由另一个人复核。")
        ),
        tag("dl", *meanings),
    )


def _answerers(accounts: Iterable[Account]) -> Markup:
    lines = [
        tag("li", f"{answerer_name(role)} · ", " ".join(f"{account.name} {account.title}".split()))
        for role in ANSWERERS
        for account in accounts
        if account.active and role in account.roles
    ]
    return join(
        tag("h2", _("谁在答复")),
        tag("p", _("每条答复都带有下列身份标记。工会只用这些身份说话，从不冒充普通教职工。")),
        tag("ul", *lines) if lines else tag("p", _("还没有登记答复人。"), class_="dim"),
    )


def _ledger(head: LedgerEntry | None) -> Markup | None:
    if head is None:
        return None
    return join(
        tag("h2", _("可核对的记录")),
        tag("p", _("每次决定、答复和评价都写进一条首尾相连的记录链，其中没有文字和姓名。最新一环：")),
        tag("p", _("第 {n} 环").format(n=head.seq), " ", tag("code", head.hash)),
    )


def _look(app: App) -> tuple[wire.ReportOut, list[Account], LedgerEntry | None]:
    report = figures.of(app)
    with app.deps.uow.read() as store:
        accounts = store.accounts.all()
    return report, accounts, ledger.head(app.deps)


def add_routes(web_app: web.Application, app: App) -> None:
    """Open the page."""

    async def open_page(_request: web.Request, _fields: Mapping[str, str]) -> web.Response:
        report, accounts, head = await asyncio.to_thread(_look, app)
        return page(
            _("公开数据"),
            tag("p", _("统计于 {at}。").format(at=moment(report.at)), class_="dim"),
            tag(
                "p",
                _("少于 {n} 的数字不公布，写作“数据不足”，以免暴露个人。").format(n=report.floor),
                " ",
                tag("a", _("机器可读的同样数据"), href="/open.json"),
                class_="dim",
            ),
            _figures(report),
            _rules(),
            _answerers(accounts),
            _ledger(head),
            tag("p", tag("a", _("有话要说？写给工会"), href=here("/box"))),
            path="/open",
            union=app.deps.rules.union_name,
            wide=True,
        )

    web_app.router.add_get("/open", spoken(open_page))


__all__ = ["add_routes"]
