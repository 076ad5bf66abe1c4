"""Bounds of linear functions of a network's units, carried back through it layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.certificates.boxes import Box
from robust.certificates.network_graph import Affine, Maximum, NetworkGraph, Pixels, ReLU

MOST_BYTES = 1 << 25
"""Of the coefficients of the largest layer that are at work at a time: more is slower, as it leaves
the processor's cache."""
COPIES = 6
"""Tensors of that size that one step needs."""


@dataclass(frozen=True)
class Rows:
    """Linear functions to bound from below, each of the units of one case."""

    coefficients: Tensor
    """`(rows, *shape)` of the node that they are functions of."""
    case: Tensor
    """`(rows,)` int64: the case of each."""


@dataclass(frozen=True)
class LinearLower:
    """Functions of the image, `coefficients . x + constant`, below others on its whole box."""

    coefficients: Tensor
    """`(rows, c, h, w)`."""
    constant: Tensor
    """`(rows,)`."""

    def least(self, low: Tensor, high: Tensor) -> Tensor:
        """The least value on boxes of images, one for each row: `(rows,)`."""
        return self.constant + least(self.coefficients, low, high)


def rows_at_once(graph: NetworkGraph) -> int:
    """How many functions are carried back at a time."""
    return max(1, MOST_BYTES // (8 * COPIES * graph.largest))


def least(coefficients: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The least of `coefficients . z` for low <= z <= high: `(rows,)`."""
    positive = coefficients.clamp_min(0)
    return (positive * low).addcmul_(coefficients - positive, high).flatten(1).sum(1)


def carry_back(
    graph: NetworkGraph, boxes: Sequence[Box], start: int, rows: Rows, *, relax: bool = True
) -> LinearLower:
    """Lower bounds of functions of node `start`, as linear functions of the image.

    With `relax` the units of ReLU and maxima are replaced by linear functions of what they are made
    of (Zhang et al. 2018); without it they take the worst end of their interval each.
    """
    pending: dict[int, Tensor] = {start: rows.coefficients}
    constant = rows.coefficients.new_zeros(len(rows.coefficients))
    for place in range(start, -1, -1):
        if place not in pending:
            continue
        node, coefficients = graph.nodes[place], pending.pop(place)
        if isinstance(node, Pixels):
            return LinearLower(coefficients, constant)
        if isinstance(node, Affine):
            constant = constant + (coefficients * node.shift).flatten(1).sum(1)
            for parent, one in zip(node.parents, node.maps, strict=True):
                _add(pending, parent, one.transposed(coefficients))
        elif not relax:
            box = boxes[place]
            low, high = _rows(box.low, rows.case), _rows(box.high, rows.case)
            constant = constant + least(coefficients, low, high)
        else:
            parent = node.parents[0]
            if isinstance(node, ReLU):
                part, added = _relu(boxes[parent], coefficients, rows.case)
            else:
                part, added = _maximum(node, boxes[parent], coefficients, rows.case)
            constant = constant + added
            _add(pending, parent, part)
    shape = graph.nodes[0].shape
    return LinearLower(constant.new_zeros(len(constant), *shape), constant)


def _add(pending: dict[int, Tensor], place: int, coefficients: Tensor) -> None:
    pending[place] = pending[place] + coefficients if place in pending else coefficients


def _relu(box: Box, coefficients: Tensor, case: Tensor) -> tuple[Tensor, Tensor]:
    """The chord above; below, x or 0, whichever leaves the smaller triangle."""
    low, high = box.low, box.high
    crosses = (low < 0) & (high > 0)
    chord = torch.where(crosses, high / (high - low), (low >= 0).double())
    lift = torch.where(crosses, -low * chord, 0.0)
    below = torch.where(crosses, (high >= -low).double(), chord)
    positive = coefficients.clamp_min(0)
    negative = coefficients - positive
    part = (positive * _rows(below, case)).addcmul_(negative, _rows(chord, case))
    return part, _dot(negative, lift, case)


def _maximum(node: Maximum, box: Box, coefficients: Tensor, case: Tensor) -> tuple[Tensor, Tensor]:
    """Below, the entry with the largest centre; above, the chord over the one with the largest end.

    With x that entry, and c the largest end of the others, max(x, c) is a ReLU of x - c: its chord
    is above the maximum, and where c is at most the lower end of x the maximum is x itself.
    """
    low, high = node.entries(box.low), node.entries(box.high)
    centres = torch.where(low.isfinite(), low + high, -torch.inf)
    beneath = node.windows.expand(len(low), -1, -1).gather(2, centres.argmax(2)[..., None])[..., 0]
    top = high.argmax(2)[..., None]
    above = node.windows.expand(len(low), -1, -1).gather(2, top)[..., 0]
    end, start = high.gather(2, top)[..., 0], low.gather(2, top)[..., 0]
    others = high.scatter(2, top, -torch.inf).amax(2)
    crosses = others > start
    slope = torch.where(crosses, (end - others) / (end - start).clamp_min(1e-300), 1.0)
    # The chord goes through (start, others) and (end, end).
    lift = torch.where(crosses, others - slope * start, 0.0)
    flat = coefficients.flatten(1)
    positive = flat.clamp_min(0)
    negative = flat - positive
    part = flat.new_zeros(len(flat), torch.Size(box.low.shape[1:]).numel())
    part.scatter_add_(1, _rows(above, case).expand_as(flat), negative * _rows(slope, case))
    part.scatter_add_(1, _rows(beneath, case).expand_as(flat), positive)
    return part.view(len(flat), *box.low.shape[1:]), _dot(negative, lift, case)


def _rows(of_cases: Tensor, case: Tensor) -> Tensor:
    """Values of cases for rows; one row where all are of one case."""
    return of_cases[case[:1]] if bool((case == case[0]).all()) else of_cases[case]


def _dot(coefficients: Tensor, of_cases: Tensor, case: Tensor) -> Tensor:
    """Each row times the values of its case, summed up: `(rows,)`."""
    values, flat = _rows(of_cases, case).flatten(1), coefficients.flatten(1)
    return flat @ values[0] if len(values) == 1 else (flat * values).sum(1)
