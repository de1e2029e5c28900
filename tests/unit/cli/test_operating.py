"""``check``, ``db``, ``doctor``, ``channel``: what an administrator types."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_world import Huiyin

from classifiers import _artifact
from monitor import bootstrap, config
from monitor.adapters.sql.tables import HEAD
from monitor.core.model import SYSTEM, Health
from monitor.core.ports import ChannelStatus
from monitor.runtime.parts import Lock, Pulse
from monitor.usecases import channels

FAULTY = "[service]\nprot = 1\n\n[channels.qq]\ntype = 'onebot'\ngrups = [1]\ngroups = [7001]\ntoken = {env = 'NO_SUCH'}\n"


# --- check, db -------------------------------------------------------------------------------------


def test_check_prints_what_is_in_force_as_toml_that_can_be_read_again(huiyin: Huiyin, data: Path) -> None:
    answer = huiyin("check")
    assert answer.code == 0
    (data / "huiyin.toml").write_text(answer.out, encoding="utf-8")
    assert huiyin("check").out == answer.out


def test_check_names_every_fault_with_file_and_key_and_hides_secrets(
    huiyin: Huiyin, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = data / "huiyin.toml"
    file.write_text(FAULTY, encoding="utf-8")
    answer = huiyin("check")
    assert answer.code == 1
    assert answer.err.splitlines()[0] == f"{file}:2: service.prot: unknown key; did you mean `port`?"
    assert f"{file}:8: channels.qq.token: the secret is missing" in answer.err
    monkeypatch.setenv("NO_SUCH", "canary-secret")
    answer = huiyin("check")
    assert f"{file}:6: channels.qq.grups: unknown setting `grups`" in answer.err
    assert "canary" not in answer.out + answer.err


def test_db_says_where_the_database_stands(huiyin: Huiyin, tmp_path: Path) -> None:
    before = huiyin("db", "status", "--data", tmp_path / "x" / "..")
    assert (before.code, before.rows()[0]["current"]) == (1, None)
    assert "huiyin db upgrade" in before.err
    assert huiyin("db", "upgrade", "--data", tmp_path).code == 0
    after = huiyin("db", "status", "--data", tmp_path)
    assert after.code == 0
    assert after.rows()[0] == {"current": HEAD, "head": HEAD, "up_to_date": True}


# --- doctor ----------------------------------------------------------------------------------------


def findings(huiyin: Huiyin) -> dict[str, Any]:
    return {row["about"]: row for row in huiyin("doctor", "--json").rows()}


def test_doctor_finds_a_good_house_and_its_versions(huiyin: Huiyin, data: Path) -> None:
    bootstrap.build(config.load(None, data, {}), models=False).close()
    found = findings(huiyin)
    assert {"python", "packages", "sqlite", "config", "data", "disk", "keys", "database", "models"} <= set(
        found
    )
    assert [about for about, row in found.items() if not row["ok"] and about != "models"] == []
    assert HEAD in found["database"]["found"]


def test_doctor_tells_a_mend_for_each_fault(huiyin: Huiyin, data: Path) -> None:
    bootstrap.build(config.load(None, data, {}), models=False).close()
    (data / "huiyin.toml").write_text(FAULTY, encoding="utf-8")
    shutil.copytree(_artifact.SHIPPED, data / "models" / "mine")
    (data / "models" / "mine" / "weights.npz").write_bytes(b"damaged")
    (data / "models" / "active.json").write_text(json.dumps({"history": ["mine"]}), encoding="utf-8")
    app = bootstrap.build(config.read(None, data, {})[0], models=False)
    channels.note_error(app.deps, "qq", "the QQ program does not answer", None)
    app.close()
    answer = huiyin("doctor")
    assert answer.code == 1
    faults = {line.split("：")[0][2:]: line for line in answer.out.splitlines() if line.startswith("✗")}
    assert {"config", "models", "channel qq"} <= set(faults)
    assert "prot" in faults["config"]
    assert answer.out.count("→") == len(faults)
    (data / "keys" / "master.key").chmod(0o644)
    assert "✗ keys：master.key" in huiyin("doctor").out


def test_doctor_makes_nothing(huiyin: Huiyin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUIYIN_DATA", str(tmp_path / "none"))
    assert huiyin("doctor").code == 1
    assert not (tmp_path / "none").exists()


def test_doctor_sees_a_part_that_fell_silent(huiyin: Huiyin, data: Path) -> None:
    app = bootstrap.build(config.load(None, data, {}), models=False)
    Pulse(app, "service").beat(now=True)
    Pulse(app, "worker").beat("crashed", "exit code -9", now=True)
    app.close()
    with Lock(data, "serve"):
        found = findings(huiyin)
    assert found["service"]["ok"]
    assert not found["worker"]["ok"]
    assert "exit code -9" in found["worker"]["found"]


# --- channel ---------------------------------------------------------------------------------------


def test_add_writes_a_section_that_is_right_and_keeps_the_secret_apart(huiyin: Huiyin, data: Path) -> None:
    (data / "huiyin.toml").write_text("union_name = '甲校工会'  # ours\n", encoding="utf-8")
    answer = huiyin(
        "channel", "add", "qq", "--type", "onebot", "--unit", "宣传部",
        "--set", "groups=[700001, 700002]", "--set", "token=a long random token", "--set", "profile=napcat",
    )  # fmt: skip
    assert (answer.code, answer.out) == (0, "")
    text = (data / "huiyin.toml").read_text(encoding="utf-8")
    assert text.startswith("union_name = '甲校工会'  # ours\n")
    assert "a long random token" not in text
    secret = data / "secrets" / "qq.token"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    found = config.load(None, data, {})
    channel = found.channel("qq")
    assert channel.settings == {
        "groups": [700001, 700002],
        "token": "a long random token",
        "profile": "napcat",
    }
    assert channel.unit == "宣传部"
    assert huiyin("check").code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["qq", "--type", "onebot", "--set", "grups=[1]", "--set", "token=x"], 2, "did you mean `groups`"),
        (["qq", "--type", "onebot", "--set", "token=x"], 2, "groups"),
        (["qq", "--type", "oneboot"], 2, "did you mean `onebot`"),
        (["群", "--type", "box"], 2, "渠道名"),
        (["qq", "--type", "box", "--set", "novalue"], 2, "--set"),
        (["qq"], 2, "--type"),
    ],
)
def test_add_writes_nothing_that_would_not_work(
    huiyin: Huiyin, data: Path, words: list[str], code: int, told: str
) -> None:
    answer = huiyin("channel", "add", *words)
    assert answer.code == code
    assert told in answer.err
    assert not (data / "huiyin.toml").exists()
    assert not (data / "secrets").exists()


def test_add_refuses_a_name_that_is_taken(huiyin: Huiyin, data: Path) -> None:
    assert huiyin("channel", "add", "letters", "--type", "box").code == 0
    assert huiyin("channel", "add", "letters", "--type", "box").code == 2
    assert (data / "huiyin.toml").read_text(encoding="utf-8").count("[channels.letters]") == 1


def listed(huiyin: Huiyin) -> dict[str, Any]:
    return {row["name"]: row for row in huiyin("channel", "list", "--json").rows()}


def test_list_shows_what_is_declared_and_what_has_posts(huiyin: Huiyin, data: Path) -> None:
    huiyin("channel", "add", "letters", "--type", "box")
    posts = data / "posts.jsonl"
    posts.write_text('{"id": "1", "text": "食堂今天不错"}\n', encoding="utf-8")
    huiyin("import", posts, "--channel", "old-forum")
    found = listed(huiyin)
    assert (found["letters"]["declared"], found["letters"]["type"]) == (True, "box")
    assert (found["old-forum"]["declared"], found["old-forum"]["received"]) == (False, 1)
    table = huiyin("channel", "list").out
    assert "letters" in table
    assert "old-forum" in table


def test_pause_and_resume_are_kept_and_stand_in_the_ledger(huiyin: Huiyin, data: Path) -> None:
    huiyin("channel", "add", "letters", "--type", "box")
    assert huiyin("channel", "pause", "letters").code == 0
    assert listed(huiyin)["letters"]["state"] == "paused"
    assert huiyin("channel", "resume", "letters").code == 0
    assert listed(huiyin)["letters"]["state"] != "paused"
    app = bootstrap.build(config.load(None, data, {}), models=False)
    with app.deps.uow.read() as store:
        assert [entry.kind for entry in store.ledger.entries(0, 10)] == ["channel.paused", "channel.resumed"]
    app.close()
    assert huiyin("channel", "pause", "nowhere").code == 1


def test_a_channel_paused_in_the_file_is_not_resumed_behind_its_back(huiyin: Huiyin, data: Path) -> None:
    (data / "huiyin.toml").write_text("[channels.letters]\ntype = 'box'\npaused = true\n", encoding="utf-8")
    answer = huiyin("channel", "resume", "letters")
    assert answer.code == 2
    assert "huiyin.toml:3: channels.letters.paused" in answer.err


def test_check_without_a_service_connects_from_here(huiyin: Huiyin, data: Path) -> None:
    huiyin("channel", "add", "letters", "--type", "box")
    good = huiyin("channel", "check", "letters")
    assert (good.code, good.out.splitlines()[0][:10]) == (0, "✓ letters：")
    assert "能做：" in good.out
    huiyin(
        "channel",
        "add",
        "qq",
        "--type",
        "onebot",
        "--set",
        "groups=[1]",
        "--set",
        "token=x",
        "--set",
        "call_seconds=1",
    )
    bad = huiyin("channel", "check", "qq", "--json")
    assert (bad.code, bad.rows()[0]["ok"]) == (1, False)
    assert "/onebot/v11/qq" in bad.err
    assert huiyin("channel", "check", "nowhere").code == 2


@pytest.fixture
def serving(data: Path) -> Iterator[Callable[[Health], threading.Thread]]:
    """Answer one check as a running service would."""
    app = bootstrap.build(config.load(None, data, {}), models=False)
    threads: list[threading.Thread] = []

    def serve(health: Health) -> threading.Thread:
        Pulse(app, "service").beat(now=True)

        def answer() -> None:
            from datetime import timedelta
            from time import sleep

            while not (asked := channels.look(app.deps, ["qq"]).wanted.get("qq")):
                sleep(0.02)
            channels.checked(app.deps, "qq", asked, health, timedelta(seconds=5))

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return threads[-1]

    yield serve
    for thread in threads:
        thread.join(5)
    app.close()


def test_check_asks_the_service_that_holds_the_connection(
    huiyin: Huiyin, serving: Callable[[Health], threading.Thread]
) -> None:
    serving(Health(True, "已连接 NapCat", frozenset({"listen", "reply"}), {"seen": "7"}))
    answer = huiyin("channel", "check", "qq", "--json")
    assert answer.code == 0
    assert answer.rows()[0] == {
        "channel": "qq",
        "ok": True,
        "message": "已连接 NapCat",
        "capabilities": ["listen", "reply"],
        "detail": {"seen": "7"},
    }


def test_nobody_but_an_administrator_manages_channels(data: Path) -> None:
    from monitor.core.errors import NotAllowed
    from monitor.testing.builders import ADMIN, MODERATOR

    app = bootstrap.build(config.load(None, data, {}), models=False)
    rows: list[ChannelStatus] = channels.status(app.deps, ADMIN)
    assert rows == []
    for call in (
        lambda: channels.status(app.deps, MODERATOR),
        lambda: channels.set_paused(app.deps, MODERATOR, "qq", True),
        lambda: channels.ask_check(app.deps, MODERATOR, "qq"),
    ):
        with pytest.raises(NotAllowed):
            call()
    assert channels.status(app.deps, SYSTEM) == []
    app.close()
