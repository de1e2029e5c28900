"""我的: language, shortcuts, signing out everywhere."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Actor
from monitor.usecases import accounts
from monitor.words import _, language
from review_ui import session
from review_ui.parts import card, outcome, words


def _out_everywhere() -> None:
    def act(actor: Actor) -> str:
        accounts.sign_out_everywhere(session.deps(), actor)
        return _("所有登录已结束")

    outcome.attempt(act)


def _choices(title: str, path: str, options: dict[str, str], current: str) -> None:
    here = session.link("/me")
    links = " · ".join(
        f"<b>{escape(name)}</b>"
        if value == current
        else f'<a href="{session.link(path)}?to={value}&amp;next={here}">{escape(name)}</a>'
        for value, name in options.items()
    )
    card.meta(f"{title}：{links}")


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("我的"))
    outcome.show()
    roles = "、".join(words.role_names(actor))
    card.meta(f"<b>{escape(actor.name or actor.login)}</b> {escape(actor.title)} · {escape(roles)}")
    _choices(_("语言"), "/lang", {"zh": "中文", "en": "English"}, language())
    on = "on" if session.shortcuts_on() else "off"
    _choices(_("单键快捷键"), "/keys", {"on": _("打开"), "off": _("关闭")}, on)
    card.meta(_("深色与浅色在右上角菜单的设置里切换。"))
    st.button(_("在所有设备上退出"), key="out_everywhere", on_click=_out_everywhere)


if __name__ == "__main__":
    show()
