"""The configuration: every fault is named with file, line and key, and nothing faulty is taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import config
from monitor.config import CHANNEL, NOTIFIER, RULES, SECTIONS, Config, Fault, Secret
from monitor.core.errors import ConfigError
from monitor.usecases.deps import Rules

WHOLE = """
union_name = "某大学工会"
base_url = "https://union.example.org/"

[store]
url = "sqlite:////srv/huiyin/posts.db"

[service]
host = "0.0.0.0"
port = 9000

[ui]
allowed_hosts = ["review.example.org"]

[rules]
effect_delay = 30
appeal_days = 200
two_person_reply = true

[channels.qq]
type = "onebot"
unit = "工会"
groups = [700001]
token = { env = "QQ_TOKEN" }

[channels.box]
type = "box"
paused = true
"""


def read(tmp_path: Path, text: str, **environ: str) -> tuple[Config, tuple[Fault, ...]]:
    (tmp_path / "huiyin.toml").write_text(text, encoding="utf-8")
    return config.read(None, tmp_path, environ)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    found, faults = read(tmp_path, WHOLE)
    assert faults == ()
    assert found.store_url == "sqlite:////srv/huiyin/posts.db"
    assert (found.service.host, found.service.port, found.ui.port) == ("0.0.0.0", 9000, 8501)
    assert found.ui.allowed_hosts == ("review.example.org",)
    assert found.rules.effect_delay == 30.0
    assert found.rules.base_url == "https://union.example.org"
    assert found.rules.union_name == "某大学工会"
    assert found.channels["qq"].settings["token"] == Secret("env", "QQ_TOKEN")
    assert found.channels["box"].paused


def test_without_a_file_everything_has_its_default(tmp_path: Path) -> None:
    found, faults = config.read(None, tmp_path, {})
    assert faults == ()
    assert found.store_url == f"sqlite:///{tmp_path / 'huiyin.db'}"
    assert found.rules == Rules(base_url="http://127.0.0.1:8780")
    assert found.channels == {}


def test_the_defaults_of_the_rules_are_those_of_the_house() -> None:
    assert {name: spec.default for name, spec in RULES.items()} == {
        field.name: field.default
        for field in dataclasses.fields(Rules)
        if field.name not in ("base_url", "union_name")
    }


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("[service]\nprot = 1", "service.prot", "did you mean `port`"),
        ("[servce]\nport = 1", "servce", "did you mean `service`"),
        ("[service]\nport = '8780'", "service.port", "a whole number without quotes is expected, not text"),
        ("[service]\nport = 70000", "service.port", "at most 65535"),
        ("[service]\nport = 80.5", "service.port", "a whole number"),
        ("[service]\nport = true", "service.port", "not true or false"),
        ("[rules]\neffect_delay = '20 s'", "rules.effect_delay", "number of seconds without quotes"),
        ("[rules]\neffect_delay = -1", "rules.effect_delay", "at least 0"),
        ("[rules]\neffect_delay = nan", "rules.effect_delay", "not nan"),
        ("[rules]\nappeal_days = 30", "rules.appeal_days", "open for six months"),
        ("[rules]\npublic_floor = 3", "rules.public_floor", "would expose people"),
        ("[rules]\ninside_floor = 1", "rules.inside_floor", "would expose people"),
        ("[rules]\ntwo_person_reply = 'yes'", "rules.two_person_reply", "true or false is expected"),
        ("[ui]\nallowed_hosts = 'a'", "ui.allowed_hosts", "a list of text"),
        ("rules = 3", "rules", "write [rules]"),
        ("[channels]\nqq = 3", "channels.qq", "write [channels.qq]"),
        ("[channels.qq]\ngroups = [1]", "channels.qq.type", "names the connector"),
        ("[channels.qq]\ntype = 7", "channels.qq.type", "text in quotes"),
        ("[channels.'群 1']\ntype = 'box'", "channels.群 1", "letters a-z"),
        ("[channels.qq]\ntype = 'onebot'\ntoken = 'abc'", "channels.qq.token", "a secret does not stand in this file"),
        ("[store]\nurl = 'postgresql+psycopg://u:pw@h/d'", "store.url", "it holds a password"),
        ("union_name = 5", "union_name", "text in quotes"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_line_and_key(tmp_path: Path, line: str, key: str, words: str) -> None:
    text = f"# our union\n\n{line}\n"
    _found, faults = read(tmp_path, text)
    assert [fault.key for fault in faults] == [key]
    (fault,) = faults
    assert words in fault.message
    assert fault.line is not None
    assert key.rpartition(".")[2].split()[0] in text.splitlines()[fault.line - 1] or key.endswith(".type")
    assert str(fault).startswith(f"{tmp_path / 'huiyin.toml'}:{fault.line}: {key}: ")


def test_all_faults_are_named_not_only_the_first(tmp_path: Path) -> None:
    text = "[service]\nprot = 1\nport = 'x'\n[rules]\nappeal_days = 1\n[channels.a]\n[channels.b]\ntype = 'box'\nsecret = 'x'\n"
    found, faults = read(tmp_path, text)
    assert [fault.key for fault in faults] == [
        "service.prot",
        "service.port",
        "rules.appeal_days",
        "channels.a.type",
        "channels.b.secret",
    ]
    assert [fault.line for fault in faults] == [2, 3, 5, 6, 9]
    assert found.channels == {}
    with pytest.raises(ConfigError, match="appeal_days"):
        config.load(None, tmp_path, {})


def test_what_is_no_toml_is_said_with_its_line(tmp_path: Path) -> None:
    _found, faults = read(tmp_path, "[service]\nport = = 1\n")
    assert faults[0].line == 2
    assert "not TOML" in faults[0].message


def test_a_named_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    _found, faults = config.read(tmp_path / "other.toml", tmp_path, {})
    assert "cannot be read" in faults[0].message


def test_the_environment_outranks_the_file(tmp_path: Path) -> None:
    found, faults = read(
        tmp_path, WHOLE, HUIYIN_SERVICE_PORT="9100", HUIYIN_RULES_EFFECT_DELAY="2.5", HUIYIN_UNION_NAME="甲"
    )
    assert faults == ()
    assert (found.service.port, found.rules.effect_delay, found.rules.union_name) == (9100, 2.5, "甲")


def test_a_fault_of_the_environment_names_the_variable(tmp_path: Path) -> None:
    found, faults = config.read(None, tmp_path, {"HUIYIN_SERVICE_PORT": "many"})
    assert [(fault.file, fault.key) for fault in faults] == [("environment", "HUIYIN_SERVICE_PORT")]
    assert found.service.port == 8780


def test_secrets_are_resolved_late_and_their_mend_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, faults = read(tmp_path, WHOLE)
    assert faults == ()
    monkeypatch.delenv("QQ_TOKEN", raising=False)
    with pytest.raises(
        ConfigError, match=r"huiyin\.toml:\d+: channels\.qq\.token: .*environment variable QQ_TOKEN"
    ):
        found.channel("qq")
    monkeypatch.setenv("QQ_TOKEN", "a long random token")
    assert found.channel("qq").settings["token"] == "a long random token"


def test_a_secret_file_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "huiyin.toml"
    file.write_text(
        "[channels.w]\ntype = 'webhook'\nsecrets = [{ file = 'one' }, { file = 'two' }]\n", encoding="utf-8"
    )
    found, faults = config.read(file, tmp_path / "data", {})
    assert faults == ()
    (folder / "one").write_text("first\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"channels\.w\.secrets.*two"):
        found.channel("w")
    (folder / "two").write_text("second", encoding="utf-8")
    assert found.channel("w").settings["secrets"] == ["first", "second"]


def test_the_store_may_be_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, faults = read(tmp_path, "[store]\nurl = { env = 'HUIYIN_DB' }\n")
    assert faults == ()
    with pytest.raises(ConfigError, match=r"store\.url.*HUIYIN_DB"):
        _ = found.store_url
    monkeypatch.setenv("HUIYIN_DB", "postgresql+psycopg://u:pw@h/d")
    assert found.store_url == "postgresql+psycopg://u:pw@h/d"


def test_what_is_shown_hides_every_secret_and_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QQ_TOKEN", "canary-token")
    found, _faults = read(tmp_path, WHOLE, HUIYIN_STORE_URL="postgresql+psycopg://u:canary-password@h/d")
    shown = config.shown(found)
    assert "canary" not in shown
    assert 'token = { env = "QQ_TOKEN" }' in shown
    assert "u:***@h/d" in shown
    other = tmp_path / "again"
    other.mkdir()
    again, faults = read(other, shown.replace("***", "").replace(":@", "@"))
    assert faults == ()
    assert (again.rules, again.channels, again.ui) == (found.rules, found.channels, found.ui)


def test_the_demo_adds_its_channels_and_takes_none_away(tmp_path: Path) -> None:
    found, _faults = read(tmp_path, WHOLE, HUIYIN_DEMO="1")
    assert found.demo
    assert set(found.channels) == {"qq", "box", "qq-demo"}
    assert found.channels["box"].paused


NAMES = [(section, key) for section, known in SECTIONS.items() for key in known]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.one_of(st.text(max_size=4), st.integers(0, 9)), max_size=3),
)


@given(st.sampled_from(NAMES), VALUES)
def test_a_value_is_either_taken_as_its_kind_or_named_and_left_at_its_default(
    tmp_path_factory: pytest.TempPathFactory, name: tuple[str, str], value: Any
) -> None:
    section, key = name
    text = f"[{section}]\n" * bool(section) + f"{key} = {config.toml(value)}\n"
    folder = tmp_path_factory.mktemp("c")
    found, faults = read(folder, text)
    part = {"": found.house}.get(section) or getattr(found, section)
    spec = SECTIONS[section][key]
    held = getattr(part, key)
    if faults:
        assert [fault.key for fault in faults] == [f"{section}.{key}".strip(".")]
        assert held == (
            Rules(base_url=found.rules.base_url).__getattribute__(key) if section == "rules" else spec.default
        )
    else:
        assert isinstance(held, spec.kind)
        assert held == (tuple(value) if spec.kind is tuple else value)
        assert spec.least is None or held >= spec.least
        assert spec.most is None or held <= spec.most


@given(st.sampled_from(NAMES), st.integers(0, 30), st.sampled_from("abcxyz_-1"))
def test_a_misspelt_key_is_never_taken(
    tmp_path_factory: pytest.TempPathFactory, name: tuple[str, str], place: int, letter: str
) -> None:
    section, key = name
    at = place % (len(key) + 1)
    wrong = key[:at] + letter + key[at:]
    _found, faults = read(tmp_path_factory.mktemp("c"), f"[{section}]\n" * bool(section) + f"{wrong} = 1\n")
    assert [fault.key for fault in faults] == [f"{section}.{wrong}".strip(".")]
    assert "did you mean" in faults[0].message or "known are" in faults[0].message


def test_every_setting_has_its_sentence_and_stands_in_the_documentation() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for section, known in {**SECTIONS, "channels.NAME": CHANNEL, "notifiers.NAME": NOTIFIER}.items():
        for key, spec in known.items():
            assert spec.sentence.endswith(".")
            row = f"| `{key}` |"
            assert row in text, f"{section}.{key} is not in docs/configuration.md"
            line = next(line for line in text.splitlines() if line.startswith(row) and spec.sentence in line)
            if spec.least is not None:
                assert f"{spec.least:g}" in line, (
                    f"{section}.{key}: the bounds are missing in docs/configuration.md"
                )


def test_every_setting_of_a_connector_stands_in_the_documentation() -> None:
    from monitor import bootstrap

    text = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for kind in bootstrap.plugins(bootstrap.CONNECTORS):
        assert f"### `{kind}`" in text, f"the connector {kind} is not in docs/configuration.md"
        for field in bootstrap.settings_of(kind):
            assert f"| `{field.name}` |" in text, f"{kind}.{field.name} is not in docs/configuration.md"
            assert field.metadata["sentence"] in text, f"{kind}.{field.name}: the sentence differs"


def test_every_setting_of_a_notifier_stands_in_the_documentation() -> None:
    from monitor import bootstrap

    text = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for kind in bootstrap.plugins(bootstrap.NOTIFIERS):
        own = text.partition(f"### notifier `{kind}`\n")[2].partition("###")[0]
        for field in bootstrap.settings_of(kind, bootstrap.NOTIFIERS):
            assert f"| `{field.name}` |" in own, f"{kind}.{field.name} is not in docs/configuration.md"
            assert field.metadata["sentence"] in own, f"{kind}.{field.name}: the sentence differs"


def test_the_first_configuration_opens_the_box_and_is_never_written_over(tmp_path: Path) -> None:
    from monitor.runtime import starting

    file = tmp_path / "huiyin.toml"
    assert starting.write_starter(file)
    assert {name: channel.type for name, channel in config.load(None, tmp_path).channels.items()} == {
        "box": "box"
    }
    file.write_text('union_name = "别处"\n', encoding="utf-8")
    assert not starting.write_starter(file)
    assert "别处" in file.read_text(encoding="utf-8")
