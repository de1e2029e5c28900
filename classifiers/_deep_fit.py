"""Teach an encoder all questions at once, and fit how much its scores count beside those of the fast tier."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from classifiers._deep_net import Net, OwnHead, answers
from classifiers._deep_pretrain import halved, padded
from classifiers._deep_words import FIRST
from classifiers._question import Question
from classifiers._registry import QUESTIONS
from classifiers._train import Example

_SEED: Final = 20261126
_UNSAID: Final = -1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lesson:
    """How an encoder is taught.

    Attributes:
        rounds: how often every post is read.
        batch: pieces in a batch.
        rate: highest learning rate of the heads; the encoder's is a share ``slow`` of it.
        split: share of the pieces of several characters that are read character by character.
        hide: share of the pieces that are hidden.
        soft: weight of the fast tier's answers beside the labels, when these are given.
    """

    rounds: int = 6
    batch: int = 2048
    rate: float = 2e-3
    slow: float = 0.4
    warm: float = 0.1
    drop: float = 0.25
    split: float = 0.1
    hide: float = 0.08
    soft: float = 0.0


class Truths:
    """What is true of each post, as targets of the questions; ``_UNSAID`` where nothing is known."""

    def __init__(self, examples: Sequence[Example], questions: Sequence[Question] = QUESTIONS) -> None:
        self.questions = questions
        columns = [[_number(question, question.truth(e.row)) for e in examples] for question in questions]
        self.numbers = torch.tensor(columns).T.reshape(len(examples), len(questions))

    def loss(self, scores: Tensor, truth: Tensor, wished: Tensor | None, soft: float) -> Tensor:
        """Return the mean loss over what is known; ``wished`` are logits of a teacher."""
        total, at = scores.new_zeros(()), 0
        for number, question in enumerate(self.questions):
            size = len(question.values) or 1
            mine, known = scores[:, at : at + size], truth[:, number] != _UNSAID
            target = truth[:, number][known]
            if len(target):
                if question.values:
                    lost = fn.cross_entropy(mine[known], target, label_smoothing=0.05, reduction="sum") * 0.5
                else:
                    wanted = target.float()
                    if wished is not None:
                        wanted = (1 - soft) * wanted + soft * wished[:, at][known].sigmoid()
                    lost = fn.binary_cross_entropy_with_logits(mine[known, 0], wanted, reduction="sum")
                total = total + lost / len(scores)
            at += size
        return total


def _number(question: Question, truth: str | None) -> int:
    if truth is None:
        return _UNSAID
    return question.values.index(truth) if question.values else int(truth)


def pieces_apart(numbers: Mapping[str, int]) -> dict[int, list[int]]:
    """Return piece -> its characters, for pieces of several characters that are all pieces themselves."""
    return {
        number: [numbers[char] for char in piece]
        for piece, number in numbers.items()
        if len(piece) > 1 and piece[0] not in "[<#" and all(char in numbers for char in piece)
    }


def teach(
    encoder: Any,
    width: int,
    posts: Sequence[Sequence[int]],
    truths: Truths,
    lesson: Lesson,
    apart: Mapping[int, Sequence[int]],
    wished: Tensor | None = None,
    hidden: int = FIRST,
    say: Callable[[str], None] = lambda _words: None,
) -> Net:
    """Return a network that was taught ``posts``; ``encoder`` itself stays as it was."""
    torch.manual_seed(_SEED)
    rng = np.random.default_rng(_SEED)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = Net(copy.deepcopy(encoder), width, answers(truths.questions), lesson.drop).to(device).train()
    near = [p for name, p in net.named_parameters() if not name.startswith("encoder.")]
    solver = torch.optim.AdamW(
        [
            {"params": list(net.encoder.parameters()), "share": lesson.slow},
            {"params": near, "share": 1.0},
        ],
        lesson.rate,
        weight_decay=0.01,
        fused=True,
    )
    steps, begun = 0, time.monotonic()
    plans = [_plan(posts, lesson.batch, rng) for _ in range(lesson.rounds)]
    whole = sum(map(len, plans))
    for turn, plan in enumerate(plans):
        lost = 0.0
        for rows in plan:
            done = steps / whole
            for group in solver.param_groups:
                group["lr"] = (
                    lesson.rate
                    * group["share"]
                    * min((steps + 1) / (lesson.warm * whole), (1 - done) / (1 - lesson.warm))
                )
            ids, mask = padded([_changed(posts[row], lesson, apart, hidden, rng) for row in rows])
            with torch.autocast(device, dtype=torch.bfloat16, enabled=halved()):
                scores = net(ids.to(device), mask.to(device)).float()
            at = torch.from_numpy(rows)
            loss = truths.loss(
                scores,
                truths.numbers[at].to(device),
                None if wished is None else wished[at].to(device),
                lesson.soft,
            )
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            solver.step()
            solver.zero_grad()
            steps += 1
            lost += float(loss.detach()) * len(rows)
        say(f"round {turn + 1}: loss {lost / len(posts):.4f}, {time.monotonic() - begun:.0f} s")
    return net.eval().to("cpu")


def _plan(posts: Sequence[Sequence[int]], size: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Return the batches of one round: posts of like length together."""
    lengths = np.array([len(post) for post in posts])
    order = np.argsort(lengths * (1 + 0.2 * rng.random(len(posts))), kind="stable")
    found, first = [], 0
    while first < len(order):
        last = first + 1
        while last < len(order) and lengths[order[first : last + 1]].max() * (last + 1 - first) <= size:
            last += 1
        found.append(order[first:last])
        first = last
    return [found[at] for at in rng.permutation(len(found)).tolist()]


def _changed(
    post: Sequence[int],
    lesson: Lesson,
    apart: Mapping[int, Sequence[int]],
    hidden: int,
    rng: np.random.Generator,
) -> list[int]:
    """Return a post as disguise and chance might spell it: some words in characters, some hidden."""
    dice = rng.random(len(post))
    out: list[int] = [post[0]]
    for piece, die in zip(post[1:], dice[1:].tolist(), strict=True):
        if die < lesson.hide:
            out.append(hidden)
        elif die < lesson.hide + lesson.split and piece in apart:
            out.extend(apart[piece])
        else:
            out.append(piece)
    return out


@torch.no_grad()
def scores_of(net: Net | OwnHead, posts: Sequence[Sequence[int]], batch: int = 64) -> Floats:
    """Return posts x answers."""
    order = np.argsort([len(post) for post in posts], kind="stable")
    found: Floats = np.zeros((len(posts), net(*padded([posts[0]])).shape[1]))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        ids, mask = padded([posts[row] for row in rows.tolist()])
        found[rows] = net(ids, mask).numpy()
    return found
