"""Intervals of every unit of a network over a box of images, and what rounding adds to them.

The proof is about the network in exact arithmetic on its own weights. `error` bounds by how much
the network as it runs, at its own precision, differs from that on any image of the box: the usual
running error analysis (Higham 2002, 3.1), for sums in any order, without TF32 and without the
transforms of fast convolutions. It ignores underflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.certificates.bounds.network_graph import (
    Affine,
    Maximum,
    NetworkGraph,
    Node,
    Pixels,
    ReLU,
)

DOUBLE = 2.0**-53
"""Unit roundoff of float64, in which bounds are computed."""


@dataclass(frozen=True)
class Box:
    """Between what a node lies on every image of a batch of boxes; each is `(n, *shape)`."""

    low: Tensor
    high: Tensor
    error: Tensor
    """By how much the network's own rounding moves it, at most."""

    @property
    def size(self) -> Tensor:
        """The largest absolute value."""
        return torch.maximum(self.low.abs(), self.high.abs())


def image_box(x: Tensor, eps: Tensor) -> Box:
    """Images within `eps (n,)` of `x (n, c, h, w)` in L-inf, and in [0, 1]."""
    x = x.double()
    reach = eps.view(-1, *[1] * (x.ndim - 1)) + 4 * DOUBLE
    return Box((x - reach).clamp_min(0), (x + reach).clamp_max(1), torch.zeros_like(x))


def rounding_slack(graph: NetworkGraph, error: Tensor) -> Tensor:
    """What float64 adds to a bound, from the error of the network's own precision.

    No sum in a bound is longer than the largest layer, and it is made of the same products.
    """
    return error * (4 * (graph.largest + 4) * DOUBLE / graph.unit)


def next_box(graph: NetworkGraph, node: Node, boxes: Sequence[Box]) -> Box:
    """The interval of a node from those of its parents."""
    inputs = [boxes[parent] for parent in node.parents]
    if isinstance(node, Affine):
        return _affine(graph, node, inputs)
    assert isinstance(node, ReLU | Maximum)
    low, high, error = (node.forward(t) for t in (inputs[0].low, inputs[0].high, inputs[0].error))
    return Box(low, high, error)


def _affine(graph: NetworkGraph, node: Affine, inputs: list[Box]) -> Box:
    growth = _growth(node.terms, graph.unit)
    errors = [box.error * (1 + growth) + growth * box.size for box in inputs]
    error = node.absolute(*errors) + growth * node.shift_size
    centre = node.forward(*((box.low + box.high) / 2 for box in inputs))
    reach = node.absolute(*((box.high - box.low) / 2 for box in inputs)) + rounding_slack(
        graph, error
    )
    return Box(centre - reach, centre + reach, error)


def _growth(terms: int, unit: float) -> float:
    """Relative error of that many roundings in a row; `graph.unit` is below 1e-2 per rounding."""
    return terms * unit / max(1 - terms * unit, 0.5)


def interval_boxes(graph: NetworkGraph, image: Box) -> list[Box]:
    """Intervals of all nodes, each from those of its parents."""
    boxes: list[Box] = []
    for node in graph.nodes:
        boxes.append(image if isinstance(node, Pixels) else next_box(graph, node, boxes))
    return boxes
