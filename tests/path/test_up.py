"""``huiyin up`` as a person starts it: real processes, real ports, a post from the box to a case, and a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from monitor import bootstrap, config
from monitor.core.errors import ConfigError
from monitor.core.model import SYSTEM, Case, CaseKind, Role
from monitor.core.ports import CaseFilter, PartStatus
from monitor.runtime import starting
from monitor.runtime.parts import Lock
from monitor.usecases import accounts

WEEK = Path(__file__).resolve().parents[2] / "corpora" / "demo" / "week.jsonl"
COMMAND = (sys.executable, "-m", "monitor.cli")
GRIEVANCE = "工会您好，三号楼电梯坏了三周没人修，老师们天天爬六楼，请后勤处给个说法"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(test: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@dataclass
class Running:
    """A started Huiyin."""

    process: subprocess.Popen[str]
    data: Path
    port: int
    seconds: float
    said: str

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def family(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def parts(self) -> dict[str, PartStatus]:
        """Return what the health screen shows of the parts."""
        with opened(self.data) as app, app.deps.uow.read() as store:
            return {part.name: part for part in store.operations.parts()}

    def stop(self, number: signal.Signals) -> float:
        """End it and return how long that took."""
        family, begun = self.family(), time.monotonic()
        self.process.send_signal(number)
        self.process.wait(15)
        seconds = time.monotonic() - begun
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        return seconds


@contextmanager
def up(data: Path, *options: str, port: int | None = None) -> Iterator[Running]:
    """Start Huiyin and wait until it says that it is there."""
    port = port or free_port()
    words = [*COMMAND, "--data", str(data), "up", "--port", str(port), *options]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1", "HUIYIN_RULES_EFFECT_DELAY": "0"}
    begun = time.monotonic()
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            while "Ctrl-C" not in said:
                line = process.stdout.readline()
                assert line, f"it ended instead of starting: {said}"
                said += line
            yield Running(process, data, port, time.monotonic() - begun, said)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(15)


@contextmanager
def opened(data: Path) -> Iterator[bootstrap.App]:
    """Look into the store of a data directory."""
    app = bootstrap.build(config.read(None, data, {})[0], models=False)
    try:
        yield app
    finally:
        app.close()


def cases(data: Path, *kinds: CaseKind) -> list[Case]:
    with opened(data) as app, app.deps.uow.read() as store:
        return store.cases.page(CaseFilter(kinds=kinds), None, 1_000)


def posts(data: Path) -> int:
    with opened(data) as app, app.deps.uow.read() as store:
        return store.posts.count()


def started(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start Huiyin where it is expected to refuse."""
    words = [*COMMAND, "--data", str(data), "up", *options]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def write_into_box(running: Running, text: str) -> str:
    """Send the form of the box page; returns the page with the receipt."""
    form = urllib.parse.urlencode({"text": text, "unit": "后勤处"}).encode()
    request = urllib.request.Request(running.url("/box"), form, {"Origin": running.url("")})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_from_nothing_to_a_case_and_back_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "huiyin.toml").write_text('[channels.letters]\ntype = "box"\n', encoding="utf-8")
    with up(tmp_path, "--no-ui", "--no-demo") as running:
        print(f"first start: {running.seconds:.1f} s")
        password = re.search(r"^ *admin +(\S+)", running.said, re.MULTILINE)
        assert password, running.said
        assert answers(running.url("/healthz"))
        page = write_into_box(running, GRIEVANCE)
        assert re.search(r"\d{4}-\d{4}-\d{4}-\d{4}", page)
        until(lambda: cases(tmp_path, CaseKind.GRIEVANCE))

        second = started(tmp_path, "--no-ui")
        assert second.returncode == 1
        assert f"process {running.process.pid}" in second.stderr

        worker = running.parts()["worker"]
        os.kill(worker.pid, signal.SIGKILL)
        until(lambda: running.parts()["worker"].state == "crashed", 5)
        until(
            lambda: running.parts()["worker"].state == "running" and running.parts()["worker"].restarts == 1
        )
        assert {"service", "dispatcher", "worker"} <= set(running.parts())

        seconds = running.stop(signal.SIGTERM)
        print(f"stop: {seconds:.1f} s")
        assert seconds < 30
        assert running.process.returncode == 0
    assert not answers(running.url("/healthz"))
    with up(tmp_path, "--no-ui") as again:
        print(f"second start: {again.seconds:.1f} s")
        assert again.seconds < 60
        assert "admin" not in again.said, "the password is shown once"
        assert again.stop(signal.SIGINT) < 30
    with opened(tmp_path) as app:
        assert accounts.sign_in(app.deps, "admin", password[1], "127.0.0.1")


def played(data: Path) -> int:
    """Return how many lines of the demo week were played."""
    return (data / "demo" / "qq.jsonl").read_text(encoding="utf-8").count('"played"')


def sign_ins(said: str) -> dict[str, str]:
    return dict(re.findall(r"^  ([a-z]+\.[a-z]+) +(\S+)", said, re.MULTILINE))


def test_the_demo_goes_on_where_it_stopped_and_never_mixes_with_real_posts(tmp_path: Path) -> None:
    week = [json.loads(line) for line in WEEK.read_text(encoding="utf-8").splitlines()]
    said = [row for row in week if row.get("event", "message") == "message"]
    wanted = {CaseKind.CARE, CaseKind.GRIEVANCE, CaseKind.CLARIFICATION, CaseKind.MODERATION}
    with up(tmp_path, "--no-ui", "--demo", "--demo-speed", "0") as running:
        first = sign_ins(running.said)
        until(lambda: wanted <= {case.kind for case in cases(tmp_path)}, 60)
        running.stop(signal.SIGTERM)
    with up(tmp_path, "--no-ui", "--demo", "--demo-speed", "0") as running:
        assert sign_ins(running.said) == first
        until(lambda: played(tmp_path) == len(week), 60)
        until(lambda: posts(tmp_path) == len(said))
        running.stop(signal.SIGTERM)
    with opened(tmp_path) as app:
        people = {account.login: account for account in accounts.list_accounts(app.deps, SYSTEM)}
        assert set(first) == set(people)
        for login, password in first.items():
            assert accounts.sign_in(app.deps, login, password, "127.0.0.1")
    roles = {role for account in people.values() for role in account.roles}
    assert roles == set(Role) - {Role.MEMBER, Role.SYSTEM}
    assert people["hand.sun"].unit == "后勤处"
    mixed = started(tmp_path, "--no-ui", "--no-demo")
    assert (mixed.returncode, "holds the demo" in mixed.stderr) == (2, True)
    logged = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "logs").glob("*.log"))
    assert not [row["id"] for row in said if len(row["text"]) > 5 and row["text"] in logged]


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = started(tmp_path, "--no-ui", "--port", str(port))
    assert made.returncode == 2
    assert f"127.0.0.1:{port}" in made.stderr
    assert "--port" in made.stderr


def test_a_faulty_configuration_starts_in_safe_mode_and_names_the_key(tmp_path: Path) -> None:
    """F-17: the screens are there, channels stay off."""
    (tmp_path / "huiyin.toml").write_text(
        '[rules]\napeal_days = 200\n[channels.letters]\ntype = "box"\n', encoding="utf-8"
    )
    with up(tmp_path, "--no-ui") as running:
        assert (
            f"{tmp_path / 'huiyin.toml'}:2: rules.apeal_days: unknown key; did you mean `appeal_days`?"
            in running.said
        )
        assert answers(running.url("/healthz"))
        until(lambda: "apeal_days" in "".join(part.note for part in running.parts().values()))
        running.stop(signal.SIGTERM)


def test_a_faulty_store_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "huiyin.toml").write_text("[store]\nurrl = 'sqlite:///x.db'\n", encoding="utf-8")
    made = started(tmp_path, "--no-ui")
    assert made.returncode == 2
    assert "store.urrl" in made.stderr
    assert not (tmp_path / "huiyin.db").exists()


@pytest.mark.slow
def test_with_the_screens_everything_answers_and_ends(tmp_path: Path) -> None:
    ui_port = free_port()
    with up(tmp_path, "--demo", "--ui-port", str(ui_port)) as running:
        print(f"first start with screens: {running.seconds:.1f} s")
        assert answers(f"http://127.0.0.1:{ui_port}/healthz")
        assert f"http://127.0.0.1:{ui_port}/" in running.said
        until(lambda: running.parts().get("ui") is not None)
        assert running.stop(signal.SIGINT) < 30
    with up(tmp_path, "--demo", "--ui-port", str(ui_port)) as again:
        print(f"second start with screens: {again.seconds:.1f} s")
        assert again.seconds < 60
        again.stop(signal.SIGTERM)


def test_a_supervisor_that_is_killed_takes_its_parts_with_it_and_can_be_started_at_once(
    tmp_path: Path,
) -> None:
    with up(tmp_path, "--no-ui") as running:
        family = running.family()
        running.process.kill()
        running.process.wait()
    with up(tmp_path, "--no-ui") as again:
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        again.stop(signal.SIGTERM)


def test_a_part_that_runs_by_itself_is_not_joined_by_a_second_one(tmp_path: Path) -> None:
    with (
        Lock(tmp_path, "serve"),
        pytest.raises(ConfigError, match=rf"`huiyin serve` runs already .*{os.getpid()}"),
    ):
        starting.refuse_second(tmp_path, ("worker", "serve"), patience=0.2)
    starting.refuse_second(tmp_path, ("worker", "serve"), patience=0.0)
