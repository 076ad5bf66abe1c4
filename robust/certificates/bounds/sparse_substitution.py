"""Bounds of single units, carried back as sparse rows: those of a convolution see a few pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor

from robust.certificates.bounds.back_substitution import Relaxation, relaxed
from robust.certificates.bounds.boxes import Box
from robust.certificates.bounds.linear_maps import in_rows
from robust.certificates.bounds.network_graph import Affine, NetworkGraph, Pixels

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.integer[Any]]
DENSE = 0.1
"""Share of its inputs from which a layer counts as dense."""


def is_sparse(node: Affine) -> bool:
    """Whether each unit depends on few entries of the layer before."""
    return all(m.nnz < DENSE * m.shape[0] * m.shape[1] for m in node.matrices)


def lines_before(graph: NetworkGraph, boxes: Sequence[Box]) -> dict[int, Relaxation]:
    """The relaxations of all nodes whose boxes are known, by place."""
    return {
        place: relaxed(node, boxes[node.parents[0]])
        for place, node in enumerate(graph.nodes[: len(boxes)])
        if not isinstance(node, Pixels | Affine)
    }


def least_of_units(
    graph: NetworkGraph,
    image: Box,
    lines: Mapping[int, Relaxation],
    place: int,
    at: tuple[Tensor, Tensor],
    sign: float,
) -> Tensor:
    """Lower bounds of `sign` times units of a node; `at` names the case and unit of each."""
    case, unit = at[0].numpy(), at[1].numpy()
    count = len(case)
    start = np.full(count, sign), (np.arange(count), unit)
    pending = {place: csr_array(start, shape=(count, _size(graph, place)))}
    constant = np.zeros(count)
    for here in range(place, -1, -1):
        if here not in pending:
            continue
        node, rows = graph.nodes[here], pending.pop(here)
        if isinstance(node, Affine):
            constant += rows @ node.shift.expand(1, *node.shape).flatten().numpy()
            parts = [(p, rows @ m) for p, m in zip(node.parents, node.matrices, strict=True)]
        else:
            entries = _Entries.of(rows, case)
            rising = entries.value > 0
            if isinstance(node, Pixels):
                ends = np.where(rising, entries.at(image.low), entries.at(image.high))
                return torch.from_numpy(constant + entries.sums(entries.value * ends))
            line, parent = lines[here], node.parents[0]
            constant += entries.sums(np.where(rising, 0.0, entries.value * entries.at(line.lift)))
            value = entries.value * np.where(rising, entries.at(line.below), entries.at(line.chord))
            column = np.where(rising, entries.at(line.beneath), entries.at(line.above))
            kept = value != 0
            inside = value[kept], (entries.row[kept], column[kept])
            parts = [(parent, csr_array(inside, shape=(count, _size(graph, parent))))]
        for parent, part in parts:
            pending[parent] = pending[parent] + part if parent in pending else part
    return torch.from_numpy(constant)


def _size(graph: NetworkGraph, place: int) -> int:
    return torch.Size(graph.nodes[place].shape).numel()


@dataclass(frozen=True)
class _Entries:
    """The entries of sparse rows, with the row, case and column of each."""

    value: Array
    row: Numbers
    case: Numbers
    column: Numbers
    count: int
    """Number of rows."""

    @classmethod
    def of(cls, rows: csr_array, case: Numbers) -> _Entries:
        row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        return cls(rows.data, row, case[row], rows.indices, rows.shape[0])

    def at(self, of_cases: Tensor) -> npt.NDArray[Any]:
        """What each case `(n, ...)` holds at the column of each entry."""
        found: npt.NDArray[Any] = in_rows(of_cases).numpy()[self.case, self.column]
        return found

    def sums(self, values: Array) -> Array:
        """By row."""
        found: npt.NDArray[Any] = np.bincount(self.row, values, self.count)
        return found
