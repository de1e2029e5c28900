"""Accounts: who may make them, what a password must be, how guessing is slowed, when a session ends."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.errors import BadInput, Conflict, NotAllowed, NotFound
from monitor.core.model import SYSTEM, Actor, Role
from monitor.testing.builders import ADMIN, HANDLER, LEADER, MODERATOR, OFFICER, FixedClock, PlainPasswords
from monitor.usecases import accounts
from monitor.usecases._attempts import recent, wait_after
from monitor.usecases._passphrase import check_password
from monitor.usecases.deps import Deps

PASSWORD = "four words in a row"
OTHER = "another quiet evening"


class Counting(PlainPasswords):
    """Counts how often a password was really compared or hashed."""

    def __init__(self) -> None:
        self.work = 0

    def hash(self, password: str) -> str:
        self.work += 1
        return super().hash(password)

    def verify(self, hashed: str, password: str) -> bool:
        return super().verify(hashed, password)


def add(deps: Deps, login: str = "mod.li", *roles: Role, unit: str | None = None, who: Actor = ADMIN) -> None:
    wanted = frozenset(roles or (Role.MODERATOR,))
    accounts.add_account(deps, who, login, "李审", "审核员", wanted, unit, PASSWORD)


def ledger(deps: Deps) -> list[str]:
    with deps.uow.read() as store:
        return [entry.kind for entry in store.ledger.entries(0, 1000)]


# --- accounts --------------------------------------------------------------------------------------


def test_an_account_is_added_with_its_roles(deps: Deps, clock: FixedClock) -> None:
    accounts.add_account(
        deps,
        ADMIN,
        "hand.sun",
        " 孙 办 ",
        "科长",
        frozenset({Role.HANDLER, Role.LEADER}),
        " 后勤处 ",
        PASSWORD,
    )
    (account,) = accounts.list_accounts(deps, ADMIN)
    assert (account.login, account.name, account.title, account.unit) == (
        "hand.sun",
        "孙 办",
        "科长",
        "后勤处",
    )
    assert account.roles == {Role.HANDLER, Role.LEADER}
    assert (account.active, account.created_at) == (True, clock.now())
    with deps.uow.read() as store:
        stored = store.accounts.password_hash("hand.sun")
        entries = store.ledger.entries(0, 10)
    assert stored is not None
    assert PASSWORD not in stored
    assert [(entry.kind, entry.ref) for entry in entries] == [("account.added", "")]
    assert "sun" not in str(entries)


@pytest.mark.parametrize("who", [MODERATOR, OFFICER, LEADER, HANDLER], ids=lambda a: a.login)
def test_only_an_administrator_manages_accounts(deps: Deps, who: Actor) -> None:
    add(deps)
    for act in (
        lambda: add(deps, "x.y", who=who),
        lambda: accounts.set_roles(deps, who, "mod.li", frozenset({Role.ADMIN})),
        lambda: accounts.set_password(deps, who, "mod.li", OTHER),
        lambda: accounts.disable(deps, who, "mod.li"),
        lambda: accounts.list_accounts(deps, who),
        lambda: accounts.issue_token(deps, who, "mod.li", "script"),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert len(accounts.list_accounts(deps, ADMIN)) == 1


@pytest.mark.parametrize(
    "login",
    ["", "a", "A.li", "李", "-x", ".x", "x y", "x" * 65, "x\n", "system", "member", "a/b", "<b>", "x@y"],
)
def test_a_login_has_a_plain_form(deps: Deps, login: str) -> None:
    with pytest.raises(BadInput):
        add(deps, login)
    assert accounts.list_accounts(deps, ADMIN) == []


@pytest.mark.parametrize("login", ["ab", "0a", "a.b-c_d", "x" * 64])
def test_plain_logins(deps: Deps, login: str) -> None:
    add(deps, login)
    assert accounts.sign_in(deps, login, PASSWORD, "r")


def test_a_login_is_taken_once(deps: Deps) -> None:
    add(deps)
    with pytest.raises(Conflict, match="taken"):
        add(deps)


@pytest.mark.parametrize(
    "roles",
    [(), (Role.MEMBER,), (Role.SYSTEM,), (Role.OFFICER, Role.SYSTEM), (Role.HANDLER,)],
)
def test_roles_that_nobody_gives(deps: Deps, roles: tuple[Role, ...]) -> None:
    with pytest.raises(BadInput):
        accounts.add_account(deps, SYSTEM, "mod.li", "李", "", frozenset(roles), None, PASSWORD)
    add(deps)
    with pytest.raises(BadInput):
        accounts.set_roles(deps, ADMIN, "mod.li", frozenset(roles))
    assert accounts.list_accounts(deps, ADMIN)[0].roles == {Role.MODERATOR}


@pytest.mark.parametrize("field", ["name", "title", "unit"])
def test_long_fields(deps: Deps, field: str) -> None:
    given = {"name": "李", "title": "", "unit": "处"} | {field: "长" * 65}
    with pytest.raises(BadInput, match=field):
        accounts.add_account(
            deps,
            ADMIN,
            "a.b",
            given["name"],
            given["title"],
            frozenset({Role.LEADER}),
            given["unit"],
            PASSWORD,
        )


def test_the_last_administrator_stays(deps: Deps) -> None:
    add(deps, "adm.one", Role.ADMIN)
    add(deps, "adm.two", Role.ADMIN, Role.OFFICER)
    accounts.disable(deps, ADMIN, "adm.one")
    with pytest.raises(NotAllowed, match="last administrator"):
        accounts.disable(deps, ADMIN, "adm.two")
    with pytest.raises(NotAllowed, match="last administrator"):
        accounts.set_roles(deps, SYSTEM, "adm.two", frozenset({Role.OFFICER}))
    accounts.set_roles(deps, ADMIN, "adm.two", frozenset({Role.ADMIN}))
    add(deps)
    accounts.disable(deps, ADMIN, "mod.li")
    for act in (
        lambda: accounts.disable(deps, ADMIN, "nobody"),
        lambda: accounts.set_roles(deps, ADMIN, "nobody", frozenset({Role.LEADER})),
        lambda: accounts.set_password(deps, ADMIN, "nobody", OTHER),
        lambda: accounts.issue_token(deps, ADMIN, "nobody", "x"),
    ):
        with pytest.raises(NotFound):
            act()
    assert ledger(deps) == [
        "account.added",
        "account.added",
        "account.disabled",
        "account.roles",
        "account.added",
        "account.disabled",
    ]


def test_the_first_administrator_is_made_once(deps: Deps) -> None:
    made = accounts.bootstrap_admin(deps)
    assert made is not None
    login, password = made
    assert login == "admin"
    assert accounts.bootstrap_admin(deps) is None
    sid = accounts.sign_in(deps, login, password, "127.0.0.1")
    actor = accounts.actor_of(deps, sid, touch=True)
    assert actor is not None
    assert actor.roles == {Role.ADMIN}
    assert ledger(deps) == ["account.added"]


def test_two_starts_at_the_same_time_make_one_administrator(deps: Deps) -> None:
    class Racing(PlainPasswords):
        def hash(self, password: str) -> str:
            add(deps, "adm.other", Role.ADMIN)
            return super().hash(password)

    assert accounts.bootstrap_admin(replace(deps, passwords=Racing())) is None
    assert [account.login for account in accounts.list_accounts(deps, ADMIN)] == ["adm.other"]


# --- passwords -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short words",
        "x" * 257,
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "password1234",
        "PassWord!!!1",
        "huiyin123456",
        "1234567890123",
        "my mod.li secret",
        "My MOD.LI secret",
        "four words \ud800 here",
    ],
)
def test_passwords_that_are_refused(deps: Deps, password: str) -> None:
    with pytest.raises(BadInput):
        accounts.add_account(deps, ADMIN, "mod.li", "李", "", frozenset({Role.LEADER}), None, password)
    add(deps)
    with pytest.raises(BadInput):
        accounts.set_password(deps, ADMIN, "mod.li", password)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "r")


@pytest.mark.parametrize(
    "password",
    [
        "twelve chars",
        "教工之家 春天的操场 很安静 银杏",
        "x1!y2@z3#a4$",
        "a password of many quiet words",
        "w" * 8 + "xyzab" + "漢" * 243,
    ],
)
def test_passwords_that_are_fine(password: str) -> None:
    check_password("mod.li", password)
    check_password("wo", "words with wo in them"), "two letters stand in ordinary words"


# --- signing in ------------------------------------------------------------------------------------


def test_a_session_id_is_random_and_only_its_digest_is_stored(deps: Deps, clock: FixedClock) -> None:
    add(deps)
    first, second = (accounts.sign_in(deps, " MOD.li ", PASSWORD, "r") for _n in range(2))
    assert first != second
    assert len(first) >= 43
    with deps.uow.read() as store:
        assert store.accounts.session(first) is None
        found = store.accounts.session(hashlib.sha256(first.encode()).hexdigest())
    assert found is not None
    assert (found.login, found.created_at) == ("mod.li", clock.now())
    actor = accounts.actor_of(deps, first, touch=True)
    assert actor == Actor("mod.li", frozenset({Role.MODERATOR}), None, "李审", "审核员")


def refused(deps: Deps, login: str, password: str, remote: str = "r") -> str:
    with pytest.raises(NotAllowed) as error:
        accounts.sign_in(deps, login, password, remote)
    return str(error.value)


@pytest.mark.parametrize("login", ["nobody", "", "x" * 500, "<script>", "\ud800", "mod.li\x00"])
def test_an_unknown_login_says_and_costs_the_same(deps: Deps, login: str) -> None:
    add(deps)
    counting = Counting()
    watched = replace(deps, passwords=counting)
    assert refused(watched, login, PASSWORD) == refused(watched, "mod.li", "wrong words here")
    assert counting.work == 2, "one comparison each"
    accounts.disable(deps, SYSTEM, "mod.li")
    assert refused(watched, "mod.li", PASSWORD) == refused(watched, login, "x")


def test_without_local_passwords_nobody_signs_in(deps: Deps) -> None:
    off = replace(deps, passwords=None)
    for act in (
        lambda: accounts.sign_in(off, "mod.li", PASSWORD, "r"),
        lambda: add(off),
        lambda: accounts.bootstrap_admin(off),
    ):
        with pytest.raises(NotAllowed, match="switched off"):
            act()


def test_waiting_grows_after_five_wrong_tries(deps: Deps, clock: FixedClock) -> None:
    add(deps)
    for n in range(5):
        refused(deps, "mod.li", "wrong", f"r{n}")
    counting = Counting()
    watched = replace(deps, passwords=counting)
    assert "wait a minute" in refused(watched, "mod.li", PASSWORD, "r9")
    assert counting.work == 0, "a try that has to wait is not evaluated"
    clock.advance(seconds=1, milliseconds=1)
    refused(watched, "mod.li", "wrong", "r9")
    clock.advance(seconds=1, milliseconds=1)
    refused(watched, "mod.li", PASSWORD, "r9")
    clock.advance(seconds=1, milliseconds=1)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "r9")
    for n in range(4):
        refused(deps, "mod.li", "wrong", f"s{n}")
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "r9"), "a success forgets the wrong tries"


def test_the_waits_are_one_second_doubling_to_sixty() -> None:
    assert [wait_after(n) for n in (0, 4, 5, 6, 7, 8, 9, 10, 11, 50, 5000)] == [
        0,
        0,
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
        60,
    ]


def test_a_hundred_tries_an_hour_are_enough_whatever_the_waiting(deps: Deps, clock: FixedClock) -> None:
    add(deps)
    key = deps.keys.digest("login", "mod.li")
    with deps.uow.begin() as store:
        for _n in range(100):
            store.accounts.note_failure(key, clock.now())
    clock.advance(minutes=59)
    assert "wait a minute" in refused(deps, "mod.li", PASSWORD)
    clock.advance(minutes=1, seconds=1)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "r")


def test_an_hour_of_guesses_from_two_hundred_addresses(deps: Deps, clock: FixedClock) -> None:
    """S-05: at most 100 are evaluated in an hour, and the owner gets in after waiting."""
    add(deps)
    counting = Counting()
    watched = replace(deps, passwords=counting)
    evaluated = 0
    for n in range(1_000):
        before = _evaluated(watched, clock)
        with pytest.raises(NotAllowed):
            accounts.sign_in(watched, "mod.li", f"guess number {n}", f"10.0.0.{n % 200}")
        evaluated += _evaluated(watched, clock) - before
        clock.advance(seconds=3.6)
    assert 5 < evaluated <= 100
    clock.advance(seconds=61)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "192.0.2.1")


def _evaluated(deps: Deps, clock: FixedClock) -> int:
    with deps.uow.read() as store:
        return recent(store, deps.keys.digest("login", "mod.li"), clock.now(), 86_000)


def test_one_address_has_ten_wrong_tries_a_minute(deps: Deps, clock: FixedClock) -> None:
    add(deps)
    for n in range(10):
        refused(deps, f"user{n}", "wrong", "10.0.0.1")
    counting = Counting()
    assert "wait a minute" in refused(replace(deps, passwords=counting), "mod.li", PASSWORD, "10.0.0.1")
    assert counting.work == 0
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "10.0.0.2")
    clock.advance(seconds=61)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "10.0.0.1")


def test_colleagues_behind_one_address_do_not_slow_each_other(deps: Deps) -> None:
    for n in range(15):
        add(deps, f"mod.{n}")
    for n in range(15):
        assert accounts.sign_in(deps, f"mod.{n}", PASSWORD, "proxy")


def test_tries_at_the_same_moment_do_not_slip_through(deps: Deps) -> None:
    add(deps)
    counting, gate = Counting(), threading.Barrier(8)
    evaluated = []

    class Slow(PlainPasswords):
        def verify(self, hashed: str, password: str) -> bool:
            evaluated.append(password)
            return super().verify(hashed, password)

    def guess(n: int) -> None:
        gate.wait()
        for m in range(4):
            with pytest.raises(NotAllowed):
                accounts.sign_in(replace(deps, passwords=Slow()), "mod.li", f"guess {m}", f"{n}.{m}")

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(evaluated) == 5
    assert counting.work == 0


def test_a_clock_put_back_locks_nobody_out(deps: Deps, clock: FixedClock) -> None:
    add(deps)
    for _n in range(20):
        with pytest.raises(NotAllowed):
            accounts.sign_in(deps, "mod.li", "wrong", "10.0.0.1")
        clock.advance(seconds=61)
    clock.advance(days=-1)
    assert accounts.sign_in(deps, "mod.li", PASSWORD, "10.0.0.1")


# --- sessions --------------------------------------------------------------------------------------


@pytest.fixture
def sid(deps: Deps) -> str:
    add(deps)
    add(deps, "adm.one", Role.ADMIN)
    return accounts.sign_in(deps, "mod.li", PASSWORD, "r")


def seen_at(deps: Deps, sid: str) -> datetime | None:
    with deps.uow.read() as store:
        found = store.accounts.session(hashlib.sha256(sid.encode()).hexdigest())
    return None if found is None else found.seen_at


def test_an_idle_session_ends_after_half_an_hour(deps: Deps, clock: FixedClock, sid: str) -> None:
    clock.advance(minutes=20)
    assert accounts.actor_of(deps, sid, touch=False)
    clock.advance(minutes=10)
    assert accounts.actor_of(deps, sid, touch=False), "looking does not prolong it"
    clock.advance(seconds=1)
    assert accounts.actor_of(deps, sid, touch=True) is None
    assert seen_at(deps, sid) is None, "and it is gone for good"
    clock.advance(minutes=-10)
    assert accounts.actor_of(deps, sid, touch=True) is None


def test_activity_prolongs_it_up_to_twelve_hours(deps: Deps, clock: FixedClock, sid: str) -> None:
    for _n in range(24):
        clock.advance(minutes=30)
        assert accounts.actor_of(deps, sid, touch=True)
    clock.advance(seconds=1)
    assert accounts.actor_of(deps, sid, touch=True) is None


def test_activity_is_written_once_in_a_while(deps: Deps, clock: FixedClock, sid: str) -> None:
    begun = clock.now()
    clock.advance(seconds=29)
    accounts.actor_of(deps, sid, touch=True)
    assert seen_at(deps, sid) == begun
    at = clock.advance(seconds=1)
    accounts.actor_of(deps, sid, touch=True)
    assert seen_at(deps, sid) == at


def test_a_clock_put_back_far_ends_sessions(deps: Deps, clock: FixedClock, sid: str) -> None:
    clock.advance(minutes=-4)
    assert accounts.actor_of(deps, sid, touch=True)
    clock.advance(hours=-1)
    assert accounts.actor_of(deps, sid, touch=True) is None


@pytest.mark.parametrize("forged", ["", "x", "\ud800", "a" * 10_000])
def test_a_forged_session_is_nobody(deps: Deps, sid: str, forged: str) -> None:
    assert accounts.actor_of(deps, forged, touch=True) is None
    accounts.sign_out(deps, forged)
    assert accounts.actor_of(deps, sid, touch=True)


def test_disabling_ends_everything_at_once(deps: Deps, sid: str) -> None:
    token = accounts.issue_token(deps, ADMIN, "mod.li", "nightly script")
    assert accounts.actor_of_token(deps, token) == accounts.actor_of(deps, sid, touch=True)
    accounts.disable(deps, ADMIN, "mod.li")
    assert accounts.actor_of(deps, sid, touch=True) is None
    assert accounts.actor_of_token(deps, token) is None
    with pytest.raises(BadInput, match="closed"):
        accounts.issue_token(deps, ADMIN, "mod.li", "again")


def test_an_account_that_was_closed_behind_our_back_is_nobody(deps: Deps, sid: str) -> None:
    with deps.uow.begin() as store:
        store.accounts.set_active("mod.li", False)
    assert accounts.actor_of(deps, sid, touch=False) is None
    assert seen_at(deps, sid) is None


def test_roles_hold_from_the_next_look_on(deps: Deps, sid: str) -> None:
    accounts.set_roles(deps, ADMIN, "mod.li", frozenset({Role.LEADER}))
    actor = accounts.actor_of(deps, sid, touch=True)
    assert actor is not None
    assert actor.roles == {Role.LEADER}


def test_a_new_password_ends_the_old_sessions(deps: Deps, sid: str) -> None:
    accounts.set_password(deps, ADMIN, "mod.li", OTHER)
    assert accounts.actor_of(deps, sid, touch=True) is None
    refused(deps, "mod.li", PASSWORD)
    assert accounts.sign_in(deps, "mod.li", OTHER, "r")


def test_signing_out_here_and_everywhere(deps: Deps, sid: str) -> None:
    second, third = (accounts.sign_in(deps, "mod.li", PASSWORD, "r") for _n in range(2))
    theirs = accounts.sign_in(deps, "adm.one", PASSWORD, "r")
    accounts.sign_out(deps, second)
    assert accounts.actor_of(deps, second, touch=True) is None
    me = accounts.actor_of(deps, sid, touch=True)
    assert me is not None
    accounts.sign_out_everywhere(deps, me)
    assert [accounts.actor_of(deps, one, touch=True) for one in (sid, third)] == [None, None]
    assert accounts.actor_of(deps, theirs, touch=True)
    with pytest.raises(NotAllowed):
        accounts.sign_out_everywhere(deps, SYSTEM)


# --- programs --------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_stored_as_a_digest(deps: Deps, sid: str) -> None:
    token = accounts.issue_token(deps, SYSTEM, "mod.li", " nightly  script ")
    actor = accounts.actor_of_token(deps, token)
    assert actor is not None
    assert actor.login == "mod.li"
    with deps.uow.read() as store:
        assert store.accounts.api_token(token) is None
        assert store.accounts.api_token(deps.keys.digest("token", token)) == "mod.li"
    for wrong in ("", "hy_", token[:-1], token + "x", "\ud800"):
        assert accounts.actor_of_token(deps, wrong) is None
    for name in ("", " ", "x" * 65):
        with pytest.raises(BadInput):
            accounts.issue_token(deps, SYSTEM, "mod.li", name)


@given(st.text(max_size=300), st.text(max_size=40))
def test_checking_a_password_never_breaks(password: str, login: str) -> None:
    try:
        check_password(login, password)
    except BadInput:
        return
    assert 12 <= len(password) <= 256
