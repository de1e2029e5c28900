"""A model version is a folder: manifest.json, weights.npz (arrays only, never pickles), card.md, evaluation.json.

Only the features that training saw have a row of weights: small integers with one scale per answer. A folder whose
manifest, hash or shapes do not fit is refused with a sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from classifiers._features import HASH_VERSION, word_list
from classifiers._look import Look
from classifiers._text import NORMALISER_VERSION
from monitor.core.errors import ClassifierError

SHIPPED: Final = Path(__file__).parent / "weights"
FORMAT: Final = 3
_STEPS: Final = 31  # either way from zero: finer ones make the file larger and move no answer
_VERSION: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ACTIVE: Final = "active.json"

Floats = npt.NDArray[np.float32]
Buckets = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Head:
    """One column of scores: answer of a question.

    Attributes:
        label: the question.
        value: the answer ("1" for yes/no).
        bias: the score is sum / length + bias.
    """

    label: str
    value: str
    bias: float


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that answers the questions.

    Attributes:
        bits: features are hashed to 2 ** bits buckets.
        orders: lengths of the character n-grams; words are always features too.
        buckets: shape (known,): the buckets that have a row, ascending, without 0.
        weights: shape (known, heads).
        norms: shape (known,): squared weight of a feature in the length of a post.
        unseen: the same for a feature without a row.
        heads: what the columns mean.
        looks: question -> what turns scores into probabilities (see ``_look``).
        thresholds: label -> operating point, yes/no questions only.
    """

    version: str
    bits: int
    orders: tuple[int, ...]
    buckets: Buckets
    weights: Floats
    norms: Floats
    unseen: float
    heads: tuple[Head, ...]
    looks: Mapping[str, Look]
    thresholds: Mapping[str, float]
    card: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


# --- reading and writing ---------------------------------------------------------------------------


def save(model: Model, folder: Path, evaluation: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a model version into ``folder`` (made when missing).

    Args:
        evaluation: what was measured, for evaluation.json.
        facts: training sources, licences and settings, for the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = _pack(model)
    manifest = {
        "format": FORMAT,
        "name": "fast",
        "version": model.version,
        "hash_version": HASH_VERSION,
        "normaliser_version": NORMALISER_VERSION,
        "word_list": word_list(),
        "bits": model.bits,
        "orders": list(model.orders),
        "labels": list(dict.fromkeys(head.label for head in model.heads)),
        "heads": [[h.label, h.value, h.bias] for h in model.heads],
        "looks": {label: [list(row) for row in look] for label, look in model.looks.items()},
        "thresholds": dict(model.thresholds),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **facts,
    }
    (folder / "weights.npz").write_bytes(weights)
    write_json(folder / "evaluation.json", evaluation)
    (folder / "card.md").write_text(model.card, encoding="utf-8")
    write_json(folder / "manifest.json", manifest)


def _pack(model: Model) -> bytes:
    """Keep the weights as whole steps per column, zipped; the same model gives the same bytes."""
    scales = np.maximum(np.abs(model.weights).max(axis=0), 1e-9) / _STEPS
    arrays = {
        "gaps": np.diff(model.buckets, prepend=0).astype(np.uint32),
        "steps": np.rint(model.weights / scales).astype(np.int8).T.copy(),
        "scales": scales.astype(np.float32),
        "norms": model.norms.astype(np.float16),
        "unseen": np.array([model.unseen], dtype=np.float32),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **cast(Any, arrays))
    return buffer.getvalue()


def read(folder: Path) -> Model:
    """Read and check a model version.

    Raises:
        ClassifierError: a file is missing or damaged, or was made for another hash or normaliser.
    """
    manifest = _manifest(folder)
    try:
        packed = (folder / "weights.npz").read_bytes()
    except OSError as error:
        raise ClassifierError(_mend(folder, "weights.npz cannot be read")) from error
    if hashlib.sha256(packed).hexdigest() != manifest.get("weights_sha256"):
        raise ClassifierError(_mend(folder, "weights.npz does not have the hash that manifest.json names"))
    made_for = [manifest.get(key) for key in ("hash_version", "normaliser_version", "word_list")]
    if made_for != [HASH_VERSION, NORMALISER_VERSION, word_list()]:
        raise ClassifierError(
            f"model {folder.name} was made for another normaliser or word list; train it again with 'huiyin train all'"
        )
    try:
        return _unpack(manifest, packed, folder)
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise ClassifierError(_mend(folder, "manifest.json and weights.npz do not fit")) from error


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClassifierError(_mend(folder, "manifest.json is missing or damaged")) from error
    if not isinstance(manifest, dict):
        raise ClassifierError(_mend(folder, "manifest.json is of an unknown format"))
    kind = manifest.get("format")
    if kind in range(1, FORMAT) and folder != SHIPPED:
        raise ClassifierError(
            f"model {folder.name} was made by an earlier release; run 'huiyin train all', or 'huiyin models use shipped'"
        )
    if kind != FORMAT:
        raise ClassifierError(_mend(folder, "manifest.json is of an unknown format"))
    return manifest


def _mend(folder: Path, fault: str) -> str:
    if folder == SHIPPED:
        return f"the shipped model is unusable: {fault}; install Huiyin again"
    return f"model {folder.name} is unusable: {fault}; run 'huiyin models rollback' or add it again"


def _unpack(manifest: Mapping[str, Any], packed: bytes, folder: Path) -> Model:
    heads = tuple(Head(str(h[0]), str(h[1]), float(h[2])) for h in manifest["heads"])
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        buckets = np.cumsum(arrays["gaps"].astype(np.int64)).astype(np.int32)
        weights = arrays["steps"].T * arrays["scales"].astype(np.float32)
        norms = arrays["norms"].astype(np.float32)
        unseen = float(arrays["unseen"][0])
    model = Model(
        version=str(manifest["version"]),
        bits=int(manifest["bits"]),
        orders=tuple(int(order) for order in manifest["orders"]),
        buckets=buckets,
        weights=np.ascontiguousarray(weights, dtype=np.float32),
        norms=norms,
        unseen=unseen,
        heads=heads,
        looks={
            str(label): tuple(tuple(map(float, row)) for row in look)
            for label, look in manifest["looks"].items()
        },
        thresholds={str(label): float(value) for label, value in manifest["thresholds"].items()},
        card=(folder / "card.md").read_text(encoding="utf-8") if (folder / "card.md").exists() else "",
        facts=manifest,
    )
    _check(model)
    return model


def _check(model: Model) -> None:
    """Raise ValueError when the arrays do not fit each other."""
    known = len(model.buckets)
    if model.weights.shape != (known, len(model.heads)) or model.norms.shape != (known,):
        raise ValueError("shapes")
    if not 8 <= model.bits <= 22 or not known or model.buckets[0] < 1 or model.buckets[-1] >> model.bits:
        raise ValueError("buckets")
    if (np.diff(model.buckets) < 1).any():
        raise ValueError("order")
    if not (np.isfinite(model.weights).all() and np.isfinite(model.norms).all() and model.unseen >= 0):
        raise ValueError("not finite")


def evaluation(folder: Path) -> dict[str, Any]:
    """Return what was measured when the version was made; empty when nothing was kept."""
    try:
        found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def held_out_f1(folder: Path) -> dict[str, float]:
    """Return question -> F1 (macro-F1 for values) on the parts held out when the version was made."""
    figures = evaluation(folder).get("held_out", {})
    figures = figures.get("cascade", figures)  # a deep version measures several tiers
    return {
        label: found["f1"] for label, found in figures.items() if isinstance(found, dict) and "f1" in found
    }


def write_json(path: Path, content: object) -> None:
    path.write_text(
        json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


# --- the versions of one installation --------------------------------------------------------------


class Versioned(Protocol):
    """What a version holds when it was read: at least its name."""

    @property
    def version(self) -> str:
        """Return the name of the version."""


@dataclass(frozen=True, slots=True)
class Version:
    """One model version of an installation; ``fault`` says why it cannot serve, empty when it can."""

    version: str
    folder: Path
    serves: bool
    fault: str = ""


def active_folder(models: Path | None, shipped: Path = SHIPPED) -> Path:
    """Return the folder that serves: the one named in ``models/active.json``, else the shipped one."""
    history = _history(models)
    return shipped if models is None or not history or history[-1] == "shipped" else models / history[-1]


def versions(
    models: Path | None, shipped: Path = SHIPPED, check: Callable[[Path], Versioned] | None = None
) -> list[Version]:
    """Return the shipped model and every added one, damaged ones included.

    Args:
        models: the versions of the installation.
        shipped: the version that came with Huiyin.
        check: reads a version and refuses a damaged one; :func:`read` when None.
    """
    serving = active_folder(models, shipped)
    folders = [shipped]
    if models is not None and models.is_dir():
        folders += sorted(
            path for path in models.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    if serving not in folders:
        folders.append(serving)
    return [_version(path, path == serving, check or read) for path in folders]


def _version(folder: Path, serves: bool, check: Callable[[Path], Versioned]) -> Version:
    try:
        return Version(check(folder).version, folder, serves)
    except ClassifierError as error:
        return Version(folder.name, folder, serves, str(error))


def add(models: Path, source: Path, check: Callable[[Path], Versioned] | None = None) -> str:
    """Copy a model version into the installation after checking it; return its version.

    Raises:
        ClassifierError: it is damaged, its version is no safe folder name, or the version is there already.
    """
    return add_made(models, (check or read)(source).version, lambda folder: _copy(source, folder))


def _copy(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder)


def add_made(models: Path, version: str, write: Callable[[Path], None]) -> str:
    """Let ``write`` put a model version into the installation: it is there whole or not at all.

    Raises:
        ClassifierError: the version is no safe folder name, or is there already.
    """
    if not _VERSION.fullmatch(version) or version == "shipped":
        raise ClassifierError(
            "the model's version is no safe name; use small letters, digits, dots and hyphens"
        )
    target = models / version
    if target.exists():
        raise ClassifierError(f"model {version} is here already; give the new one another version")
    models.mkdir(parents=True, exist_ok=True)
    partial = models / f".{version}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    partial.rename(target)
    return version


def use(models: Path, version: str, check: Callable[[Path], Versioned] | None = None) -> None:
    """Let ``version`` serve from the next start; ``shipped`` names the model that came with Huiyin.

    Raises:
        ClassifierError: no such version, or it is damaged.
    """
    if version != "shipped":
        if not _VERSION.fullmatch(version):
            raise ClassifierError("no such model; see 'huiyin models list'")
        (check or read)(models / version)
    history = _history(models)
    if not history or history[-1] != version:
        _write_history(models, [*history, version])


def rollback(models: Path) -> str:
    """Go back to the version that served before; return its name.

    Raises:
        ClassifierError: nothing to go back to.
    """
    history = _history(models)
    if not history:
        raise ClassifierError("there is no earlier model to go back to; the shipped one serves")
    _write_history(models, history[:-1])
    return history[-2] if len(history) > 1 else "shipped"


def _history(models: Path | None) -> list[str]:
    if models is None:
        return []
    try:
        found = json.loads((models / _ACTIVE).read_text(encoding="utf-8"))
        return [str(name) for name in found["history"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClassifierError(
            f"{_ACTIVE} in the models folder is damaged; choose again: 'huiyin models use'"
        ) from error


def _write_history(models: Path, history: Sequence[str]) -> None:
    models.mkdir(parents=True, exist_ok=True)
    partial = models / f".{_ACTIVE}.partial"
    write_json(partial, {"history": list(history)})
    partial.replace(models / _ACTIVE)
