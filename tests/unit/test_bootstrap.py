"""Putting it together: plug-ins by entry point, models that may be missing, capabilities across processes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from classifiers import _artifact
from monitor import bootstrap, config
from monitor.bootstrap import App
from monitor.config import Channel, Config
from monitor.core.errors import ConfigError, PluginError, StoreError
from monitor.core.model import SYSTEM
from monitor.core.ports import Capability, ChannelConfig
from monitor.testing.builders import raw
from monitor.usecases import channels, understand
from monitor.usecases.ingest import ingest

TOKEN = "a long random token for tests"


def configured(folder: Path, text: str = "") -> Config:
    (folder / "huiyin.toml").write_text(text, encoding="utf-8")
    return config.load(None, folder, {})


def qq(folder: Path, extra: str = "") -> Config:
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    text = f"[channels.qq]\ntype = 'onebot'\ngroups = [7001]\ntoken = {{ file = 'token' }}\n{extra}"
    return configured(folder, text)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = bootstrap.build(qq(tmp_path), models=False)
    yield made
    made.close()


def test_the_data_directory_and_the_database_are_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    app = bootstrap.build(config.load(None, folder, {}), models=False)
    app.close()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "huiyin.db").exists()
    current, head = bootstrap.database_status(app.config)
    assert current == head


def test_an_older_database_is_refused_with_its_mend_and_upgraded_on_request(tmp_path: Path) -> None:
    import sqlite3

    bootstrap.build(configured(tmp_path), models=False).close()
    with sqlite3.connect(tmp_path / "huiyin.db") as link:
        link.execute("UPDATE alembic_version SET version_num = '0000'")
    link.close()
    with pytest.raises(StoreError, match="huiyin db upgrade"):
        bootstrap.build(configured(tmp_path), models=False)


def test_a_connector_is_built_once_behind_the_fence_with_its_secrets(app: App) -> None:
    connector = app.connector("qq")
    assert app.connector("qq") is connector
    assert connector.plugin == "onebot"
    assert Capability.REPLY in connector.capabilities
    assert app.connectors == {"qq": connector}


def test_an_undeclared_channel_is_refused(app: App) -> None:
    with pytest.raises(ConfigError, match="did you mean `qq`"):
        app.connector("qqq")


def test_a_connectors_complaint_names_file_line_and_key(tmp_path: Path) -> None:
    app = bootstrap.build(qq(tmp_path, "grups = [1]\n"), models=False)
    with pytest.raises(
        ConfigError, match=r"huiyin\.toml:5: channels\.qq\.grups: unknown setting `grups`; did you mean"
    ):
        app.connector("qq")
    app.close()


def test_every_fault_of_a_channel_is_found(tmp_path: Path) -> None:
    found = qq(tmp_path, "grups = [1]\nprofile = 'icq'\nurl = 'ftp://x'\n")
    assert [(fault.line, fault.key) for fault in bootstrap.channel_faults(found, "qq")] == [
        (5, "channels.qq.grups"),
        (6, "channels.qq.profile"),
        (7, "channels.qq.url"),
    ]
    bad = configured(tmp_path, "[channels.x]\ntype = 'oneboot'\n")
    (fault,) = bootstrap.channel_faults(bad, "x")
    assert (fault.line, fault.key) == (2, "channels.x.type")
    assert "did you mean `onebot`" in fault.message
    assert bootstrap.channel_faults(qq(tmp_path), "qq") == []


def test_what_a_channel_can_do_is_known_where_its_connector_is_not(app: App, tmp_path: Path) -> None:
    row = ChannelConfig("letters", "box", {}, None)
    channels.declare(app.deps, [(row, ["listen", "reply", "unheard-of"])])
    assert app.deps.capabilities("letters") == {Capability.LISTEN, Capability.REPLY}
    assert app.deps.capabilities("nowhere") == frozenset()
    app.connector("qq").capabilities = frozenset({Capability.LISTEN})
    assert app.deps.capabilities("qq") == {Capability.LISTEN}


def test_capabilities_may_be_asked_inside_a_transaction(app: App) -> None:
    with app.deps.uow.begin() as store:
        assert app.deps.capabilities("nowhere") == frozenset()
        assert store.posts.count() == 0


@pytest.mark.parametrize("damage", ["missing", "flipped", "manifest"])
def test_damaged_models_leave_posts_unread_and_a_note(tmp_path: Path, damage: str) -> None:
    """F-16: the service starts, says so, and nothing is hidden."""
    models = tmp_path / "models"
    shutil.copytree(_artifact.SHIPPED, models / "mine")
    (models / "active.json").write_text(json.dumps({"history": ["mine"]}), encoding="utf-8")
    weights = models / "mine" / "weights.npz"
    if damage == "missing":
        weights.unlink()
    elif damage == "flipped":
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    else:
        (models / "mine" / "manifest.json").write_text("{", encoding="utf-8")
    app = bootstrap.build(config.load(None, tmp_path, {}))
    assert app.deps.classifier is None
    (note,) = app.notes
    assert "mine" in note or "model" in note
    ingest(app.deps, "qq", [raw("1", "加微信领优惠券", channel="qq")])
    assert understand.process(app.deps, "test") == 1
    with app.deps.uow.read() as store:
        assert store.jobs.counts()["waiting"] == 0
        assert store.cases.counts() == {}
    app.close()


def test_good_models_are_loaded_and_named(tmp_path: Path) -> None:
    app = bootstrap.build(config.load(None, tmp_path, {}))
    assert app.notes == ()
    assert app.deps.classifier is not None
    assert "spam" in app.deps.classifier.labels
    assert app.deps.grouping is not None
    assert app.deps.classifier.version.split("+")[0] in bootstrap.model_facts(tmp_path)
    app.close()


def test_a_faulty_configuration_stops_a_command_and_not_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "huiyin.toml").write_text(
        "[rules]\nappeal_days = 1\n[channels.a]\ntype = 'box'\n", encoding="utf-8"
    )
    monkeypatch.setenv("HUIYIN_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="appeal_days"):
        bootstrap.from_environment(models=False)
    monkeypatch.setenv("HUIYIN_CAREFUL", "1")
    app = bootstrap.from_environment(models=False)
    assert app.safe
    assert "appeal_days" in app.notes[0]
    assert app.deps.rules.appeal_days == 184
    app.close()
    (tmp_path / "huiyin.toml").write_text("[store]\nurl = 7\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"store\.url"):
        bootstrap.from_environment(models=False)
    (tmp_path / "huiyin.toml").write_text("[store\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not TOML"):
        bootstrap.from_environment(models=False)


def test_once_is_once_per_key(app: App) -> None:
    made = [app.once("a", list), app.once("a", list), app.once("b", list)]
    assert made[0] is made[1]
    assert made[0] is not made[2]


def test_a_plug_in_that_is_no_connector_is_refused_by_name(tmp_path: Path) -> None:
    """The loader refuses what lacks a member of the contract."""
    module = type(sys)("half_a_plugin")
    module.connector = lambda _config: object()  # type: ignore[attr-defined]
    sys.modules["half_a_plugin"] = module
    known = bootstrap.plugins(bootstrap.CONNECTORS)
    point = EntryPoint("half", "half_a_plugin:connector", bootstrap.CONNECTORS)
    with pytest.raises(PluginError, match="`half` is no Connector: it lacks name, capabilities"):
        bootstrap.connector_from(point, ChannelConfig("x", "half", {}), 1.0)
    assert "half" not in known
    del sys.modules["half_a_plugin"]


def test_a_paused_or_removed_channel_changes_nothing_in_the_store_of_others(app: App) -> None:
    without = replace(app.config, channels={"other": Channel("other", "box", {})})
    second = bootstrap.build(without, models=False)
    assert channels.status(second.deps, SYSTEM) == []
    second.close()
