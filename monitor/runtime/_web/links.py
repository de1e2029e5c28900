"""Pages behind the links that a notice or an answer carries: appeal against a decision, rate an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from monitor.bootstrap import App
from monitor.core.errors import HuiyinError, NotFound
from monitor.core.model import Action, CaseState
from monitor.runtime._web import follow
from monitor.runtime._web.forms import DESK, Answer, admit, spoken
from monitor.runtime._web.markup import Markup, join, paragraphs, tag
from monitor.runtime._web.names import (
    action_name,
    day,
    decider_name,
    moment,
    rule_meaning,
    rule_name,
    trouble,
)
from monitor.runtime._web.page import alert, form, notice, page
from monitor.runtime._web.problems import Refusal, headers_of
from monitor.usecases import appeals, ratings
from monitor.words import _

Fields = Mapping[str, str]
IN_A_LINK: Final = "[A-Za-z0-9_-]{8,200}"


def _nowhere(app: App, path: str) -> web.Response:
    said = _("这个链接无效或已经过期。请从通知或答复里完整地复制链接。")
    return page(_("链接无效"), alert(said), path=path, union=app.deps.rules.union_name, status=404)


def _said(error: HuiyinError) -> tuple[int, str]:
    if isinstance(error, Refusal):
        if error.code == "auth.origin":
            return 403, _("请在这个页面上再提交一次。")
        return 429, _("提交太频繁，请稍等片刻再试。")
    return trouble(error)


# --- rating ----------------------------------------------------------------------------------------


def _rating(app: App, token: str, fields: Fields, said: Markup | None, status: int) -> web.Response:
    path = f"/rate/{token}"
    view = ratings.view(app.deps, token)
    over = tag("p", _("这件事现在不等待评价：已经评过，或评价期限已过。"), class_="dim")
    return page(
        _("评价答复"),
        said,
        tag("p", _("编号"), " ", view.reference),
        follow.answers(view.answers),
        follow.rating(path, fields=fields) if view.can_rate else over,
        tag("p", _("可评价至 {day}。").format(day=day(view.until)), class_="dim") if view.until else None,
        path=path,
        union=app.deps.rules.union_name,
        status=status,
    )


def _rate(app: App, token: str, fields: Fields) -> str:
    stars = follow.stars_of(fields)
    case = ratings.rate(app.deps, token, fields.get("solved", ""), stars, fields.get("text", ""))
    if case.state is CaseState.REDO:
        return _("谢谢您的评价。没有解决，已要求重新办理。")
    return _("谢谢您的评价。")


# --- appealing -------------------------------------------------------------------------------------


def _reasons(view: appeals.AppealView) -> Markup:
    """Return the statement of reasons: what, by which rule, on which words, by whom, and whether a machine helped."""
    by = _("由程序提示，由人决定") if view.machine else _("由人发现，由人决定")
    facts = {
        _("编号"): view.reference,
        _("处理"): action_name(view.action),
        _("依据的规则"): f"{rule_name(view.rule)} · {rule_meaning(view.rule)}" if view.rule else None,
        _("决定时间"): moment(view.decided_at),
        _("决定人"): decider_name(view.role),
        _("发现方式"): by,
        _("申诉截止"): day(view.appeal_until) if view.appeal_until else None,
    }
    rows = (join(tag("dt", name), tag("dd", value)) for name, value in facts.items() if value)
    quoted = join(tag("h2", _("依据的原话")), tag("blockquote", view.quote)) if view.quote else None
    said = join(tag("h2", _("说明")), paragraphs(view.explanation)) if view.explanation else None
    return join(tag("dl", *rows), quoted, said)


def _standing(view: appeals.AppealView) -> Markup | None:
    """Return how the appeal stands, if there is one or none is needed."""
    if view.undone:
        return notice(_("这项处理已经撤销，不需要申诉。"))
    if view.outcome is not None:
        ended = _("申诉成立，原处理已改正。") if view.outcome is Action.RESTORE else _("复核后维持原处理。")
        return join(notice(ended), tag("h2", _("复核理由")), paragraphs(view.reason))
    if view.appeal is not None:
        return notice(_("申诉已收到，编号 {n}，正在由另一个人复核。").format(n=view.appeal))
    return None


def _appealing(app: App, token: str, fields: Fields, said: Markup | None, status: int) -> web.Response:
    path = f"/appeal/{token}"
    view = appeals.view(app.deps, token)
    more = view.appeal is not None
    field = follow.words(
        _("补充的内容") if more else _("为什么认为处理不对；可以写新的情况"), "text", fields.get("text", "")
    )
    promise = _("申诉免费，由没有参与过这件事的人复核，十个工作日内说明理由答复；答复就在这个页面上。")
    can = not view.undone and view.outcome is None
    return page(
        _("申诉"),
        said,
        _standing(view),
        _reasons(view),
        join(
            tag("h2", _("补充申诉") if more else _("提出申诉")),
            form(path, field, tag("p", promise, class_="dim"), button=_("提交")),
        )
        if can
        else None,
        path=path,
        union=app.deps.rules.union_name,
        status=status,
    )


def _appeal(app: App, token: str, fields: Fields) -> str:
    appeals.submit(app.deps, token, fields.get("text", ""))
    return _("已提交。")


# --- both ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of link: first part of its path, what its form does, and how it looks."""

    name: str
    act: Callable[[App, str, Fields], str]
    show: Callable[[App, str, Fields, Markup | None, int], web.Response]


def _looked(app: App, kind: _Kind, token: str) -> web.Response:
    try:
        return kind.show(app, token, {}, None, 200)
    except NotFound:
        return _nowhere(app, f"/{kind.name}/{token}")


def _sent(app: App, kind: _Kind, token: str, fields: Fields, refused: Refusal | None) -> web.Response:
    """Do what the form asks and show how things stand then; what was written stands in the form again on failure."""
    try:
        try:
            if refused is not None:
                raise refused
            said = notice(kind.act(app, token, fields))
        except NotFound:
            raise
        except HuiyinError as error:
            status, words = _said(error)
            answer = kind.show(app, token, fields, alert(words), status)
            answer.headers.update(headers_of(error))
            return answer
        return kind.show(app, token, {}, said, 200)
    except NotFound:
        return _nowhere(app, f"/{kind.name}/{token}")


def _page(kind: _Kind) -> Answer:
    async def answer(request: web.Request, fields: Fields) -> web.Response:
        desk, token = request.app[DESK], request.match_info["token"]
        if request.method != "POST":
            return await asyncio.to_thread(_looked, desk.app, kind, token)
        refused: Refusal | None = None
        try:
            admit(request, desk.forms)
        except Refusal as error:
            refused = error
        return await asyncio.to_thread(_sent, desk.app, kind, token, fields, refused)

    return answer


KINDS: Final = (_Kind("appeal", _appeal, _appealing), _Kind("rate", _rate, _rating))


def add_routes(web_app: web.Application) -> None:
    """Open the pages; a token is made of letters, digits, hyphens and underscores."""
    for kind in KINDS:
        handler, path = spoken(_page(kind)), f"/{kind.name}/{{token:{IN_A_LINK}}}"
        web_app.router.add_get(path, handler)
        web_app.router.add_post(path, handler)


__all__ = ["add_routes"]
