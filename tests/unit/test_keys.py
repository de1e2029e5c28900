"""Keys, passwords and the clock: derived, sealed, slow, and never readable by others."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.adapters.clock import SystemClock
from monitor.adapters.keys import FILE, KeyRing, open_keys
from monitor.adapters.passwords import Argon2Passwords
from monitor.core.errors import ConfigError, StoreError

RING = KeyRing(bytes(range(32)))
OTHER = KeyRing(bytes(32))

# --- pseudonyms and digests ------------------------------------------------------------------------


def test_digests_are_what_they_were_yesterday() -> None:
    """A changed derivation would turn every author into somebody else: these values are fixed for ever."""
    assert RING.pseudonym("qq", "10001") == "ba2480b6a82e9f6c6bb69c99"
    assert RING.digest("post", "你好").startswith("5a49fd02")
    assert RING.ledger_key.hex().startswith("77a08a48")


def test_pseudonyms_differ_by_channel_person_and_installation() -> None:
    seen = {
        ring.pseudonym(*who) for ring in (RING, OTHER) for who in (("qq", "1"), ("qq", "2"), ("box", "1"))
    }
    assert len(seen) == 6
    assert all(len(one) == 24 and set(one) <= set("0123456789abcdef") for one in seen)


def test_digests_differ_by_purpose_and_from_pseudonyms() -> None:
    purposes = ("post", "receipt", "token", "session")
    seen = {RING.digest(purpose, "1") for purpose in purposes}
    assert len(seen) == 4
    assert all(len(one) == 64 for one in seen)
    assert RING.pseudonym("post", "1") not in {one[:24] for one in seen}


@given(st.text(), st.text(), st.text(), st.text())
def test_no_two_pairs_of_parts_read_alike(a: str, b: str, c: str, d: str) -> None:
    assert (RING.digest(a, b) == RING.digest(c, d)) == ((a, b) == (c, d))
    assert (RING.pseudonym(a, b) == RING.pseudonym(c, d)) == ((a, b) == (c, d))


def test_a_lone_surrogate_has_a_digest_too() -> None:
    assert RING.digest("post", "\ud800") != RING.digest("post", "\udfff")


# --- sealing ---------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_again_and_never_looks_the_same(data: bytes) -> None:
    one, two = RING.seal(data), RING.seal(data)
    assert RING.unseal(one) == RING.unseal(two) == data
    assert one != two
    assert len(one) == len(data) + 29


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    sealed = RING.seal(b"QQ 10001")
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(StoreError):
            RING.unseal(bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(StoreError):
            RING.unseal(sealed[:length])


def test_another_key_opens_nothing_and_the_error_tells_nothing() -> None:
    with pytest.raises(StoreError, match="restore the key") as caught:
        OTHER.unseal(RING.seal(b"10001"))
    assert "10001" not in str(caught.value)


# --- the file --------------------------------------------------------------------------------------


def test_the_first_start_makes_one_file_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "keys"
    ring = open_keys(folder)
    path = folder / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in folder.iterdir()] == [FILE]
    assert open_keys(folder).pseudonym("qq", "1") == ring.pseudonym("qq", "1")
    assert open_keys(tmp_path / "other").pseudonym("qq", "1") != ring.pseudonym("qq", "1")


def test_first_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    made: list[str] = []
    ready = threading.Barrier(8)

    def start() -> None:
        ready.wait(10)
        made.append(open_keys(tmp_path).pseudonym("qq", "1"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(made), len(set(made))) == (8, 1)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_that_others_can_reach_is_refused_with_the_mend(tmp_path: Path, mode: int) -> None:
    open_keys(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(ConfigError, match=r"chmod 600 .*master\.key"):
        open_keys(tmp_path)
    (tmp_path / FILE).chmod(0o400)
    open_keys(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    open_keys(tmp_path)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        open_keys(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


# --- passwords and the clock -----------------------------------------------------------------------


def test_passwords_are_argon2id_with_the_parameters_in_the_hash() -> None:
    quick = Argon2Passwords(memory_kib=64, passes=1)
    hashed = quick.hash("一句很长的口令 2026")
    assert hashed.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    assert quick.verify(hashed, "一句很长的口令 2026")
    assert not quick.verify(hashed, "一句很长的口令 2027")
    assert quick.hash("x") != quick.hash("x")
    assert quick.verify(quick.hash("\ud800"), "\ud800")
    assert Argon2Passwords().verify(hashed, "一句很长的口令 2026"), "an old hash keeps its own parameters"


def test_the_shipped_parameters_are_slow_on_purpose() -> None:
    assert Argon2Passwords().hash("x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


@pytest.mark.parametrize(
    "damaged", ["", "x", "$argon2id$v=19$m=64,t=1,p=1$", "$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAA", "$2b$12$x"]
)
def test_a_damaged_hash_lets_nobody_in(damaged: str) -> None:
    assert not Argon2Passwords(memory_kib=64, passes=1).verify(damaged, "")


def test_a_damaged_hash_of_a_good_one_lets_nobody_in() -> None:
    quick = Argon2Passwords(memory_kib=64, passes=1)
    hashed = quick.hash("x")
    for place in range(len(hashed)):
        assert not quick.verify(hashed[:place], "x")
        assert not quick.verify(hashed[:place] + "\u00e9" + hashed[place + 1 :], "x")


def test_the_clock_speaks_utc_and_never_runs_backwards() -> None:
    clock = SystemClock()
    before = datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC
    ticks = [clock.monotonic() for _ in range(100)]
    assert ticks == sorted(ticks)
