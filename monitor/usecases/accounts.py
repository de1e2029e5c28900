"""Staff accounts, their roles, signing in and the sessions behind it (S-04 to S-06).

Roles and ``active`` are read again at every look-up, so a change holds from the next click on. Nothing here says
whether a login exists: a wrong name, a wrong password and a closed account look and last the same.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.errors import BadInput, Conflict, NotAllowed
from monitor.core.model import SYSTEM, Account, Actor, Role
from monitor.core.ports import Passwords, SignInSession, Store
from monitor.core.privacy import clean
from monitor.core.roles import STAFF, require
from monitor.usecases._attempts import must_wait, too_many_from
from monitor.usecases._passphrase import check_password, typed
from monitor.usecases.deps import Deps

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
TOUCH_EVERY = timedelta(seconds=30)
_SKEW = timedelta(minutes=5)
"""How far a moment of a session may lie in the future before the session counts as over."""

FIRST_ADMIN = "admin"
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_RESERVED = frozenset({"system", "member", "anonymous"})
_LONGEST_FIELD = 64
_REFUSED = "login or password is wrong, or there were too many tries; wait a minute and try again"


def _passwords(deps: Deps) -> Passwords:
    if deps.passwords is None:
        raise NotAllowed("local sign-in is switched off here; use the university's sign-in")
    return deps.passwords


# --- accounts --------------------------------------------------------------------------------------


def _field(name: str, value: str) -> str:
    text = " ".join(clean(value).split())
    if len(text) > _LONGEST_FIELD:
        raise BadInput(f"the {name} is longer than {_LONGEST_FIELD} characters; shorten it")
    return text


def _check_roles(roles: frozenset[Role], unit: str | None) -> None:
    if not roles or not roles <= STAFF:
        raise BadInput(f"choose one or more of: {', '.join(sorted(STAFF))}")
    if Role.HANDLER in roles and unit is None:
        raise BadInput("a handler belongs to a unit; give it, or nothing would be shown to them")


def _note(store: Store, deps: Deps, actor: Actor, kind: str, content: Mapping[str, object]) -> None:
    store.ledger.append(f"account.{kind}", "", actor.login, content, deps.clock.now())


def _names(roles: frozenset[Role]) -> list[str]:
    return sorted(role.value for role in roles)


def _account(
    deps: Deps, login: str, name: str, title: str, roles: frozenset[Role], unit: str | None
) -> Account:
    if not _LOGIN.fullmatch(login) or login in _RESERVED:
        raise BadInput(
            "a login has 2 to 64 small letters, digits, dots, dashes; it begins with letter or digit"
        )
    where = _field("unit", unit or "") or None
    _check_roles(roles, where)
    return Account(login, _field("name", name), _field("title", title), roles, where, True, deps.clock.now())


def _store_account(store: Store, deps: Deps, actor: Actor, account: Account, hashed: str) -> None:
    if store.accounts.password_hash(account.login) is not None:
        raise Conflict("this login is taken; choose another one")
    store.accounts.add(account, hashed)
    _note(store, deps, actor, "added", {"login": account.login, "roles": _names(account.roles)})


def add_account(
    deps: Deps,
    actor: Actor,
    login: str,
    name: str,
    title: str,
    roles: frozenset[Role],
    unit: str | None,
    password: str,
) -> None:
    """Add an account.

    Args:
        deps: what every use case is given.
        actor: an administrator, or the system.
        login: small letters, digits, dots and dashes.
        name: how the person signs; without one the login signs.
        title: the post that is shown with the name.
        roles: staff roles; a member needs no account, and nobody is the system.
        unit: the person's unit; a handler needs one.
        password: the first one, at least 12 characters.

    Raises: NotAllowed, Conflict (the login is taken), BadInput.
    """
    require(actor, "accounts.add_account")
    account = _account(deps, login, name, title, roles, unit)
    check_password(login, password)
    hashed = _passwords(deps).hash(password)
    with deps.uow.begin(actor) as store:
        _store_account(store, deps, actor, account, hashed)


def _keep_an_admin(store: Store, login: str) -> None:
    """Raise NotAllowed when ``login`` is the last one who can administer."""
    admins = [a.login for a in store.accounts.all() if a.active and Role.ADMIN in a.roles]
    if admins == [login]:
        raise NotAllowed("this is the last administrator; make another one first")


def set_roles(deps: Deps, actor: Actor, login: str, roles: frozenset[Role]) -> None:
    """Give an account other roles; they hold from its next click on.

    Raises: NotFound, NotAllowed (the last administrator), BadInput.
    """
    require(actor, "accounts.set_roles")
    with deps.uow.begin(actor) as store:
        account = store.accounts.get(login)
        _check_roles(roles, account.unit)
        if Role.ADMIN not in roles:
            _keep_an_admin(store, login)
        store.accounts.set_roles(login, roles)
        changed = {"login": login, "before": _names(account.roles), "roles": _names(roles)}
        _note(store, deps, actor, "roles", changed)


def set_password(deps: Deps, actor: Actor, login: str, password: str) -> None:
    """Give an account another password and end its sessions.

    Raises: NotFound, NotAllowed, BadInput.
    """
    require(actor, "accounts.set_password")
    check_password(login, password)
    hashed = _passwords(deps).hash(password)
    with deps.uow.begin(actor) as store:
        store.accounts.set_password(login, hashed)
        store.accounts.end_sessions(login)
        _note(store, deps, actor, "password", {"login": login})


def disable(deps: Deps, actor: Actor, login: str) -> None:
    """Close an account, end its sessions and silence its tokens.

    Raises: NotFound, NotAllowed (the last administrator).
    """
    require(actor, "accounts.disable")
    with deps.uow.begin(actor) as store:
        store.accounts.get(login)
        _keep_an_admin(store, login)
        store.accounts.set_active(login, False)
        store.accounts.end_sessions(login)
        _note(store, deps, actor, "disabled", {"login": login})


def list_accounts(deps: Deps, actor: Actor) -> list[Account]:
    """Return every account by login. Raises NotAllowed."""
    require(actor, "accounts.list_accounts")
    with deps.uow.read() as store:
        return store.accounts.all()


def bootstrap_admin(deps: Deps) -> tuple[str, str] | None:
    """Make the first administrator when there is no account at all.

    Returns: login and a password that is shown once and stored nowhere, or None when there are accounts.
    """
    with deps.uow.read() as store:
        if store.accounts.all():
            return None
    password = "-".join(secrets.token_hex(3) for _part in range(4))
    hashed = _passwords(deps).hash(password)
    account = Account(FIRST_ADMIN, FIRST_ADMIN, "", frozenset({Role.ADMIN}), None, True, deps.clock.now())
    with deps.uow.begin() as store:
        if store.accounts.all():
            return None
        _store_account(store, deps, SYSTEM, account, hashed)
    return FIRST_ADMIN, password


# --- signing in ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Try:
    """One try at signing in: the login as far as it can be one, and the keys under which tries are counted."""

    login: str
    account: str
    address: str


def _try(deps: Deps, login: str, remote: str) -> _Try:
    wanted = login.strip().casefold()
    known = wanted if _LOGIN.fullmatch(wanted) else ""  # "" is nobody's login
    return _Try(known, deps.keys.digest("login", wanted), deps.keys.digest("address", remote))


def _begin(deps: Deps, made: _Try) -> str | None:
    """Count the try before it is evaluated, so that tries at the same moment cannot slip through together.

    A try that has to wait is rolled back: only what is evaluated counts.

    Returns: the stored hash to compare with, None for an unknown login.

    Raises: NotAllowed when the account or the address has to wait.
    """
    now = deps.clock.now()
    with deps.uow.begin() as store:
        store.accounts.note_failure(made.account, now)
        if must_wait(store, made.account, now) or too_many_from(store, made.address, now):
            raise NotAllowed(_REFUSED)
        return store.accounts.password_hash(made.login)


def _matches(passwords: Passwords, hashed: str | None, password: str) -> bool:
    """Compare; an unknown login costs the same work as a known one."""
    if hashed is None:
        passwords.hash(password)
        return False
    return passwords.verify(hashed, password)


def _hashed(sid: str) -> str:
    return hashlib.sha256(sid.encode("utf-8", "replace")).hexdigest()


def sign_in(deps: Deps, login: str, password: str, remote: str) -> str:
    """Return the id of a new session for the right login and password.

    After 5 wrong tries an account waits 1 second, doubling to 60; an address has 10 wrong tries a minute; never
    are more than 100 tries of an account evaluated in an hour. When the store cannot count, nobody gets in.

    Args:
        deps: what every use case is given.
        login: as typed.
        password: as typed.
        remote: address of who asks.

    Raises: NotAllowed, with one and the same sentence for every reason.
    """
    passwords, made = _passwords(deps), _try(deps, login, remote)
    right = _matches(passwords, _begin(deps, made), typed(password))
    sid, now = secrets.token_urlsafe(32), deps.clock.now()
    with deps.uow.begin() as store:
        if right and store.accounts.get(made.login).active:
            store.accounts.clear_failures(made.account)
            store.accounts.add_session(SignInSession(_hashed(sid), made.login, now, now))
            return sid
        store.accounts.note_failure(made.address, now)
    raise NotAllowed(_REFUSED)


def sign_out(deps: Deps, sid: str) -> None:
    """End one session; an unknown one is fine."""
    with deps.uow.begin() as store:
        store.accounts.end_session(_hashed(sid))


def sign_out_everywhere(deps: Deps, actor: Actor) -> None:
    """End every session of the actor. Raises NotAllowed."""
    require(actor, "accounts.sign_out_everywhere")
    with deps.uow.begin(actor) as store:
        store.accounts.end_sessions(actor.login)


def _alive(session: SignInSession, now: datetime) -> bool:
    idle, whole = now - session.seen_at, now - session.created_at
    return -_SKEW <= idle <= IDLE and -_SKEW <= whole <= ABSOLUTE


def actor_of(deps: Deps, sid: str, *, touch: bool) -> Actor | None:
    """Return who is behind a session id, or None when the session or the account is over.

    Args:
        deps: what every use case is given.
        sid: the session id.
        touch: count this as activity.
    """
    now, sid_hash = deps.clock.now(), _hashed(sid)
    with deps.uow.read() as store:
        session = store.accounts.session(sid_hash)
        account = None if session is None else store.accounts.get(session.login)
    if session is None or account is None:
        return None
    alive = _alive(session, now) and account.active
    if not alive or (touch and now - session.seen_at >= TOUCH_EVERY):
        with deps.uow.begin() as store:
            if alive:
                store.accounts.touch_session(sid_hash, now)
            else:
                store.accounts.end_session(sid_hash)
    return account.actor() if alive else None


# --- programs --------------------------------------------------------------------------------------


def issue_token(deps: Deps, actor: Actor, login: str, name: str) -> str:
    """Return a token with which a program acts as an account; shown once, stored as a keyed digest.

    Args:
        deps: what every use case is given.
        actor: an administrator, or the system.
        login: the account that the program acts as.
        name: what the token is for.

    Raises: NotFound, NotAllowed, BadInput.
    """
    require(actor, "accounts.issue_token")
    label = _field("name", name)
    if not label:
        raise BadInput("say what the token is for")
    token = f"hy_{secrets.token_urlsafe(32)}"
    with deps.uow.begin(actor) as store:
        if not store.accounts.get(login).active:
            raise BadInput("this account is closed; a token for it would open nothing")
        store.accounts.add_api_token(deps.keys.digest("token", token), login, label, deps.clock.now())
        _note(store, deps, actor, "token", {"login": login, "name": label})
    return token


def actor_of_token(deps: Deps, token: str) -> Actor | None:
    """Return who a program acts as, or None for an unknown token or a closed account."""
    with deps.uow.read() as store:
        login = store.accounts.api_token(deps.keys.digest("token", token))
        account = None if login is None else store.accounts.get(login)
    return account.actor() if account is not None and account.active else None


__all__ = [
    "actor_of",
    "actor_of_token",
    "add_account",
    "bootstrap_admin",
    "check_password",
    "disable",
    "issue_token",
    "list_accounts",
    "set_password",
    "set_roles",
    "sign_in",
    "sign_out",
    "sign_out_everywhere",
]
