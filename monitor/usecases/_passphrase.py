"""What a password must be: long, not among those that are guessed first, and nothing about its login (S-04)."""

from __future__ import annotations

from monitor.core.errors import BadInput

SHORTEST, LONGEST = 12, 256
_FEWEST_CHARACTERS = 5
_TELLING = 3
"""A login of so many letters must not stand in the password; shorter ones stand in ordinary words."""

_COMMON = (
    "password",
    "passw0rd",
    "qwertyuiop",
    "1qaz2wsx",
    "administrator",
    "welcome1",
    "letmein",
    "iloveyou",
    "woaini",
    "5201314",
    "1234567890",
    "0987654321",
    "abcdefgh",
    "huiyin",
    "gonghui",
    "changeme",
)
"""What guessing tries first: none of these may be most of a password."""


def typed(password: str) -> str:
    """Return what was typed as bytes can carry it; no stored password is as long as the limit here."""
    return password.encode("utf-8", "replace").decode()[: LONGEST + 1]


def check_password(login: str, password: str) -> None:
    """Raise BadInput for a password that is too short, too common or names its login."""
    plain = password.casefold()
    if password != typed(password) or not SHORTEST <= len(password) <= LONGEST:
        raise BadInput(
            f"a password has {SHORTEST} to {LONGEST} characters; four words in a row are easy to keep"
        )
    if len(login) >= _TELLING and login in plain:
        raise BadInput("the password must not contain the login; take words that have nothing to do with it")
    left = plain
    for word in _COMMON:
        left = left.replace(word, "")
    if len(set(plain)) < _FEWEST_CHARACTERS or (left != plain and len(left) <= SHORTEST // 2):
        raise BadInput("this is among the passwords that are guessed first; take four words of your own")


__all__ = ["LONGEST", "SHORTEST", "check_password", "typed"]
