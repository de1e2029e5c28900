"""``huiyin user``: accounts of staff, for whoever may write the data directory."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitor.cli._hand import Json, emit, opened, table
from monitor.core.errors import BadInput
from monitor.core.model import SYSTEM, Role
from monitor.words import _

Roles = Annotated[list[Role], typer.Option("--role", help=_("角色，可重复"))]


def register(root: typer.Typer) -> None:
    """Mount ``user`` on the root command."""
    app = typer.Typer(no_args_is_help=True)
    app.command(
        "add",
        help=_("新增账号；密码从终端或标准输入读取。"),
        epilog="huiyin user add mod.li --name 李审 --title 工会审核员 --role moderator",
    )(add)
    app.command("list", help=_("列出账号。"), epilog="huiyin user list --json")(list_)
    app.command(
        "role",
        help=_("设定账号的角色（整组替换）。"),
        epilog="huiyin user role mod.li --role moderator --role officer",
    )(role)
    app.command("passwd", help=_("重设密码并结束该账号的所有登录。"), epilog="huiyin user passwd mod.li")(
        passwd
    )
    app.command("disable", help=_("停用账号并结束其所有登录。"), epilog="huiyin user disable mod.li")(disable)
    app.command(
        "token", help=_("给程序一个令牌；只显示这一次。"), epilog="huiyin user token mod.li --name reporting"
    )(token)
    root.add_typer(app, name="user", help=_("账号：新增、列出、角色、密码、停用、程序令牌。"))


def _password() -> str:
    """Ask for a password twice, or read one line when stdin is no terminal."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first: str = typer.prompt(_("密码"), hide_input=True, err=True)
    if typer.prompt(_("再输一次"), hide_input=True, err=True) != first:
        raise BadInput(_("两次输入不一致。"))
    return first


def add(
    login: str,
    role: Roles,
    name: Annotated[str, typer.Option("--name", help=_("姓名"))] = "",
    title: Annotated[str, typer.Option("--title", help=_("职务（公开署名用）"))] = "",
    unit: Annotated[str | None, typer.Option("--unit", help=_("单位"))] = None,
) -> None:
    """Add an account; the password comes from the terminal or from stdin."""
    from monitor.usecases import accounts

    password = _password()
    with opened(models=False) as application:
        accounts.add_account(application.deps, SYSTEM, login, name, title, frozenset(role), unit, password)


def list_(as_json: Json = False) -> None:
    """Print the accounts."""
    from monitor.usecases import accounts

    with opened(models=False) as application:
        found = accounts.list_accounts(application.deps, SYSTEM)
    if as_json:
        for account in found:
            emit(account)
        return
    lines = [(a.login, a.name, a.title, ",".join(sorted(a.roles)), a.unit, a.active) for a in found]
    table(lines, (_("账号"), _("姓名"), _("职务"), _("角色"), _("单位"), _("启用")))


def role(login: str, role: Roles) -> None:
    """Replace the roles of an account."""
    from monitor.usecases import accounts

    with opened(models=False) as application:
        accounts.set_roles(application.deps, SYSTEM, login, frozenset(role))


def passwd(login: str) -> None:
    """Set a new password."""
    from monitor.usecases import accounts

    password = _password()
    with opened(models=False) as application:
        accounts.set_password(application.deps, SYSTEM, login, password)


def disable(login: str) -> None:
    """Disable an account and end its sessions."""
    from monitor.usecases import accounts

    with opened(models=False) as application:
        accounts.disable(application.deps, SYSTEM, login)


def token(login: str, name: Annotated[str, typer.Option("--name", help=_("用途"))] = "api") -> None:
    """Print a new token for a program, once."""
    from monitor.usecases import accounts

    with opened(models=False) as application:
        typer.echo(accounts.issue_token(application.deps, SYSTEM, login, name))
