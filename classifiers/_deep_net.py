"""The network of the deep tier: an encoder whose words each cast a vote on every answer.

A score is the mean of the votes of the post's pieces, so a score tells which pieces carried it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as fn

from classifiers._question import Question

Answer = tuple[str, str]
"""A question and one of its answers ("1" for yes/no)."""


def answers(questions: Sequence[Question]) -> list[Answer]:
    """Return what the votes are about, in order."""
    return [(str(question.label), value) for question in questions for value in question.values or ("1",)]


class Net(nn.Module):
    """An encoder with a vote of every piece on every answer."""

    def __init__(self, encoder: Any, width: int, about: Sequence[Answer], drop: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.inner = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)
        self.vote = nn.Linear(width, len(about))

    def votes(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return posts x pieces x answers."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        cast: Tensor = self.vote(self.drop(fn.gelu(self.inner(self.drop(hidden)))))
        return cast

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return posts x answers: the mean of the votes."""
        votes = self.votes(ids, mask)
        if mask is None:
            return votes.mean(dim=1)
        there = mask.to(votes.dtype)[..., None]
        return (votes * there).sum(dim=1) / there.sum(dim=1)


class OwnHead(nn.Module):
    """A checkpoint that answers one question already: one vote for the whole post."""

    def __init__(self, model: Any, columns: Sequence[int], yes_no: bool) -> None:
        super().__init__()
        self.model = model
        self.columns = list(columns)
        self.yes_no = yes_no

    def votes(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return posts x 1 x answers."""
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask).logits[:, None, self.columns]
        return logits[..., 1:] - logits[..., :1] if self.yes_no else logits

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return posts x answers."""
        return self.votes(ids, mask)[:, 0]
