"""``channel add`` as a person meets it, the cursor, and what is forgotten in time."""

from __future__ import annotations

import os
import pty
import select
import stat
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cli_world import Huiyin

from monitor import bootstrap, config
from monitor.core.model import SYSTEM
from monitor.runtime.parts import Pulse
from monitor.testing.builders import raw
from monitor.usecases import ingest as taking
from monitor.usecases import retention
from monitor.usecases.channels import move_cursor, set_paused

SECONDS = 90.0


class Terminal:
    """A command at a terminal of its own: what it asks can be seen, and answered."""

    def __init__(self, data: Path, *arguments: str) -> None:
        environment = {**os.environ, "HUIYIN_DATA": str(data), "HUIYIN_LANG": "zh"}
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "monitor.cli", *arguments], environment)
        self.seen = ""

    def until(self, words: str) -> str:
        """Wait for words on the screen and return everything that stands there."""
        deadline = time.monotonic() + SECONDS
        while words not in self.seen and time.monotonic() < deadline and self._look():
            pass
        assert words in self.seen, self.seen
        return self.seen

    def _look(self) -> bool:
        ready, _write, _error = select.select([self._screen], [], [], 1.0)
        try:
            more = os.read(self._screen, 4096) if ready else b""
        except OSError:
            return False
        self.seen += more.decode("utf-8", "replace")
        return True

    def type(self, line: str) -> None:
        """Type a line."""
        self.seen = ""
        os.write(self._screen, line.encode() + b"\n")

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        while self._look():
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._screen)
        return code


def test_what_a_platform_gave_out_is_asked_for_and_never_made_up(data: Path) -> None:
    shell = Terminal(
        data, "channel", "add", "wx", "--type", "wechat", "--set", "comments=false", "--no-check"
    )
    shell.until("appid")
    shell.type("wx0123456789abcdef")
    said = shell.until("app_secret（由平台给出）: ")
    assert "回车则随机生成" not in said
    shell.type("")
    shell.until("app_secret（由平台给出）: ")  # asked again: Enter is no answer
    shell.type("canary-app-secret")
    shell.until("token（回车则随机生成）: ")
    shell.type("")
    shell.until("aes_secret（回车则随机生成）: ")
    shell.type("")
    shell.until("已随机生成 aes_secret")
    assert shell.ended() == 0
    text = (data / "huiyin.toml").read_text(encoding="utf-8")
    assert "canary" not in text
    settings = config.load(None, data, {}).channel("wx").settings
    assert settings["app_secret"] == "canary-app-secret"
    assert settings["token"].isalnum()
    assert len(settings["token"]) == 32
    assert len(settings["aes_secret"]) == 43


def test_a_secret_of_ours_is_made_and_the_place_named(huiyin: Huiyin, data: Path) -> None:
    answer = huiyin("channel", "add", "site", "--type", "webhook")
    assert answer.code == 0
    assert "secrets/site.secrets.1" in answer.err
    (secret,) = config.load(None, data, {}).channel("site").settings["secrets"]
    assert secret.startswith("whsec_")
    assert secret not in answer.err + answer.out + (data / "huiyin.toml").read_text(encoding="utf-8")
    assert stat.S_IMODE((data / "secrets" / "site.secrets.1").stat().st_mode) == 0o600
    assert "✓ site：" in answer.err, "it is tried at once"


def test_without_a_terminal_a_platforms_secret_is_missed_and_nothing_written(
    huiyin: Huiyin, data: Path
) -> None:
    answer = huiyin("channel", "add", "bot", "--type", "qqbot", "--set", "app_id=1")
    assert (answer.code, "secret" in answer.err) == (2, True)
    assert not (data / "huiyin.toml").exists()
    assert not (data / "secrets").exists()


def test_secrets_may_stand_elsewhere(huiyin: Huiyin, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_SECRET", "canary-of-the-platform")
    huiyin(
        "channel", "add", "bot", "--type", "qqbot", "--no-check",
        "--set", "app_id=1", "--set", "secret=env:BOT_SECRET",
        "--set", "token_url=http://127.0.0.1:9/token",
    )  # fmt: skip
    text = (data / "huiyin.toml").read_text(encoding="utf-8")
    assert 'secret = { env = "BOT_SECRET" }' in text
    assert "127.0.0.1:9/token" in text, "an address is no secret"
    assert config.load(None, data, {}).channel("bot").settings["secret"] == "canary-of-the-platform"


def test_the_cursor_is_seen_and_moved_with_a_warning_and_an_entry(huiyin: Huiyin, data: Path) -> None:
    huiyin("channel", "add", "letters", "--type", "box")
    huiyin("channel", "pause", "letters")
    assert huiyin("channel", "cursor", "letters", "--set", "7:甲", "--yes").code == 0
    assert huiyin("channel", "cursor", "letters").out == "7:甲\n"
    assert huiyin("channel", "cursor", "letters", "--set", "1", "--reset").code == 2
    moved = huiyin("channel", "cursor", "letters", "--reset", "--yes")
    assert "不会重复入库" in moved.err
    assert "7:甲" in moved.err
    assert huiyin("channel", "cursor", "letters").out == "\n"
    assert huiyin("channel", "cursor", "nowhere", "--reset", "--yes").code == 1
    looked = huiyin("channel", "cursor", "nowhere")
    assert (looked.code, looked.out) == (1, "")
    assert "channel list" in looked.err
    app = bootstrap.build(config.load(None, data, {}), models=False)
    with app.deps.uow.read() as store:
        kinds = [entry.kind for entry in store.ledger.entries(0, 10)]
    assert kinds == ["channel.paused", "channel.cursor_set", "channel.cursor_reset"]
    app.close()


def test_a_cursor_in_use_is_not_moved(data: Path, huiyin: Huiyin) -> None:
    from monitor.core.errors import BadMove

    huiyin("channel", "add", "letters", "--type", "box")
    huiyin("channel", "pause", "letters")
    app = bootstrap.build(config.load(None, data, {}), models=False)
    set_paused(app.deps, SYSTEM, "letters", False)
    Pulse(app, "service").beat(now=True)
    with pytest.raises(BadMove, match="pause letters"):
        move_cursor(app.deps, SYSTEM, "letters", None)
    set_paused(app.deps, SYSTEM, "letters", True)
    assert move_cursor(app.deps, SYSTEM, "letters", "5") is None
    app.close()


def test_retention_counts_first_and_deletes_what_is_over(huiyin: Huiyin, data: Path) -> None:
    app = bootstrap.build(config.load(None, data, {}), models=False)
    deps = app.deps
    taking.ingest(deps, "qq", [raw("1", "打我电话13812345678"), raw("2", "工资没发")])
    with deps.uow.begin() as store:
        long_ago = deps.clock.now() - timedelta(days=8)
        for key in ("http:1", "http-answer:1", "said:2026-01-01:abc:0", "said:" + "a" * 64):
            store.operations.remember(key, "system", "{}", long_ago)
        store.operations.remember("http:2", "system", "{}", deps.clock.now())
    app.close()
    (data / "huiyin.toml").write_text("[rules]\noriginal_days = 0\n", encoding="utf-8")
    wanted = {"originals": 1, "idempotency": 3, "quarantine": 0, "sessions": 0, "failures": 0}
    assert huiyin("retention", "run", "--dry-run").rows() == [{"dry_run": True, **wanted}]
    assert huiyin("retention", "run").rows() == [{"dry_run": False, **wanted}]
    assert huiyin("retention", "run").rows() == [{"dry_run": False, **dict.fromkeys(wanted, 0)}]
    app = bootstrap.build(config.load(None, data, {}), models=False)
    with app.deps.uow.read() as store:
        assert store.operations.remembered("said:" + "a" * 64, "system") == "{}", "said once is said for good"
        assert [entry.kind for entry in store.ledger.entries(0, 10)] == ["retention.run"]
    assert retention.sweep(app.deps) == 0
    app.close()
