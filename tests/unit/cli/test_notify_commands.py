"""``huiyin notify``: what an administrator types to see and to try the ways to tell the staff."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_world import Huiyin

from monitor.testing.fake_robots import FakeRobots


@pytest.fixture
def fake() -> Iterator[FakeRobots]:
    """Robots beside the command: it has an event loop of its own."""
    made, loop = FakeRobots(), asyncio.new_event_loop()
    loop.run_until_complete(made.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made
    asyncio.run_coroutine_threadsafe(made.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def declared(data: Path, fake: FakeRobots) -> Path:
    """A data directory with one robot."""
    (data / "wecom").write_text(fake.url("wecom"), encoding="utf-8")
    (data / "huiyin.toml").write_text(
        '[notifiers.office]\ntype = "wecom"\nwebhook_secret = { file = "wecom" }\nlink = "https://x.example"\n',
        encoding="utf-8",
    )
    return data


def test_a_trial_arrives_and_is_told_from_an_alert(huiyin: Huiyin, declared: Path, fake: FakeRobots) -> None:
    answer = huiyin("notify", "test", "office")
    assert (answer.code, answer.out) == (0, "")
    assert "office" in answer.err
    assert fake.said == [
        ("wecom", "回音：测试提醒\n这是一条测试提醒。收到它，说明提醒可以送到这里。\nhttps://x.example")
    ]


@pytest.mark.parametrize(("code", "word"), [(93000, "拒绝"), (45009, "稍后")])
def test_what_did_not_arrive_is_told_with_exit_code_1(
    huiyin: Huiyin, declared: Path, fake: FakeRobots, code: int, word: str
) -> None:
    fake.codes["wecom"] = deque([code])
    answer = huiyin("notify", "test", "office")
    assert answer.code == 1
    assert word in answer.err
    assert "K-of-the-robot" not in answer.err


def test_what_is_declared_is_listed(huiyin: Huiyin, declared: Path) -> None:
    (row,) = huiyin("notify", "list", "--json").rows()
    assert (row["name"], row["type"], row["waiting"], row["last_error"]) == ("office", "wecom", 0, None)
    assert "office" in huiyin("notify", "list").out


def test_an_unknown_name_and_a_wrong_setting_are_wrong_use(huiyin: Huiyin, declared: Path) -> None:
    answer = huiyin("notify", "test", "offic")
    assert (answer.code, "did you mean `office`" in answer.err) == (2, True)
    file = declared / "huiyin.toml"
    file.write_text(
        file.read_text(encoding="utf-8") + 'everybdy = true\n[notifiers.b]\ntype = "wecon"\n',
        encoding="utf-8",
    )
    answer = huiyin("check")
    assert answer.code == 1
    assert (
        f"{file}:5: notifiers.office.everybdy: unknown setting `everybdy`; did you mean `everybody`?"
        in answer.err
    )
    assert f"{file}:7: notifiers.b.type: no plug-in `wecon` is installed; did you mean `wecom`?" in answer.err


def test_check_shows_a_notifier_without_its_secret(huiyin: Huiyin, declared: Path) -> None:
    answer = huiyin("check")
    assert answer.code == 0
    assert '[notifiers.office]\ntype = "wecom"' in answer.out
    assert 'webhook_secret = { file = "wecom" }' in answer.out
    assert "K-of-the-robot" not in answer.out + answer.err
    (declared / "huiyin.toml").write_text(answer.out, encoding="utf-8")
    assert huiyin("check").out == answer.out
