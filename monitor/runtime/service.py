"""The web service: programs' API, platforms' pushes, members' pages, operators' paths, behind one shield.

:func:`create` puts it together; ``monitor.runtime.serving`` runs it beside the intake and the dispatcher.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from monitor.bootstrap import App
from monitor.core.errors import HuiyinError
from monitor.runtime._web import (
    api,
    box,
    channels,
    docs_page,
    links,
    names,
    open_page,
    operators,
    problems,
    shield,
)
from monitor.runtime._web.forms import DESK, LANGUAGE, Desk
from monitor.runtime._web.markup import tag
from monitor.runtime._web.metrics import METRICS, Metrics
from monitor.runtime._web.page import alert, here, page
from monitor.runtime._web.sockets import SOCKETS, OpenSockets
from monitor.words import _, speaking

PAGES: Final = frozenset({"box", "appeal", "rate", "open", "docs"})
"""First parts of the paths that are for persons: their errors are pages, all others' are problem documents."""


def _error_page(request: web.Request, error: HuiyinError) -> web.Response:
    status = problems.problem_of(error).status
    with speaking(request.get(LANGUAGE, request.query.get("lang", "zh"))):
        said = {
            403: _("请在原来的页面上再提交一次。"),
            404: _("这里什么也没有。请核对网址，链接要完整。"),
            405: _("这里什么也没有。请核对网址，链接要完整。"),
            413: _("内容太长，没有保存。请分几次提交。"),
            429: _("提交太频繁，请稍等片刻再试。"),
        }.get(status, names.trouble(error)[1])
        answer = page(
            _("没有成功"),
            alert(said),
            tag("p", tag("a", _("回到写信页面"), href=here("/box"))),
            path="/box",
            union=request.app[DESK].app.deps.rules.union_name,
            status=status,
        )
    answer.headers.update(problems.headers_of(error))
    return answer


async def _say_goodbye(web_app: web.Application) -> None:
    await web_app[SOCKETS].close()


def create(app: App) -> web.Application:
    """Return the web application over ``app``, with the paths of every declared channel."""
    web_app = web.Application(
        middlewares=[shield.watch(_error_page, PAGES)], client_max_size=shield.BODY_LIMIT
    )
    web_app[METRICS] = Metrics(app)
    web_app[DESK] = Desk(app)
    web_app[SOCKETS] = OpenSockets()
    web_app.on_response_prepare.append(shield.armour)
    web_app.on_shutdown.append(_say_goodbye)
    api.add_routes(web_app, app)
    operators.add_routes(web_app, app)
    docs_page.add_routes(web_app, app)
    open_page.add_routes(web_app, app)
    box.add_routes(web_app)
    links.add_routes(web_app)
    channels.add_routes(web_app, app)
    return web_app


__all__ = ["create"]
