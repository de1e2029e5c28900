"""Encoders to start from: our own small one, or any checkpoint in the format of Hugging Face, from a folder or its hub.

The same code loads both (AutoTokenizer, AutoModel). Weights are safetensors or tensors-only files; code that comes
with a checkpoint is never run.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from classifiers._deep_words import SPECIALS
from classifiers._question import Question
from monitor.core.errors import ClassifierError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_FILES: Final = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
_LONGEST: Final = 192


@dataclass(frozen=True, slots=True)
class Base:
    """An encoder with its vocabulary.

    Attributes:
        name: for the model card.
        pieces: the vocabulary.
        encoder: a module whose output has ``last_hidden_state``; or, with ``head``, ``logits``.
        width: size of a hidden state.
        longest: pieces of a post that are read.
        hidden: the piece that stands for a hidden one.
        head: question -> columns of the checkpoint's own classification head; empty for an encoder alone.
    """

    name: str
    pieces: Tokenizer
    encoder: Any
    width: int
    longest: int
    hidden: int
    head: Mapping[str, Sequence[int]]


def bases(models: Path) -> Path:
    """Return where an installation keeps encoders to start from: beside its models folder."""
    return models.with_name(models.name + "-bases")


def add(models: Path, source: str) -> str:
    """Put a checkpoint into the installation; return the name to train from.

    Args:
        models: the models folder of the installation.
        source: a folder, or a name on the hub such as ``hfl/chinese-macbert-base``.

    Raises:
        ClassifierError: no such folder, the hub cannot be reached, or it is no checkpoint.
    """
    folder = Path(source)
    name = folder.resolve().name if folder.is_dir() else source
    if not _NAME.fullmatch(name):
        raise ClassifierError("a checkpoint is named like 'owner/name', or by a folder that is there")
    target = bases(models) / name.replace("/", "--")
    if target.exists():
        raise ClassifierError(
            f"{name} is here already; train from it with 'huiyin train all --deep --base {name}'"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        if folder.is_dir():
            shutil.copytree(folder, partial)
        else:
            _fetch(source, partial)
        _check(partial, name)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return name


def _fetch(name: str, target: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(name, local_dir=target, allow_patterns=list(_FILES))
    except (OSError, ValueError, RuntimeError) as error:  # every error of the hub's client is one of these
        raise ClassifierError(
            f"{name} cannot be fetched from the hub (no network, or no such checkpoint); "
            "fetch it elsewhere and name the folder instead"
        ) from error


def _check(folder: Path, name: str) -> None:
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(folder, local_files_only=True)
        _pieces(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClassifierError(f"{name} is no checkpoint with a config.json and a tokenizer") from error


def _pieces(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    pieces = getattr(found, "backend_tokenizer", None)
    if not isinstance(pieces, Tokenizer):
        raise ValueError("no fast tokenizer")
    pieces.no_padding()
    pieces.no_truncation()
    return pieces


def read(models: Path, name: str, questions: Sequence[Question], own_head: bool = False) -> Base:
    """Load an encoder from a folder, or one that was added by name.

    Args:
        models: the models folder of the installation.
        name: a folder or a name.
        questions: what the labels of a checkpoint's own head may be about.
        own_head: keep the checkpoint's classification head instead of teaching new ones.

    Raises:
        ClassifierError: it is not there, is damaged, or has no head that answers one of the questions.
    """
    folder = Path(name) if Path(name).is_dir() else bases(models) / name.replace("/", "--")
    if not folder.is_dir():
        raise ClassifierError(f"there is no encoder {name}; add it first with 'huiyin models add {name}'")
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if own_head else AutoModel
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        pieces = _pieces(folder)
        encoder = kind.from_pretrained(
            folder,
            local_files_only=True,
            dtype="float32",
            attn_implementation=attention(),
        ).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ClassifierError(f"the encoder {name} cannot be loaded; add it again") from error
    head = _head(config, questions, name) if own_head else {}
    room = int(getattr(config, "max_position_embeddings", _LONGEST)) - 2
    vocabulary = pieces.get_vocab(with_added_tokens=True)
    hidden = next(
        (vocabulary[word] for word in ("[MASK]", "<mask>", "[UNK]", "<unk>") if word in vocabulary), 0
    )
    longest = min(_LONGEST, room, int(getattr(config, "huiyin_longest", _LONGEST)))
    return Base(name, pieces, encoder, int(config.hidden_size), longest, hidden, head)


def _head(config: Any, questions: Sequence[Question], name: str) -> dict[str, list[int]]:
    """Return for the question that the labels are about which column stands for which answer."""
    told = {str(word).lower(): int(at) for at, word in config.id2label.items()}
    for question in questions:
        answers = question.values or ("0", "1")
        meant = {_meant(question, word): at for word, at in told.items()}
        if set(answers) <= set(meant):
            return {str(question.label): [meant[answer] for answer in answers]}
    raise ClassifierError(
        f"the labels of {name} answer none of our questions; teach it with 'huiyin train all --deep --base {name}'"
    )


def _meant(question: Question, word: str) -> str | None:
    """Return the answer that a label of a foreign head stands for."""
    if question.values:
        return word if word in question.values else question.names.get(word)
    if word == str(question.label):
        return "1"
    return "0" if word in ("none", "normal", "ham", f"not_{question.label}") else question.names.get(word)


def attention() -> str:
    """Return which attention to learn with: on a CPU the plain one, as posts are short (a quarter faster there)."""
    import torch

    return "sdpa" if torch.cuda.is_available() else "eager"


def save(folder: Path, pieces: Tokenizer, encoder: Any, longest: int) -> None:
    """Write an encoder as a checkpoint that :func:`read` and other programs can load."""
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.huiyin_longest = longest
    copy.deepcopy(encoder).half().save_pretrained(folder)  # half as large; read again as single precision
    vocabulary = pieces.get_vocab(with_added_tokens=True)
    marks = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIALS, strict=True))
    named = {f"{name}_token": mark for name, mark in marks.items() if mark in vocabulary}
    PreTrainedTokenizerFast(tokenizer_object=pieces, **named).save_pretrained(folder)
