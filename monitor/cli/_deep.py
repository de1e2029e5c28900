"""What ``huiyin train --deep`` and ``huiyin models`` do for the deep tier."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.cli.models import folder
from monitor.core.errors import BadInput
from monitor.words import _

if TYPE_CHECKING:
    from classifiers._version import Corpus

_NEEDS = ("torch", "onnx", "onnxscript", "onnxruntime")


def train(
    corpus: Corpus,
    *,
    version: str,
    out: Path | None,
    base: str,
    preset: str,
    pool: Sequence[Path],
    minutes: float,
    rounds: int,
    own_head: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Make a deep version; return what the command prints.

    Args:
        corpus: labelled parts.
        version: name without ``deep-``.
        out: folder to write; None adds the version to the data directory.
        base: encoder to start from; empty pre-trains a new one on the corpus and ``pool``.
        preset: sizes of a new encoder.
        pool: JSONL files with posts without labels; with ``base`` the encoder reads on in them first.
        minutes: limit of the pre-training.
        rounds: how often every labelled post is read.
        own_head: keep the checkpoint's own classification head.
        say: told what is being done.

    Raises:
        BadInput: what it needs is not installed, or options do not fit.
    """
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise BadInput(
            _("训练深度模型还需要 {names}；请安装：pip install 'huiyin[train]'。").format(
                names=", ".join(missing)
            )
        )
    from classifiers import _artifact, _deep_artifact, _deep_base, _deep_fit, _deep_pretrain, _deep_version
    from classifiers._registry import QUESTIONS

    if own_head and (pool or not base):
        raise BadInput(_("--own-head 要与 --base 一起用，不带 --pool。"))
    if preset not in _deep_pretrain.PRESETS:
        raise BadInput(_("没有这个规格；可选：{names}。").format(names=", ".join(_deep_pretrain.PRESETS)))
    if base:
        start = _deep_base.read(folder(), base, QUESTIONS, own_head)
        if pool:
            start = _deep_pretrain.read_on(start, corpus, pool, preset, minutes, say)
    else:
        start = _deep_pretrain.new_base(corpus, pool, preset, minutes, say)
    name = _deep_artifact.PREFIX + version.removeprefix(_deep_artifact.PREFIX)
    made = _deep_version.make(corpus, name, start, _deep_fit.Lesson(rounds=rounds), say)
    slot = _deep_artifact.slot(folder())
    if out is None:
        written = slot / _artifact.add_made(slot, name, made.save)
    else:
        made.save(out)
        written = out
    if pool or not base:
        _deep_base.save(written / "base", start.pieces, start.encoder, start.longest)
    gc.collect()
    f1 = {
        tier: {label: found["f1"] for label, found in figures.items()}
        for tier, figures in made.evaluation["held_out"].items()
    }
    return {"version": name, "folder": str(written), "held_out_f1": f1, "counts": sorted(made.model.mixes)}
