"""账号: who may sign in, and as what."""

from __future__ import annotations

from html import escape

import streamlit as st

from monitor.core.model import Account, Actor, Role
from monitor.usecases import accounts
from monitor.words import _
from review_ui import session
from review_ui.parts import card, outcome, words

STAFF = tuple(role for role in Role if role not in (Role.MEMBER, Role.SYSTEM))


def _set_roles(login: str) -> None:
    def act(actor: Actor) -> str:
        chosen = frozenset(st.session_state.get(f"roles_{login}") or ())
        accounts.set_roles(session.deps(), actor, login, chosen)
        return _("{who} 的角色已更新").format(who=login)

    outcome.attempt(act)


def _disable(login: str) -> None:
    def act(actor: Actor) -> str:
        accounts.disable(session.deps(), actor, login)
        return _("{who} 已停用，其登录已全部结束").format(who=login)

    outcome.attempt(act)


def line(account: Account, actor: Actor) -> None:
    """Draw one account with its roles."""
    with st.container(border=True, key=f"account_{account.login}"):
        unit = f" · {escape(account.unit)}" if account.unit else ""
        off = "" if account.active else card.tags([_("已停用")], hot=True)
        title = f" {escape(account.title)}" if account.title else ""
        card.meta(f"<b>{escape(account.login)}</b> {escape(account.name)}{title}{unit} {off}")
        st.pills(
            _("角色"),
            STAFF,
            default=sorted(account.roles & set(STAFF)),
            selection_mode="multi",
            format_func=words.role_name,
            key=f"roles_{account.login}",
            disabled=not account.active,
            label_visibility="collapsed",
        )
        with st.container(horizontal=True):
            st.button(_("保存角色"), key=f"save_{account.login}", on_click=_set_roles, args=(account.login,))
            st.button(
                _("停用"),
                key=f"disable_{account.login}",
                on_click=_disable,
                args=(account.login,),
                disabled=not account.active or account.login == actor.login,
            )


def add() -> None:
    """Draw the form for a new account."""
    with st.expander(_("新增账号")), st.form("new_account", clear_on_submit=True):
        login = st.text_input(_("账号（字母数字）"), max_chars=64)
        name = st.text_input(_("姓名"), max_chars=64)
        title = st.text_input(_("职务（公开署名用）"), max_chars=64)
        unit = st.text_input(_("单位"), max_chars=64)
        roles = st.pills(_("角色"), STAFF, selection_mode="multi", format_func=words.role_name)
        password = st.text_input(_("初始密码"), type="password", max_chars=256)
        if not st.form_submit_button(_("新增")):
            return

    def act(actor: Actor) -> str:
        chosen = frozenset(roles or ())
        accounts.add_account(session.deps(), actor, login, name, title, chosen, unit or None, password)
        return _("已新增账号 {who}").format(who=login)

    outcome.attempt(act)
    st.rerun()


def show() -> None:
    """Draw the page."""
    actor = session.enter()
    st.title(_("账号"))
    outcome.show()
    add()
    for account in accounts.list_accounts(session.deps(), actor):
        line(account, actor)


if __name__ == "__main__":
    show()
