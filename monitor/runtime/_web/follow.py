"""How a matter looks to who holds its receipt, with the buttons that are possible now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from aiohttp import web

from monitor.bootstrap import App
from monitor.runtime._web.markup import Markup, join, tag
from monitor.runtime._web.names import day, moment
from monitor.runtime._web.page import choice, form, hidden, notice, page
from monitor.usecases._member import LONGEST_WORDS, Answer
from monitor.usecases.box import FollowView
from monitor.words import _

STARS: Final = ("5", "4", "3", "2", "1")
Fields = Mapping[str, str]


def stars_of(fields: Fields) -> int:
    """Return the stars of a form, 0 for what is none."""
    return int(fields["stars"]) if fields.get("stars") in STARS else 0


def told(said: str) -> Markup | None:
    """Return what was done, if there is something to say."""
    return notice(said) if said else None


def answers(given: tuple[Answer, ...]) -> Markup:
    """Return the answers that are out."""
    if not given:
        return tag("p", _("还没有答复。"), class_="dim")
    return join(
        *(
            tag(
                "section",
                tag("blockquote", one.text),
                tag("p", one.signature, " · ", moment(one.at), class_="dim"),
            )
            for one in given
        )
    )


def words(label: str, name: str, value: str = "", required: bool = True) -> Markup:
    """Return a field for some lines of text."""
    return join(
        tag("label", label, for_=name),
        tag(
            "textarea",
            value,
            id=name,
            name="text",
            required=required,
            maxlength=LONGEST_WORDS,
            autocomplete="off",
        ),
    )


def rating(action: str, *before: str, fields: Fields) -> Markup:
    """Return the form by which the member says whether it is solved."""
    solved = {"yes": _("已解决"), "partly": _("部分解决"), "no": _("没有解决")}
    stars = {
        "5": _("5 非常满意"),
        "4": _("4 满意"),
        "3": _("3 一般"),
        "2": _("2 不满意"),
        "1": _("1 很不满意"),
    }
    return form(
        action,
        *before,
        choice("solved", _("问题解决了吗"), solved, fields.get("solved", "")),
        choice("stars", _("您对答复满意吗"), stars, fields.get("stars", "")),
        words(_("还想说的话（可不填）"), "rate-text", fields.get("text", ""), required=False),
        tag("p", _("选择“没有解决”会重新办理。评价只能由您作出，工作人员不能评价或修改。"), class_="dim"),
        button=_("提交评价"),
    )


def _linked(text: str, base_url: str) -> Markup:
    """Return a notice with our own links to the appeal made clickable, and nobody else's."""
    ours = re.compile(re.escape(base_url) + r"/(?:appeal|rate)/[A-Za-z0-9_-]+")
    parts: list[str] = []
    last = 0
    for found in ours.finditer(text):
        path = found[0].removeprefix(base_url)
        parts += [text[last : found.start()], tag("a", _("打开申诉页面"), href=path)]
        last = found.end()
    return tag("blockquote", *parts, text[last:])


def _facts(view: FollowView) -> Markup:
    rows = {
        _("状态"): view.state_name,
        _("提交时间"): moment(view.since),
        _("编号"): view.reference,
        _("承办单位"): view.unit,
        _("答复期限"): view.due_at
        and day(view.due_at) + (_("（节假日安排公布后确认）") if view.due_to_confirm else ""),
        _("可评价至"): view.rate_until and day(view.rate_until),
    }
    return tag("dl", *(join(tag("dt", name), tag("dd", value)) for name, value in rows.items() if value))


def _steps(view: FollowView) -> Markup | None:
    if not view.steps:
        return None
    lines = (
        tag("li", moment(step.at), " ", step.name, f" · {step.reason}" if step.reason else None)
        for step in view.steps
    )
    return join(tag("h2", _("经过")), tag("ol", *lines, class_="steps"))


def _buttons(view: FollowView, receipt: str, fields: Fields) -> Iterator[Markup]:
    """Yield a form for everything that is possible now; words that could not be sent stand in their form again."""

    def kept(do: str) -> Fields:
        return fields if fields.get("do") == do else {}

    def mine(do: str) -> Markup:
        return hidden(receipt=receipt, do_=do)

    if "rate" in view.can:
        yield tag("h2", _("评价答复"))
        yield rating("/box/r", mine("rate"), fields=kept("rate"))
    if "add" in view.can:
        yield tag("h2", _("补充"))
        field = words(_("补充的内容"), "add-text", kept("add").get("text", ""))
        yield form("/box/r", mine("add"), field, button=_("提交补充"))
    if "reopen" in view.can:
        yield tag("h2", _("要求重新办理"))
        field = words(_("为什么要重新办理"), "reopen-text", kept("reopen").get("text", ""))
        yield form("/box/r", mine("reopen"), field, button=_("提交"))
    if "withdraw" in view.can:
        yield tag(
            "details",
            tag("summary", _("撤回")),
            tag("p", _("撤回后不再办理。已经写下的内容按规定期限保存后删除。")),
            form("/box/r", mine("withdraw"), button=_("确认撤回"), quiet=True),
        )


def shown(
    app: App,
    view: FollowView,
    receipt: str,
    said: Markup | None,
    fields: Fields,
    union: str,
    status: int = 200,
) -> web.Response:
    """Return the page of one matter; the receipt stands only in hidden fields of its forms."""
    notices = (_linked(text, app.deps.rules.base_url) for text in view.notices)
    return page(
        _("办理进度"),
        said,
        _facts(view),
        tag("h2", _("答复")),
        answers(view.answers),
        join(tag("h2", _("对您内容的处理")), *notices) if view.notices else None,
        *_buttons(view, receipt, fields),
        _steps(view),
        form("/box/r", hidden(receipt=receipt), button=_("刷新"), quiet=True),
        path="/box/r",
        union=union,
        status=status,
    )


__all__ = ["answers", "rating", "shown", "stars_of", "told", "words"]
