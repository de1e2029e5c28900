"""The suggestion box as a page: write without an account, get a receipt, follow the matter by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from monitor.bootstrap import App
from monitor.core.errors import BadInput, HuiyinError, NotFound
from monitor.core.model import Role
from monitor.core.privacy import LIMIT
from monitor.runtime._web import follow
from monitor.runtime._web.forms import DESK, admit, new_number, spoken
from monitor.runtime._web.markup import Markup, join, tag
from monitor.runtime._web.names import trouble
from monitor.runtime._web.page import alert, form, here, hidden, page
from monitor.runtime._web.problems import Refusal, headers_of
from monitor.usecases import box
from monitor.words import _

BOX_TYPE: Final = "box"
LONGEST_UNIT, LONGEST_CONTACT = box.LONGEST_UNIT, box.LONGEST_CONTACT
Fields = Mapping[str, str]


def _channel(app: App) -> str | None:
    """Return the name of the first suggestion box that takes words now."""
    boxes = [c.name for c in app.config.channels.values() if c.type == BOX_TYPE and not c.paused]
    with app.deps.uow.read() as store:
        paused = {row.name for row in store.channels.status() if row.state == "paused"}
    return next((name for name in boxes if name not in paused), None)


def _units(app: App) -> list[str]:
    """Return the units that somebody answers for."""
    with app.deps.uow.read() as store:
        accounts = store.accounts.all()
    return sorted({a.unit for a in accounts if a.active and a.unit and Role.HANDLER in a.roles})


def _look(app: App) -> tuple[str | None, list[str]]:
    return _channel(app), _units(app)


# --- writing ---------------------------------------------------------------------------------------


def _promise() -> Markup:
    return join(
        tag("h2", _("提交之后会怎样")),
        tag(
            "ol",
            tag("li", _("您会得到一个 16 位回执号。请记下来：只有凭它才能查询、补充、评价或撤回。")),
            tag("li", _("工会登记后交给负责的单位，您能看到每一步和答复期限。")),
            tag("li", _("答复由公开署名的人作出；解决没有，由您来评价。")),
            class_="steps",
        ),
        tag("h2", _("您的隐私")),
        tag(
            "p",
            _(
                "不需要账号，不需要姓名。我们不保存您的网络地址，不使用 Cookie。文中的电话、证件号、邮箱会自动遮盖。"
                "联系方式只有您填写时才会加密保存，只用于答复。批评和意见不会因为语气或对象被删除。"
            ),
        ),
    )


def _written(units: list[str], fields: Fields) -> Markup:
    number = fields.get("once") or new_number()
    return form(
        "/box",
        hidden(once=number),
        tag("label", _("您想说什么"), for_="text"),
        tag(
            "textarea",
            fields.get("text", ""),
            id="text",
            name="text",
            required=True,
            maxlength=LIMIT,
            autocomplete="off",
        ),
        tag("label", _("涉及单位"), " ", tag("small", _("可不填")), for_="unit"),
        tag(
            "input",
            id="unit",
            name="unit",
            value=fields.get("unit", ""),
            maxlength=LONGEST_UNIT,
            list="units",
            autocomplete="off",
        ),
        tag("datalist", *(tag("option", value=unit) for unit in units), id="units"),
        tag("label", _("联系方式"), " ", tag("small", _("可不填，只用于答复您")), for_="contact"),
        tag(
            "input",
            id="contact",
            name="contact",
            value=fields.get("contact", ""),
            maxlength=LONGEST_CONTACT,
            autocomplete="off",
        ),
        button=_("提交"),
    )


def _writing(
    app: App, look: tuple[str | None, list[str]], fields: Fields, said: str = "", status: int = 200
) -> web.Response:
    channel, units = look
    union = app.deps.rules.union_name
    if channel is None:
        inside = alert(_("这个信箱现在没有开放。请用其他渠道联系工会，或稍后再来。"))
        return page(_("写给工会"), inside, path="/box", union=union, status=503)
    return page(
        _("写给工会"),
        tag("p", _("件件有着落，事事有回音。"), class_="dim"),
        alert(said) if said else None,
        _written(units, fields),
        _promise(),
        path="/box",
        union=union,
        status=status,
    )


def grouped(receipt: str) -> str:
    """Return a receipt in groups of four digits."""
    return "-".join(receipt[at : at + 4] for at in range(0, len(receipt), 4))


def _received(app: App, receipt: str) -> web.Response:
    return page(
        _("已收到"),
        tag("p", _("这是您的回执号。请抄下或截图保存：它只显示这一次，我们也无法替您找回。")),
        tag("p", grouped(receipt), class_="receipt"),
        tag("p", _("凭回执号可以查询进度、看答复、补充、评价和撤回。")),
        form("/box/r", hidden(receipt=receipt), button=_("现在查询")),
        tag("p", tag("a", _("再写一件"), href=here("/box"))),
        path="/box",
        union=app.deps.rules.union_name,
    )


def _lacking(fields: Fields) -> str:
    """Return what is wrong with a form in words, or nothing."""
    if not fields.get("text", "").strip():
        return _("请写下您想说的话。")
    if len(fields["text"]) > LIMIT:
        return _("正文最多 {n} 字，请分几次提交。").format(n=LIMIT)
    if len(fields.get("unit", "")) > LONGEST_UNIT:
        return _("单位名称最多 {n} 字。").format(n=LONGEST_UNIT)
    if len(fields.get("contact", "")) > LONGEST_CONTACT:
        return _("联系方式最多 {n} 字。").format(n=LONGEST_CONTACT)
    return ""


def _stopped(
    app: App, look: tuple[str | None, list[str]], fields: Fields, error: HuiyinError
) -> web.Response:
    """Return the form again with the reason, nothing lost of what was written."""
    if isinstance(error, Refusal):
        status = {"auth.origin": 403}.get(error.code, 429)
        said = _("请在这个页面上再提交一次。") if status == 403 else _("提交太频繁，请稍等片刻再提交。")
    else:
        status, said = trouble(error)
    answer = _writing(app, look, fields, said, status)
    answer.headers.update(headers_of(error))
    return answer


async def _write(request: web.Request, fields: Fields) -> web.Response:
    desk = request.app[DESK]
    app = desk.app
    look = await asyncio.to_thread(_look, app)
    channel = look[0]
    if request.method != "POST" or channel is None:
        return _writing(app, look, {})
    try:
        admit(request, desk.forms)
        lacking = _lacking(fields)
        if lacking:
            return _writing(app, look, fields, lacking, 422)
        given = (fields["text"], fields.get("unit"), fields.get("contact"))
        receipt = await desk.recent.once(
            fields.get("once", "")[:64], lambda: asyncio.to_thread(box.submit, app.deps, channel, *given)
        )
    except HuiyinError as error:
        return _stopped(app, look, fields, error)
    return _received(app, receipt)


# --- following -------------------------------------------------------------------------------------


def _entry(app: App, said: str = "", status: int = 200) -> web.Response:
    return page(
        _("凭回执查询"),
        alert(said) if said else None,
        form(
            "/box/r",
            tag("label", _("16 位回执号"), for_="receipt"),
            tag(
                "input",
                id="receipt",
                name="receipt",
                required=True,
                maxlength=40,
                inputmode="numeric",
                autocomplete="off",
                placeholder="0000-0000-0000-0000",
            ),
            button=_("查询"),
        ),
        tag("p", _("回执号不会出现在网址里，也不会留在日志里。"), class_="dim"),
        path="/box/r",
        union=app.deps.rules.union_name,
        status=status,
    )


def _act(app: App, fields: Fields, remote: str) -> tuple[box.FollowView, str]:
    """Do what the form asks and return how the matter stands now, with what was done in words."""
    receipt, text = fields.get("receipt", ""), fields.get("text", "")
    given = (app.deps, receipt)
    doing: Mapping[str, tuple[Callable[[], box.FollowView], str]] = {
        "": (lambda: box.follow(*given, remote=remote), ""),
        "add": (lambda: box.add(*given, text, remote=remote), _("已补充。")),
        "rate": (
            lambda: box.rate(*given, fields.get("solved", ""), follow.stars_of(fields), text, remote=remote),
            _("谢谢您的评价。"),
        ),
        "reopen": (lambda: box.reopen(*given, text, remote=remote), _("已要求重新办理。")),
        "withdraw": (lambda: box.withdraw(*given, remote=remote), _("已撤回。")),
    }
    if fields.get("do", "") not in doing:
        raise BadInput("there is no such button")
    run, said = doing[fields.get("do", "")]
    return run(), said


def _followed(app: App, fields: Fields, remote: str) -> web.Response:
    receipt, union = fields.get("receipt", ""), app.deps.rules.union_name
    try:
        view, said = _act(app, fields, remote)
    except NotFound:
        return _entry(app, _("没有这个回执。请核对 16 位数字后再试。"), 404)
    except HuiyinError as error:
        status, said = trouble(error)
        if status == 429:
            return _entry(app, said, status)
        view = box.follow(app.deps, receipt)
        return follow.shown(app, view, receipt, alert(said), fields, union, status)
    return follow.shown(app, view, receipt, follow.told(said), {}, union)


async def _follow(request: web.Request, fields: Fields) -> web.Response:
    desk = request.app[DESK]
    if request.method != "POST":
        return _entry(desk.app)
    try:
        remote = admit(request, desk.receipts)
    except Refusal as error:
        status = 403 if error.code == "auth.origin" else 429
        said = _("请在这个页面上再提交一次。") if status == 403 else _("查询太频繁，请稍等片刻再试。")
        answer = _entry(desk.app, said, status)
        answer.headers.update(headers_of(error))
        return answer
    return await asyncio.to_thread(_followed, desk.app, fields, remote)


def add_routes(web_app: web.Application) -> None:
    """Open the pages of the suggestion box."""
    for path, answer in (("/box", spoken(_write)), ("/box/r", spoken(_follow))):
        web_app.router.add_get(path, answer)
        web_app.router.add_post(path, answer)


__all__ = ["add_routes", "grouped"]
