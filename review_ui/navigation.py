"""Which screens a person sees. Visibility is convenience; the use cases authorise each act again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import Page

from monitor.core.model import Actor, Role
from monitor.words import _
from review_ui import session
from review_ui.parts.words import role_names

SCREENS = Path(__file__).resolve().parent / "screens"


@dataclass(frozen=True, slots=True)
class Screen:
    """One page: file name without suffix, its title, icon and the roles that see it."""

    name: str
    title: Callable[[], str]
    icon: str
    roles: frozenset[Role]


def _for(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


_ALL = frozenset(Role) - {Role.MEMBER, Role.SYSTEM}
_MOD, _LEAD, _OFF = Role.MODERATOR, Role.LEADER, Role.OFFICER

PAGES: tuple[Screen, ...] = (
    Screen("queue", lambda: _("审核"), "inbox", _for(_MOD, _OFF)),
    Screen("browse", lambda: _("列表"), "list", _for(_MOD, _OFF)),
    Screen("mine", lambda: _("我的处理"), "history", _for(_MOD)),
    Screen("appeals", lambda: _("申诉复核"), "balance", _for(_MOD, _OFF)),
    Screen("answer", lambda: _("答复台"), "campaign", _for(_LEAD)),
    Screen("replies", lambda: _("回复审批"), "task_alt", _for(_LEAD, _OFF)),
    Screen("cases", lambda: _("诉求办理"), "assignment", _for(_OFF, Role.HANDLER)),
    Screen("trends", lambda: _("趋势"), "monitoring", _for(_OFF)),
    Screen("health", lambda: _("渠道与健康"), "monitor_heart", _for(_OFF, Role.ADMIN)),
    Screen("accounts", lambda: _("账号"), "group", _for(Role.ADMIN)),
    Screen("me", lambda: _("我的"), "person", _ALL),
)


HOMES: tuple[tuple[Role, str], ...] = (
    (_MOD, "queue"),
    (_LEAD, "answer"),
    (_OFF, "cases"),
    (Role.HANDLER, "cases"),
    (Role.ADMIN, "health"),
)
"""Where a person begins: the first row of a role that they hold."""


def home_of(actor: Actor) -> str:
    """Return the name of the screen that a person begins with."""
    return next((name for role, name in HOMES if actor.has(role)), "me")


def screens_of(actor: Actor) -> list[Screen]:
    """Return the screens that this person's roles open, in the order of the menu."""
    return [screen for screen in PAGES if screen.roles & actor.roles]


def sections(actor: Actor) -> dict[str, list[Page]]:
    """Return the menu for ``st.navigation`` with the person's home page."""
    home = home_of(actor)
    pages = [
        st.Page(
            SCREENS / f"{screen.name}.py",
            title=screen.title(),
            icon=f":material/{screen.icon}:",
            url_path=screen.name,
            default=screen.name == home,
        )
        for screen in screens_of(actor)
    ]
    return {_("回音"): pages}


def identity(actor: Actor) -> None:
    """Say who is signed in, with the way out."""
    name = escape(actor.name or actor.login)
    roles = escape("、".join(role_names(actor)))
    leave = f'<a href="{session.link("/logout")}">{_("退出登录")}</a>'
    st.html(f'<p class="hy-who"><strong>{name}</strong><br><span>{roles}</span><br>{leave}</p>')
