"""A deep version is a folder: manifest.json, model.onnx, tokenizer.json, card.md, evaluation.json.

Nothing in it is run when it is opened: the graph is ONNX, the rest is JSON. What does not fit is refused with a
sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from classifiers import _artifact
from classifiers._deep_stack import Band, Mix
from classifiers._text import NORMALISER_VERSION
from monitor.core.errors import ClassifierError

SHIPPED: Final = Path(__file__).parent / "weights_deep"
PREFIX: Final = "deep-"  # version names of this tier begin so
FORMAT: Final = 1
GRAPH: Final = "model.onnx"
PIECES: Final = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class DeepModel:
    """Everything that the deep tier answers with.

    Attributes:
        version: begins with ``deep-``.
        graph: the network as ONNX.
        pieces: the vocabulary, in the format of the library tokenizers.
        answers: what the columns of the network's votes are about: (question, answer).
        longest: pieces of a post that are read.
        mixes: question -> weights beside the fast tier; a question without one is left to the fast tier.
        bands: question -> where the fast tier is unsure; the cascade asks the deep tier there.
        thresholds: yes/no question -> operating point.
    """

    version: str
    graph: bytes
    pieces: str
    answers: tuple[tuple[str, str], ...]
    longest: int
    mixes: Mapping[str, Mix]
    bands: Mapping[str, Band]
    thresholds: Mapping[str, float]
    card: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def save(model: DeepModel, folder: Path, evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a version into ``folder`` (made when missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = model.pieces.encode("utf-8")
    manifest = {
        "format": FORMAT,
        "name": "deep",
        "version": model.version,
        "normaliser_version": NORMALISER_VERSION,
        "answers": [list(answer) for answer in model.answers],
        "longest": model.longest,
        "mixes": {label: asdict(mix) for label, mix in model.mixes.items()},
        "bands": {label: asdict(band) for label, band in model.bands.items()},
        "thresholds": dict(model.thresholds),
        "graph_sha256": hashlib.sha256(model.graph).hexdigest(),
        "pieces_sha256": hashlib.sha256(pieces).hexdigest(),
        **facts,
    }
    (folder / GRAPH).write_bytes(model.graph)
    (folder / PIECES).write_bytes(pieces)
    (folder / "card.md").write_text(model.card, encoding="utf-8")
    _artifact.write_json(folder / "evaluation.json", evaluation)
    _artifact.write_json(folder / "manifest.json", manifest)


def read(folder: Path) -> DeepModel:
    """Read and check a version.

    Raises:
        ClassifierError: a file is missing or damaged, or was made for another normaliser.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        graph, pieces = (folder / GRAPH).read_bytes(), (folder / PIECES).read_bytes()
    except (OSError, ValueError) as error:
        raise ClassifierError(_mend(folder, "a file is missing or damaged")) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or manifest.get("name") != "deep":
        raise ClassifierError(_mend(folder, "manifest.json is of an unknown format"))
    for what, content in (("graph", graph), ("pieces", pieces)):
        if hashlib.sha256(content).hexdigest() != manifest.get(f"{what}_sha256"):
            raise ClassifierError(_mend(folder, f"the {what} do not have the hash that manifest.json names"))
    if manifest.get("normaliser_version") != NORMALISER_VERSION:
        raise ClassifierError(
            f"model {folder.name} was made for another normaliser; train it again with 'huiyin train all --deep'"
        )
    try:
        return DeepModel(
            version=str(manifest["version"]),
            graph=graph,
            pieces=pieces.decode("utf-8"),
            answers=tuple((str(label), str(value)) for label, value in manifest["answers"]),
            longest=int(manifest["longest"]),
            mixes={
                str(label): Mix(float(mix["fast"]), float(mix["deep"]), tuple(map(float, mix["bias"])))
                for label, mix in manifest["mixes"].items()
            },
            bands={
                str(label): Band(float(band["low"]), float(band["high"]))
                for label, band in manifest["bands"].items()
            },
            thresholds={str(label): float(value) for label, value in manifest["thresholds"].items()},
            card=(folder / "card.md").read_text(encoding="utf-8") if (folder / "card.md").exists() else "",
            facts=manifest,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ClassifierError(_mend(folder, "manifest.json does not fit")) from error


def _mend(folder: Path, fault: str) -> str:
    if folder == SHIPPED:
        return f"the shipped deep model is unusable: {fault}; install Huiyin again, or use --tier fast"
    return f"model {folder.name} is unusable: {fault}; run 'huiyin models use deep-shipped' or add it again"


# --- the versions of one installation --------------------------------------------------------------

_SHIPPED: Final = f"{PREFIX}shipped"


def slot(models: Path) -> Path:
    """Return where the deep versions of an installation live: beside its models folder."""
    return models.with_name(models.name + "-deep")


def is_deep(folder: Path) -> bool:
    """Tell whether a folder says that it holds a deep version."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("name") == "deep"


def versions(models: Path) -> list[_artifact.Version]:
    """Return the shipped deep version, if one is, and every added one."""
    found = _artifact.versions(slot(models), SHIPPED, read)
    return [version for version in found if version.folder != SHIPPED or (SHIPPED / "manifest.json").exists()]


def add(models: Path, source: Path) -> str:
    """Copy a deep version into the installation; raises ClassifierError like :func:`classifiers._artifact.add`."""
    return _artifact.add(slot(models), source, read)


def use(models: Path, version: str) -> None:
    """Let a deep version serve from the next start; ``deep-shipped`` names the one that came with Huiyin."""
    _artifact.use(slot(models), "shipped" if version == _SHIPPED else version, read)


def rollback(models: Path) -> str:
    """Go back to the deep version that served before; return its name."""
    version = _artifact.rollback(slot(models))
    return _SHIPPED if version == "shipped" else version


def active_folder(models: Path | None) -> Path:
    """Return the folder of the deep version that serves, for the models folder of an installation."""
    return _artifact.active_folder(None if models is None else slot(models), SHIPPED)
