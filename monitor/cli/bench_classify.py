"""``huiyin bench classify``: the fast tier and what a user would reach for instead, in the same run.

Speeds are posts per second of processor time of one core, so that a busy machine moves them less. The whole command
is measured in a process of its own, from the bytes of a JSONL file to the bytes of the answers.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli._hand import Json
from monitor.words import _

if TYPE_CHECKING:
    from classifiers._question import Row

_ROUNDS: Final = 3
_SINGLES: Final = 1_000
_SEED: Final = 20261125


def register(app: typer.Typer) -> None:
    """Mount ``classify`` on the bench commands."""
    app.command(
        "classify",
        help=_("快速模型每秒每核多少条、占多少内存，附 scikit-learn 与 SnowNLP 基准。"),
        epilog=_("例如") + ": huiyin bench classify --json",
    )(classify)


def classify(
    posts: Annotated[int, typer.Option("--posts", min=1_000, help=_("用多少条帖文"))] = 100_000,
    sample: Annotated[int, typer.Option("--sample", min=100, help=_("基准用多少条帖文"))] = 3_000,
    as_json: Json = False,
) -> None:
    """Measure normalisation and all answers, in this process and as a command; medians of three rounds."""
    from monitor.cli import bench

    rows = _rows()
    texts = _texts(rows, posts)
    figures: dict[str, Any] = {"bench": "classify", "posts": posts, "labels": 8, "rounds": _ROUNDS}
    figures["command"] = _command(texts)
    figures["fast_tier"] = _fast_tier(texts)
    figures["cascade"] = _cascade(_unseen(), sample)
    figures["baselines"] = _baselines(rows, texts[:sample])
    rate = figures["fast_tier"]["posts_per_core_s"]
    figures["ratio_to_baseline"] = {
        name: round(rate / found["posts_per_core_s"], 1) for name, found in figures["baselines"].items()
    }
    bench.say(figures, as_json)


def _rows() -> list[Row]:
    import corpora
    from classifiers._train import read_rows

    folder = Path(corpora.__path__[0]) / "domain"
    found = [row for path in sorted(folder.glob("part*.jsonl")) for _number, row in read_rows(path)]
    return [row for row in found if row is not None]


def _unseen() -> list[str]:
    """Return posts that no model has learnt from: of those that it knows, none is unsure."""
    import corpora
    from classifiers._train import read_rows

    home = Path(corpora.__path__[0])
    files = ("demo/week.jsonl", "criticism/criticism.jsonl", "claims/posts.jsonl", "evasion/innocent.jsonl")
    return [str(row["text"]) for name in files for _number, row in read_rows(home / name) if row is not None]


def _texts(rows: Sequence[Row], count: int) -> list[str]:
    """Return posts of the corpus in a fixed random order, no two of them equal."""
    chance = random.Random(_SEED)  # noqa: S311
    chosen = [str(chance.choice(rows)["text"]) for _number in range(count)]
    return [f"{text} {number}" for number, text in enumerate(chosen)]


def _spent(act: Callable[[], object]) -> float:
    """Return the median processor time of several rounds."""
    times = []
    for _round in range(_ROUNDS):
        begun = time.process_time()
        act()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def _fast_tier(texts: Sequence[str]) -> dict[str, Any]:
    from classifiers.fast import load
    from monitor.cli.bench import marks

    model = load()
    model.classify(texts[:1_000])
    spent = _spent(lambda: model.classify(texts))
    singles = []
    for text in texts[:_SINGLES]:
        begun = time.perf_counter()
        model.classify([text])
        singles.append(time.perf_counter() - begun)
    return {
        "posts_per_core_s": round(len(texts) / spent),
        **{f"single_{k}": v for k, v in marks(singles).items()},
    }


def _cascade(texts: Sequence[str], sample: int) -> dict[str, Any]:
    """Measure both tiers together, and the share of posts that the deep one was asked about."""
    from classifiers.deep import Cascade, load_auto

    model = load_auto()
    if not isinstance(model, Cascade):
        return {"posts_per_core_s": 0, "asked": 0.0}
    chosen = random.Random(_SEED).sample(list(texts), min(sample, len(texts)))  # noqa: S311
    model.classify(chosen[:200])
    spent = _spent(lambda: model.classify(chosen))
    return {"posts_per_core_s": round(len(chosen) / spent), "asked": round(model.unsure(chosen), 4)}


def _command(texts: Sequence[str]) -> dict[str, Any]:
    """Run ``huiyin classify`` over a file; the start is measured apart with one post and taken off."""
    with tempfile.TemporaryDirectory() as folder:
        many, one = Path(folder) / "many.jsonl", Path(folder) / "one.jsonl"
        lines = [
            json.dumps({"id": number, "text": text}, ensure_ascii=False) for number, text in enumerate(texts)
        ]
        many.write_text("\n".join(lines), encoding="utf-8")
        one.write_text(lines[0], encoding="utf-8")
        start = statistics.median(_run(one)[0] for _round in range(_ROUNDS))
        runs = [_run(many) for _round in range(_ROUNDS)]
    spent = statistics.median(run[0] for run in runs)
    unit = 1024 if sys.platform != "darwin" else 1024 * 1024
    return {
        "posts_per_core_s": round(len(texts) / max(spent - start, 1e-9)),
        "start_core_s": round(start, 2),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit, 1),
        "dropped": len(texts) - runs[0][1],
    }


def _run(path: Path) -> tuple[float, int]:
    """Return the processor time that the command took, and how many lines it answered."""
    before = os.times()
    with tempfile.TemporaryFile() as answers:
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "monitor.cli", "classify", "--tier", "fast", str(path)],
            stdout=answers,
            check=True,
        )
        answers.seek(0)
        answered = sum(1 for _line in answers)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return spent, answered


def _baselines(rows: Sequence[Row], texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Measure the baselines on a sample: per post they cost the same however many there are."""
    from classifiers import _baselines

    readers = {
        "sklearn_char_tfidf_logistic": _baselines.sklearn_pipelines(rows, words=False),
        "sklearn_jieba_tfidf_logistic": _baselines.sklearn_pipelines(rows, words=True),
    }
    few = dict.fromkeys(readers, texts)
    if snownlp := _baselines.snownlp():
        readers["snownlp_sentiment"] = snownlp
        few["snownlp_sentiment"] = texts[: max(100, len(texts) // 10)]
    found = {}
    for name, read in readers.items():
        chosen = few[name]
        read(chosen[:50])
        spent = _spent(lambda read=read, chosen=chosen: read(chosen))  # type: ignore[misc]
        found[name] = {"posts_per_core_s": round(len(chosen) / spent), "posts": len(chosen)}
    return found
