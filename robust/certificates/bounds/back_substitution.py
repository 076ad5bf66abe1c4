"""Bounds of linear functions of a network's units, carried back through it layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.certificates.bounds.boxes import Box
from robust.certificates.bounds.linear_maps import in_rows
from robust.certificates.bounds.network_graph import Affine, Maximum, NetworkGraph, Pixels, ReLU

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
    return in_rows((positive * low).addcmul_(coefficients - positive, high)).sum(1)


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
            constant = constant + in_rows(coefficients * node.shift).sum(1)
            for parent, one in zip(node.parents, node.maps, strict=True):
                _add(pending, parent, one.transposed(coefficients))
        elif not relax:
            box = boxes[place]
            low, high = _rows(box.low, rows.case), _rows(box.high, rows.case)
            constant = constant + least(coefficients, low, high)
        else:
            parent = node.parents[0]
            part, added = _through(node, boxes[parent], Rows(coefficients, rows.case))
            constant = constant + added
            _add(pending, parent, part)
    shape = graph.nodes[0].shape
    return LinearLower(constant.new_zeros(len(constant), *shape), constant)


def _add(pending: dict[int, Tensor], place: int, coefficients: Tensor) -> None:
    pending[place] = pending[place] + coefficients if place in pending else coefficients


@dataclass(frozen=True)
class Relaxation:
    """Two lines about each unit: it is above `below * x` and below `chord * y + lift`.

    x and y are entries of its parent, whose places `beneath` and `above` name; tensors of a unit
    each, `(n, units)`.
    """

    below: Tensor
    chord: Tensor
    lift: Tensor
    beneath: Tensor
    above: Tensor


def relaxed(node: ReLU | Maximum, box: Box) -> Relaxation:
    """The lines of all units of a node, from the box of its parent."""
    return _relu(box) if isinstance(node, ReLU) else _maximum(node, box)


def _relu(box: Box) -> Relaxation:
    """The chord above; below, x or 0, whichever leaves the smaller triangle."""
    low, high = in_rows(box.low), in_rows(box.high)
    crosses = (low < 0) & (high > 0)
    chord = torch.where(crosses, high / (high - low), (low >= 0).double())
    lift = torch.where(crosses, -low * chord, 0.0)
    below = torch.where(crosses, (high >= -low).double(), chord)
    same = torch.arange(low.shape[1]).expand_as(low)
    return Relaxation(below, chord, lift, same, same)


def _maximum(node: Maximum, box: Box) -> Relaxation:
    """Below, the entry with the largest centre; above, the chord over the one with the largest end.

    With y that entry, and c the largest end of the others, max(y, c) is a ReLU of y - c: its chord
    is above the maximum, and where c is at most the lower end of y the maximum is y itself.
    """
    low, high = node.entries(box.low), node.entries(box.high)
    centres = torch.where(low.isfinite(), low + high, -torch.inf)
    windows = node.windows.expand(len(low), -1, -1)
    beneath = windows.gather(2, centres.argmax(2)[..., None])[..., 0]
    top = high.argmax(2)[..., None]
    end, start = high.gather(2, top)[..., 0], low.gather(2, top)[..., 0]
    others = high.scatter(2, top, -torch.inf).amax(2)
    crosses = others > start
    chord = torch.where(crosses, (end - others) / (end - start).clamp_min(1e-300), 1.0)
    # It goes through (start, others) and (end, end).
    lift = torch.where(crosses, others - chord * start, 0.0)
    return Relaxation(torch.ones_like(lift), chord, lift, beneath, windows.gather(2, top)[..., 0])


def _through(node: ReLU | Maximum, box: Box, rows: Rows) -> tuple[Tensor, Tensor]:
    """Functions of a node as functions of its parent, and what is added to their constants."""
    lines = relaxed(node, box)
    flat, case = in_rows(rows.coefficients), rows.case
    positive = flat.clamp_min(0)
    negative = flat - positive
    constant = _dot(negative, lines.lift, case)
    positive *= _rows(lines.below, case)
    negative *= _rows(lines.chord, case)
    if isinstance(node, ReLU):
        return positive.add_(negative).view_as(rows.coefficients), constant
    part = flat.new_zeros(len(flat), box.low[0].numel())
    part.scatter_add_(1, _rows(lines.above, case).expand_as(flat), negative)
    part.scatter_add_(1, _rows(lines.beneath, case).expand_as(flat), positive)
    return part.view(len(flat), *box.low.shape[1:]), constant


def _rows(of_cases: Tensor, case: Tensor) -> Tensor:
    """Values of cases for rows; one row where all are of one case."""
    return of_cases[case[:1]] if bool((case == case[0]).all()) else of_cases[case]


def _dot(coefficients: Tensor, of_cases: Tensor, case: Tensor) -> Tensor:
    """Each row times the values of its case, summed up: `(rows,)`."""
    values, flat = in_rows(_rows(of_cases, case)), in_rows(coefficients)
    return flat @ values[0] if len(values) == 1 else (flat * values).sum(1)
