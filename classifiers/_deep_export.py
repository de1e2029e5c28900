"""Write a taught network as ONNX, its weights in whole steps; what serves needs no torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from torch import Tensor, nn

from classifiers._deep_net import Net, OwnHead

IDS: Final = "ids"
VOTES: Final = "votes"
_MOST: Final = 512
_OPSET: Final = 23  # the first in which attention and turned positions are one step each


class _One(nn.Module):
    """The network for one post at a time: no padding, so no answer depends on a neighbour."""

    def __init__(self, net: Net | OwnHead) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor) -> Tensor:
        votes: Tensor = self.net.votes(ids)[0]
        return votes


def export(net: Net | OwnHead, whole: bool = True) -> bytes:
    """Return the network as ONNX: ``ids`` (1 x pieces) to ``votes`` (pieces x answers).

    Args:
        net: the network.
        whole: keep weights as 8-bit steps (a quarter of the size).
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _whole_attention(net)
    with TemporaryDirectory() as place, _quiet():
        plain, small = Path(place) / "plain.onnx", Path(place) / "small.onnx"
        torch.onnx.export(
            _One(net).eval(),
            (torch.arange(4, 21).reshape(1, -1),),
            str(plain),
            input_names=[IDS],
            output_names=[VOTES],
            dynamic_shapes=({1: torch.export.Dim("pieces", min=2, max=_MOST)},),
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        if not whole:
            return plain.read_bytes()
        graph = onnx.load(plain)
        del graph.graph.value_info[:]  # the exporter's shapes do not fit after quantisation
        # named, as it takes the standard's attention for another step of that name
        kinds = ["MatMul", "Gather"]
        quantize_dynamic(
            graph, small, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=kinds
        )
        return small.read_bytes()


def _whole_attention(net: Net | OwnHead) -> None:
    """Let attention be one step of the graph, where the encoder can (a tenth to a third faster than its parts)."""
    encoder = net.encoder if isinstance(net, Net) else net.model
    with suppress(ValueError):
        encoder.set_attn_implementation("sdpa")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings about itself to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
