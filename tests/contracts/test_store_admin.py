"""Channels, quarantine, accounts and what keeps the service running."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_world import at_once

from monitor.adapters.sql.uow import SqlUnitOfWork
from monitor.core.errors import Conflict, NotFound
from monitor.core.model import Account, Broken, Role
from monitor.core.ports import ChannelConfig, ChannelStatus, PartStatus, SignInSession, Store
from monitor.testing.builders import START

LATER = START + timedelta(minutes=1)

# --- channels --------------------------------------------------------------------------------------


def status(store: Store, name: str = "qq") -> ChannelStatus:
    return next(one for one in store.channels.status() if one.name == name)


def test_a_cursor_survives_what_else_happens_to_the_channel(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert store.channels.cursor("qq") is None
        store.channels.set_cursor("qq", "7:甲")
        store.channels.declare(
            ChannelConfig("qq", "onebot", {"token": "secret"}, "校工会"), ["reply", "listen"]
        )
        store.channels.note_ok("qq", START, 3, 1)
        store.channels.set_cursor("qq", "8")
        store.channels.note_ok("qq", LATER, 0, 1)
        assert store.channels.cursor("qq") == "8"
        assert status(store) == ChannelStatus(
            "qq", "onebot", "ok", START, LATER, None, None, 3, 2, ("listen", "reply"), tries=2
        )
        assert "secret" not in repr(store.channels.status())


def test_how_a_channel_is_doing(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.channels.declare(ChannelConfig("qq", "onebot", {}), [])
        assert status(store).state == "idle"
        store.channels.note_error("qq", START, "401", LATER)
        failing = status(store)
        assert (failing.state, failing.last_error, failing.next_retry_at) == ("failing", "401", LATER)
        store.channels.set_paused("qq", True)
        assert status(store).state == "paused"
        store.channels.set_paused("qq", False)
        store.channels.note_ok("qq", LATER, 0, 0)
        assert (status(store).state, status(store).last_error, status(store).next_retry_at) == (
            "ok",
            None,
            None,
        )
        store.channels.declare(ChannelConfig("qq", "onebot", {}, paused=True), [])
        assert status(store).state == "paused"
        with pytest.raises(NotFound):
            store.channels.set_paused("nobody", True)


def test_a_removed_channel_is_forgotten_with_its_cursor(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.channels.set_cursor("qq", "7")
        store.channels.set_cursor("box", "1")
        store.channels.remove("qq")
        store.channels.remove("qq")
        assert [one.name for one in store.channels.status()] == ["box"]
        assert store.channels.cursor("qq") is None


def test_counters_add_up_under_load(uow: SqlUnitOfWork) -> None:
    def work(_number: int) -> None:
        for _n in range(5):
            with uow.begin() as store:
                store.channels.note_ok("qq", START, 2, 1)

    at_once(6, work)
    with uow.read() as store:
        assert (status(store).received, status(store).quarantined) == (60, 30)


# --- quarantine ------------------------------------------------------------------------------------


def test_parked_items_keep_their_bytes(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        items = [
            Broken("qq", reason, "不能读", b"x" * n, f"行 {n}")
            for n, reason in enumerate(["json", "json", "x"])
        ]
        ids = [store.quarantine.add(item, bytes([255, 0, n]), START) for n, item in enumerate(items)]
        first = store.quarantine.page(None, 2)
        assert [item.id for item in first] == [ids[2], ids[1]]
        assert [item.id for item in store.quarantine.page(ids[1], 2)] == [ids[0]]
        assert (first[0].reason, first[0].message, first[0].position, first[0].size) == (
            "x",
            "不能读",
            "行 2",
            2,
        )
        assert first[0].at == START
        assert store.quarantine.payload(ids[1]) == bytes([255, 0, 1])
        assert store.quarantine.counts() == {("qq", "json"): 2, ("qq", "x"): 1}
        with pytest.raises(NotFound):
            store.quarantine.payload(999)


# --- accounts --------------------------------------------------------------------------------------


def account(login: str = "lea", *roles: Role, **fields: object) -> Account:
    given: dict[str, object] = {"name": "李", "title": "副主席", "unit": None, "active": True, **fields}
    return Account(login=login, roles=frozenset(roles), created_at=START, **given)  # type: ignore[arg-type]


def test_accounts_come_back_as_written(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        lea, hana = account("lea", Role.LEADER, Role.MODERATOR), account("hana", unit="后勤处", active=False)
        store.accounts.add(lea, "hash-1")
        store.accounts.add(hana, "hash-2")
        assert store.accounts.get("lea") == lea
        assert store.accounts.all() == [hana, lea]
        assert store.accounts.password_hash("hana") == "hash-2"
        assert store.accounts.password_hash("nobody") is None
        store.accounts.set_roles("lea", frozenset({Role.OFFICER}))
        store.accounts.set_active("hana", True)
        store.accounts.set_password("lea", "hash-3")
        assert store.accounts.get("lea").roles == {Role.OFFICER}
        assert store.accounts.get("hana").active
        assert store.accounts.password_hash("lea") == "hash-3"
        for change in (
            lambda: store.accounts.get("x"),
            lambda: store.accounts.set_roles("x", frozenset()),
            lambda: store.accounts.set_active("x", True),
            lambda: store.accounts.set_password("x", ""),
        ):
            with pytest.raises(NotFound):
                change()


@pytest.mark.parametrize("login", ["lea", ""])
def test_a_login_is_given_once_and_never_empty(uow: SqlUnitOfWork, login: str) -> None:
    with uow.begin() as store:
        store.accounts.add(account("lea"), "h")
    with pytest.raises(Conflict), uow.begin() as store:
        store.accounts.add(account(login), "h")


def test_sessions_and_tokens(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        store.accounts.add(account("lea"), "h")
        one, two = (SignInSession(sid, "lea", START, START) for sid in ("a", "b"))
        store.accounts.add_session(one)
        store.accounts.add_session(two)
        store.accounts.touch_session("a", LATER)
        assert store.accounts.session("a") == SignInSession("a", "lea", START, LATER)
        assert store.accounts.session("x") is None
        store.accounts.end_session("a")
        assert store.accounts.session("a") is None
        assert store.accounts.session("b") == two
        store.accounts.end_sessions("lea")
        assert store.accounts.session("b") is None
        store.accounts.add_api_token("digest", "lea", "import", START)
        assert store.accounts.api_token("digest") == "lea"
        assert store.accounts.api_token("x") is None


def test_a_session_of_nobody_is_refused(uow: SqlUnitOfWork) -> None:
    with pytest.raises(Conflict), uow.begin() as store:
        store.accounts.add_session(SignInSession("a", "nobody", START, START))


def test_failures_are_counted_per_key_and_forgotten_after_a_day(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        for at in (START, LATER, LATER):
            store.accounts.note_failure("lea", at)
        store.accounts.note_failure("mo", START)
        assert [store.accounts.failures("lea", since) for since in (START, LATER)] == [3, 2]
        store.accounts.note_failure("lea", LATER + timedelta(days=1))
        assert store.accounts.failures("lea", START) == 3, "the first one is older than a day"
        store.accounts.clear_failures("lea")
        assert [store.accounts.failures(key, START) for key in ("lea", "mo")] == [0, 1]


def test_drafts(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        assert store.accounts.draft("lea", "case-1") == ""
        store.accounts.set_draft("lea", "case-1", "写了一半", START)
        store.accounts.set_draft("lea", "case-1", "写完了", LATER)
        store.accounts.set_draft("lea", "case-2", "别的", LATER)
        assert store.accounts.draft("lea", "case-1") == "写完了"
        assert store.accounts.draft("mo", "case-1") == ""
        store.accounts.set_draft("lea", "case-1", "", LATER)
        assert [store.accounts.draft("lea", f"case-{n}") for n in (1, 2)] == ["", "别的"]


# --- operations ------------------------------------------------------------------------------------


def test_heartbeats_answers_and_settings(uow: SqlUnitOfWork) -> None:
    with uow.begin() as store:
        part = PartStatus("worker", "ok", 77, START, START, 0, "")
        store.operations.beat(part)
        later = PartStatus("worker", "ok", 78, LATER, LATER, 1, "重启")
        store.operations.beat(later)
        store.operations.beat(PartStatus("intake", "ok", 1, START, START, 0))
        assert store.operations.parts() == [PartStatus("intake", "ok", 1, START, START, 0), later]
        store.operations.remember("key", "lea", "first", START)
        store.operations.remember("key", "lea", "second", LATER)
        assert store.operations.remembered("key", "lea") == "first"
        assert store.operations.remembered("key", "mo") is None
        assert store.operations.setting("x") is None
        store.operations.set_setting("x", "1")
        store.operations.set_setting("x", "2")
        assert store.operations.setting("x") == "2"
