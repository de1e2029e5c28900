"""``huiyin bench classify``: posts a second and memory of reading posts, beside two things that people would use."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli import _bench_load as load
from monitor.cli._hand import Json
from monitor.words import _

ROUNDS = 3
SAMPLE_PIPELINE = 10_000
SAMPLE_SNOWNLP = 300


def register(app: typer.Typer) -> None:
    """Mount ``classify`` on ``huiyin bench``."""
    app.command(
        "classify", help=_("读帖文的速度与内存，附两个基准。"), epilog="huiyin bench classify --posts 100000"
    )(classify)


def classify(
    posts: Annotated[int, typer.Option("--posts", min=1000, help=_("每次测量用多少条帖文"))] = 100_000,
    as_json: Json = False,
) -> None:
    """Measure the fast tier and the command; baselines: scikit-learn's TF-IDF with logistic regression, and SnowNLP.

    Rates are per CPU second of the process, so a busy machine does not change them much; medians of three runs.
    """
    from classifiers import _baseline
    from monitor.cli.bench import say

    with tempfile.TemporaryDirectory(prefix="huiyin-bench-") as folder:
        path = Path(folder) / "posts.jsonl"
        load.write_posts(path, posts)
        texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
        command = [_command(path, len(texts)) for _round in range(ROUNDS)]
    tier = _tier()
    ours = _rate(tier, texts)
    pipeline = _rate(_baseline.pipeline(load.labelled()), texts[:SAMPLE_PIPELINE])
    snow = _baseline.snownlp()
    other = None if snow is None else _rate(snow, texts[:SAMPLE_SNOWNLP])
    whole = statistics.median(rate for rate, _peak, _start in command)
    say(
        {
            "bench": "classify",
            "posts": posts,
            "command_posts_per_core_s": round(whole),
            "command_peak_rss_mb": round(max(peak for _rate, peak, _start in command), 1),
            "command_cold_start_s": round(statistics.median(start for _rate, _peak, start in command), 2),
            "tier_posts_per_core_s": round(ours),
            "baseline_tfidf_logistic_posts_per_core_s": round(pipeline),
            "ratio_to_tfidf_logistic": round(ours / pipeline, 1),
            "baseline_snownlp_posts_per_core_s": None if other is None else round(other, 1),
            "ratio_to_snownlp": None if other is None else round(ours / other),
            "dropped": 0,
        },
        as_json,
    )


def _tier() -> Callable[[Sequence[str]], object]:
    from classifiers import fast

    return fast.load().classify


def _rate(act: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Return texts per CPU second, the median of several runs after a warm-up."""
    act(texts[:64])
    found = []
    for _round in range(ROUNDS):
        begun = time.process_time()
        act(texts)
        found.append(len(texts) / (time.process_time() - begun))
    return statistics.median(found)


def _command(path: Path, count: int) -> tuple[float, float, float]:
    """Run ``huiyin classify`` as a user would; returns posts per CPU second, peak memory in MB, seconds for one post."""
    one = path.with_name("one.jsonl")
    one.write_text('{"text": "收到"}\n', encoding="utf-8")
    _cpu, _peak, cold = _timed(one, 1)
    cpu, peak, _wall = _timed(path, count)
    return count / cpu, peak, cold


def _timed(path: Path, count: int) -> tuple[float, float, float]:
    """Return CPU seconds, peak memory in MB and wall seconds of one run; every line has to be answered."""
    out = path.with_suffix(".out")
    begun = time.monotonic()
    with out.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "monitor.cli", "classify", str(path)],
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
        _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = sum(1 for _line in out.open("rb"))
    if process.returncode != 0 or lines != count:
        raise RuntimeError(f"{count} posts went in and {lines} answers came out (exit {process.returncode})")
    return _cpu_of(usage), usage.ru_maxrss / 1024, time.monotonic() - begun


def _cpu_of(usage: resource.struct_rusage) -> float:
    return float(usage.ru_utime + usage.ru_stime)


__all__ = ["classify", "register"]
