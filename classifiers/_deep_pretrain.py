"""Teach an encoder Chinese from posts without labels, before it learns any question.

A small generator that sees a few words either side fills gaps with words that could stand there; the encoder tells
which words were put in (replaced-token detection, after ELECTRA) and which word stood there before. Both learn from
every post in one pass, which is what a small budget needs. Word vectors start from a factorised table of which words
stand near each other. Sizes and time are one configuration: the same code makes the shipped encoder on a CPU and a
full-sized one on a GPU.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as fn

from classifiers._deep_base import Base, attention
from classifiers._deep_words import FIRST, MASK, PAD, SPECIALS, learn, numbered
from classifiers._text import normalise_all
from classifiers._train import read_rows
from classifiers._version import Corpus
from monitor.core.errors import ClassifierError

_SEED: Final = 20261125
_NEAR: Final = 4  # words either side that the generator sees
_GAPS: Final = 0.18
_DETECTION: Final = 20.0  # weight of telling which words were put in
_WINDOW: Final = 5
_OWN: Final = 4  # our own posts are read that often for one time the others are
_PASSES: Final = 10
_FEWEST: Final = 4  # pieces of a post that is worth reading
_READING_ON: Final = 0.6  # share of a new encoder's rate at which one that has read already reads on
_EVERY: Final = 200  # batches between two progress lines
_OTHERS: Final = 2000  # words that compete in a gap, as often as they stand in posts


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes of an encoder and of its training.

    Attributes:
        pieces: size of the vocabulary.
        width, layers, heads, inner: sizes of the encoder.
        longest: pieces of a post that are read.
        batch: pieces in a batch.
        rate: highest learning rate.
        warm: share of the training in which the rate rises.
    """

    pieces: int
    width: int
    layers: int
    heads: int
    inner: int
    longest: int = 96
    batch: int = 1024
    rate: float = 2e-3
    warm: float = 0.04


PRESETS: Final = {
    "tiny": Preset(pieces=500, width=16, layers=1, heads=2, inner=16, longest=32, batch=256),
    "small": Preset(pieces=8192, width=256, layers=4, heads=4, inner=384, batch=2048),
    "full": Preset(
        pieces=16384, width=768, layers=12, heads=12, inner=1152, longest=192, batch=65536, rate=5e-4
    ),
}
"""``small`` is what ships (an hour on two CPU cores); ``full`` needs a GPU; ``tiny`` is for tests."""


def new_encoder(preset: Preset, pieces: int) -> Any:
    """Return an encoder with random weights."""
    from transformers import AutoModel, ModernBertConfig

    config = ModernBertConfig(
        vocab_size=pieces,
        hidden_size=preset.width,
        intermediate_size=preset.inner,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        max_position_embeddings=512,
        local_attention=16,
        global_attn_every_n_layers=2,
        pad_token_id=PAD,
        bos_token_id=FIRST,
        cls_token_id=FIRST,
        eos_token_id=FIRST + 1,
        sep_token_id=FIRST + 1,
        attn_implementation=attention(),
    )
    return AutoModel.from_config(config)


def halved() -> bool:
    """Tell whether this machine multiplies 16-bit numbers so fast that learning in them pays (AMX, or a GPU)."""
    return torch.cuda.is_available() or torch.cpu._is_amx_tile_supported()


class Pretrainer(nn.Module):
    """The encoder with its generator and the two heads that only pre-training uses."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.encoder = base.encoder
        self.hidden = base.hidden
        width = base.width
        pieces = len(self.encoder.get_input_embeddings().weight)
        self.near = nn.Parameter(torch.ones(2 * _NEAR, width) / (2 * _NEAR))
        self.guess = _head(width)
        self.guess_bias = nn.Parameter(torch.zeros(pieces))
        self.mend = _head(width)
        self.mend_bias = nn.Parameter(torch.zeros(pieces))
        self.detect = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(
        self, ids: Tensor, mask: Tensor, gaps: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three losses: generator, detection, mending; only the words of ``others`` compete in a gap."""
        rows, places = gaps.nonzero(as_tuple=True)
        told, truth = torch.unique(torch.cat((ids[rows, places], others)), return_inverse=True)
        truth = truth[: len(rows)]
        words = self.encoder.get_input_embeddings().weight
        among = words[told]
        guessed = self._guess(ids.masked_fill(gaps, self.hidden), rows, places, words) @ among.T
        guessed = guessed.float() + self.guess_bias[told]
        guess_loss = fn.cross_entropy(guessed, truth)
        with torch.no_grad():
            drawn = told[torch.multinomial(guessed.softmax(dim=1), 1)[:, 0]]
        read = ids.clone()
        read[rows, places] = drawn
        hidden = self.encoder(input_ids=read, attention_mask=mask).last_hidden_state
        odd = self.detect(hidden)[..., 0].float()
        there = mask.bool()
        detect_loss = fn.binary_cross_entropy_with_logits(odd[there], (read != ids).float()[there])
        mended = (self.mend(hidden[rows, places]) @ among.T).float() + self.mend_bias[told]
        return guess_loss, detect_loss, fn.cross_entropy(mended, truth)

    def _guess(self, ids: Tensor, rows: Tensor, places: Tensor, words: Tensor) -> Tensor:
        padded = fn.pad(ids, (_NEAR, _NEAR), value=PAD)
        steps = [step for step in range(2 * _NEAR + 1) if step != _NEAR]
        around = torch.stack([padded[rows, places + step] for step in steps], dim=1)
        seen = (words[around] * self.near).sum(dim=1)
        found: Tensor = self.guess(seen)
        return found


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))


def near_vectors(posts: Sequence[Sequence[int]], pieces: int, width: int) -> Tensor:
    """Return a vector for each piece, from which pieces stand near which (shifted PPMI, factorised)."""
    counts = torch.zeros(pieces * pieces)
    line = torch.tensor([number for post in posts for number in (*post, PAD)])
    for step in range(1, _WINDOW + 1):
        left, right = line[:-step], line[step:]
        kept = (left >= len(SPECIALS)) & (right >= len(SPECIALS))
        counts += torch.bincount(left[kept] * pieces + right[kept], minlength=pieces * pieces).float() / step
    table = counts.view(pieces, pieces)
    table = table + table.T
    total = table.sum()
    often = table.sum(dim=1)
    smooth = often**0.75
    expected = often[:, None] * (smooth / smooth.sum().clamp(min=1e-9))[None, :]
    known = torch.log((table / expected.clamp(min=1e-9)).clamp(min=1.0))
    known = torch.where(total > 0, known, torch.zeros(()))
    left, size, _ = torch.svd_lowrank(known, q=min(width, pieces), niter=3)
    vectors = left * size.sqrt()
    return vectors * (0.05 / vectors.std().clamp(min=1e-9))


def batches(
    posts: Sequence[Sequence[int]], size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (pieces, mask) forever: posts of like length together, ``size`` pieces a batch, in changing order."""
    lengths = np.array([len(post) for post in posts])
    while True:
        order = np.argsort(lengths + rng.random(len(posts)) * 2, kind="stable")
        cuts, first = [], 0
        while first < len(order):
            last = first + 1
            while last < len(order) and lengths[order[last]] * (last + 1 - first) <= size:
                last += 1
            cuts.append(order[first:last])
            first = last
        for at in rng.permutation(len(cuts)).tolist():
            yield padded([posts[row] for row in cuts[at].tolist()])


def padded(posts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return posts x pieces and the mask of what is there."""
    width = max(map(len, posts))
    ids = torch.full((len(posts), width), PAD)
    for row, post in enumerate(posts):
        ids[row, : len(post)] = torch.tensor(post)
    return ids, (ids != PAD).long()


@dataclass(frozen=True, slots=True)
class Limit:
    """When the training ends: after so many batches, or after so many minutes if these are over first."""

    batches: int
    minutes: float = float("inf")

    def done(self, batch: int, begun: float) -> float:
        """Return the share that is done."""
        return max(batch / self.batches, (time.monotonic() - begun) / 60 / self.minutes)


def _marks(pieces: Tokenizer) -> Tensor:
    """Return the pieces that are no words, such as the one that stands for a hidden word."""
    added = pieces.get_added_tokens_decoder().items()
    return torch.tensor([number for number, token in added if token.special])


def pretrain(
    base: Base,
    posts: Sequence[Sequence[int]],
    sizes: Preset,
    limit: Limit,
    say: Callable[[str], None] = lambda _told: None,
    share: float = 1.0,
) -> None:
    """Let the encoder of ``base`` read posts; it changes in place.

    Args:
        base: an encoder without a head of its own, with its vocabulary.
        posts: numbered pieces of each post (:func:`classifiers._deep_words.numbered`).
        sizes: batch and learning rate; what else it says does not count here.
        limit: when to stop; the learning rate falls toward that end.
        say: given a progress line now and then.
        share: of the learning rate.
    """
    torch.manual_seed(_SEED)
    rng = np.random.default_rng(_SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    marks = _marks(base.pieces)
    highest = share * sizes.rate
    model = Pretrainer(base).to(device).train()
    solver = torch.optim.AdamW(model.parameters(), highest, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    line = torch.tensor([number for post in posts for number in post])
    line = line[~torch.isin(line, marks)]
    begun, sums, read = time.monotonic(), np.zeros(3), 0
    for number, (ids, mask) in enumerate(batches(posts, sizes.batch, rng), 1):
        done = limit.done(number, begun)
        for group in solver.param_groups:
            group["lr"] = highest * max(0.02, min(done / sizes.warm, (1 - done) / (1 - sizes.warm)))
        gaps = (torch.rand(ids.shape) < _GAPS) & mask.bool() & ~torch.isin(ids, marks)
        if gaps.any():
            others = line[torch.randint(len(line), (_OTHERS,))]
            with torch.autocast(device, dtype=torch.bfloat16, enabled=halved()):
                losses = model(ids.to(device), mask.to(device), gaps.to(device), others.to(device))
            (losses[0] + _DETECTION * losses[1] + losses[2]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            solver.step()
            solver.zero_grad()
            sums += [float(loss.detach()) for loss in losses]
        read += int(mask.sum())
        if number % _EVERY == 0:
            guess, detect, mend = sums / _EVERY
            say(
                f"{done:.3f} batches {number} pieces {read} guess {guess:.3f} detect {detect:.4f} mend {mend:.3f}"
            )
            sums[:] = 0
        if done >= 1:
            break
    base.encoder.eval()


def new_base(
    corpus: Corpus, pool: Sequence[Path], preset: str, minutes: float, say: Callable[[str], None]
) -> Base:
    """Return an encoder of our own: vocabulary and pre-training from posts without their labels.

    The test parts are not read, so that what is measured on them has not seen them even without labels.

    Args:
        corpus: our own parts.
        pool: JSONL files with more posts.
        preset: name of the sizes.
        minutes: limit of the pre-training.
        say: told what is being done.
    """
    sizes = PRESETS[preset]
    own, other = _texts(corpus, pool, say)
    say("vocabulary")
    pieces = learn([*own, *other], sizes.pieces)
    posts = _posts(pieces, own, other, sizes.longest)
    torch.manual_seed(_SEED)
    encoder = new_encoder(sizes, pieces.get_vocab_size())
    with torch.no_grad():
        words = encoder.get_input_embeddings().weight
        vectors = near_vectors(posts, len(words), sizes.width)
        words[:, : vectors.shape[1]] = vectors
        words[: len(SPECIALS)].normal_(0.0, 0.05)
    base = Base(f"own, {preset}", pieces, encoder, sizes.width, sizes.longest, MASK, {})
    pretrain(base, posts, sizes, _limit(posts, sizes, minutes), say)
    return base


def read_on(
    base: Base, corpus: Corpus, pool: Sequence[Path], preset: str, minutes: float, say: Callable[[str], None]
) -> Base:
    """Return ``base`` after it has read more posts without labels: the corpus (without the test parts) and ``pool``.

    The vocabulary stays. Of the preset only the batch and the rate count.

    Args:
        base: an encoder without a head of its own.
        corpus, pool, preset, minutes, say: see :func:`new_base`.
    """
    sizes = PRESETS[preset]
    own, other = _texts(corpus, pool, say)
    posts = _posts(base.pieces, own, other, base.longest)
    found = replace(base, encoder=copy.deepcopy(base.encoder))
    pretrain(found, posts, sizes, _limit(posts, sizes, minutes), say, _READING_ON)
    return found


def _texts(corpus: Corpus, pool: Sequence[Path], say: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Return the normalised posts that are our own, without the test parts, and those of the pool.

    Raises: ClassifierError when there is a pool and no line of it is a post.
    """
    lines = [row for path in pool for _, row in read_rows(path)]
    more = [str(row["text"]) for row in lines if row is not None]
    if pool:
        say(f"pool: {len(more)} posts, {len(lines) - len(more)} lines that are none")
        if not more:
            raise ClassifierError('no line of the pool is a post; each is an object with "text"')
    return normalise_all([example.text for example in corpus.learn()]), normalise_all(more)


def _posts(pieces: Tokenizer, own: list[str], other: list[str], longest: int) -> list[list[int]]:
    return [post for post in numbered(pieces, own * _OWN + other, longest) if len(post) > _FEWEST]


def _limit(posts: Sequence[Sequence[int]], sizes: Preset, minutes: float) -> Limit:
    return Limit(max(1, _PASSES * sum(map(len, posts)) // sizes.batch), minutes)
