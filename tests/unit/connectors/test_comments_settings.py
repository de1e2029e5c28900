"""Settings of comment channels that cannot be, and a page that says what the check says."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from comments_scene import MODULES

from connectors import _comments_health as health
from connectors._comments_site import Blocked, NeedsPerson, SignInRefused
from connectors._settings import sentences
from monitor.config import is_secret
from monitor.core.errors import ConfigError, RateLimited, Rejected, Unavailable
from monitor.core.ports import ChannelConfig

DOCS = Path(__file__).resolve().parents[3] / "docs" / "connectors-comments.md"
GIVEN: dict[str, dict[str, Any]] = {
    "wordpress": {"user": "huiyin", "app_password": "very-secret-one"},
    "waline": {"email": "gh@example.org", "password": "very-secret-one"},
    "twikoo": {"password": "very-secret-one"},
    "artalk": {"email": "gh@example.org", "password": "very-secret-one", "site": "Union"},
}


@pytest.mark.parametrize("name", sorted(GIVEN))
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"url": "union.example.org"}, "url"),
        ({"url": "ftp://union.example.org"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"url": "https://a:very-secret-two@union.example.org"}, "url"),
        ({"url": "https://union.example.org/?p=1"}, "url"),
        ({"poll_seconds": 0}, "poll_seconds"),
        ({"rescan_seconds": -1}, "rescan_seconds"),
        ({"call_seconds": float("nan")}, "call_seconds"),
        ({"call_seconds": float("inf")}, "call_seconds"),
        ({"watched": 5}, "watched"),
        ({"history_days": -1}, "history_days"),
    ],
)
def test_wrong_settings_name_the_key_and_never_the_secret(
    name: str, change: dict[str, Any], word: str
) -> None:
    given = {"url": "https://union.example.org", **GIVEN[name], **change}
    with pytest.raises(ConfigError) as error:
        MODULES[name].connector(ChannelConfig("site", name, given))
    assert f"`{word}`" in str(error.value)
    assert "very-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("wordpress", {"app_password": ""}, "app_password"),
        ("wordpress", {"user": ""}, "app_password"),
        ("wordpress", {"user": "a:b"}, "user"),
        ("waline", {"email": " "}, "email"),
        ("waline", {"password": ""}, "password"),
        ("waline", {"site_url": "union"}, "site_url"),
        ("twikoo", {"password": ""}, "password"),
        ("twikoo", {"nick": " "}, "nick"),
        ("twikoo", {"mail": "gh"}, "mail"),
        ("artalk", {"site": ""}, "site"),
        ("artalk", {"password": " "}, "password"),
        ("artalk", {"timezone": "Asia/Nowhere"}, "timezone"),
        ("artalk", {"timezone": "../etc/passwd"}, "timezone"),
    ],
)
def test_what_one_system_needs_is_asked_for_by_name(name: str, change: dict[str, Any], word: str) -> None:
    given = {"url": "https://union.example.org", **GIVEN[name], **change}
    with pytest.raises(ConfigError) as error:
        MODULES[name].connector(ChannelConfig("site", name, given))
    assert f"`{word}`" in str(error.value)


def test_secrets_are_given_by_reference() -> None:
    secrets = {
        name: [key for key in sentences(made.Settings) if is_secret(key)] for name, made in MODULES.items()
    }
    assert secrets.pop("wordpress") == ["app_password"]
    assert set(map(tuple, secrets.values())) == {("password",)}


def shown(value: object) -> object:
    """Return a default as it stands in the file."""
    if value is dataclasses.MISSING:
        return "required"
    return ("true" if value else "false") if isinstance(value, bool) else value


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_every_setting_stands_in_the_documentation(name: str) -> None:
    page = DOCS.read_text(encoding="utf-8").partition(f"### Settings of `{name}`")[2].partition("\n##")[0]
    declared = MODULES[name].Settings
    usual = {field.name: field.default for field in dataclasses.fields(declared)}
    for key, sentence in sentences(declared).items():
        assert f"| `{key}` | {shown(usual[key])} | {sentence} |" in page


def test_documentation_quotes_what_the_check_says() -> None:
    page = DOCS.read_text(encoding="utf-8")
    errors = [SignInRefused(""), Blocked(""), NeedsPerson(""), Rejected(""), Unavailable("")]
    errors.append(RateLimited("", datetime(2026, 3, 1, tzinfo=UTC)))
    said = [health.trouble("@", error) for error in errors]
    said += [health.no_right("@"), health.clock("@"), health.good("@", 1, True), health.good("@", 1, False)]
    for words in said:
        for part in re.split("[：（]", words)[0].split("@"):
            assert part.strip(" ，上") in page, f"{DOCS.name} does not explain: {part}"


def test_every_system_says_what_it_was_tested_against() -> None:
    page = DOCS.read_text(encoding="utf-8").partition("## Tested against")[2].partition("\n## ")[0]
    for name in ("WordPress", "Waline", "Twikoo", "Artalk"):
        assert f"| {name} |" in page
