"""A network as a graph of affine maps, ReLUs and maxima: what its bounds are computed on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.sparse import csr_array
from torch import Tensor

from robust.certificates.bounds.linear_maps import LinearMap, in_rows, sparse_matrix


@dataclass(frozen=True)
class Pixels:
    """The displayed image."""

    shape: tuple[int, ...]
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Affine:
    """The sum over its parents of a linear map of each, and a shift."""

    shape: tuple[int, ...]
    parents: tuple[int, ...]
    maps: tuple[LinearMap, ...]
    inputs: tuple[tuple[int, ...], ...]
    """Shapes of the parents."""
    shift: Tensor
    """`(1, *shape)`, or what is broadcast to it."""
    shift_size: Tensor
    """At least the size of all that is added up in the shift: its rounding errors."""

    @property
    def terms(self) -> int:
        """Roundings in a row."""
        return max(m.terms for m in self.maps) + len(self.maps)

    @cached_property
    def matrices(self) -> tuple[csr_array, ...]:
        """Of each map, `(outputs, inputs)`; made when they are first asked for."""
        pairs = zip(self.maps, self.inputs, strict=True)
        return tuple(sparse_matrix(one.forward, shape) for one, shape in pairs)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The node's value."""
        return self.linear(*inputs) + self.shift

    def linear(self, *inputs: Tensor) -> Tensor:
        """Without the shift."""
        return torch.stack([m.forward(x) for m, x in zip(self.maps, inputs, strict=True)]).sum(0)

    def absolute(self, *inputs: Tensor) -> Tensor:
        """With every weight in absolute value, and without the shift."""
        return torch.stack([m.absolute(x) for m, x in zip(self.maps, inputs, strict=True)]).sum(0)


@dataclass(frozen=True)
class ReLU:
    """max(0, x)."""

    shape: tuple[int, ...]
    parents: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """The node's value."""
        return x.clamp_min(0)


@dataclass(frozen=True)
class Maximum:
    """The largest of a few entries of its parent: max-pooling."""

    shape: tuple[int, ...]
    parents: tuple[int, ...]
    windows: Tensor
    """`(outputs, k)` int64: places in the flattened parent; one beyond its end for padding."""

    def entries(self, x: Tensor) -> Tensor:
        """The entries of each window, `(n, outputs, k)`; minus infinity for padding."""
        flat = in_rows(x)
        padded = torch.cat([flat, flat.new_full((len(flat), 1), -torch.inf)], 1)
        return padded[:, self.windows]

    def forward(self, x: Tensor) -> Tensor:
        """The node's value."""
        return self.entries(x).amax(2).view(len(x), *self.shape)


Node = Pixels | Affine | ReLU | Maximum


@dataclass(frozen=True)
class NetworkGraph:
    """Nodes in the order of computation; the first is the image, the last the logits."""

    nodes: tuple[Node, ...]
    unit: float
    """Unit roundoff of the numbers that the network itself computes with."""

    @property
    def largest(self) -> int:
        """Number of entries of the largest node."""
        return max(torch.Size(node.shape).numel() for node in self.nodes)

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.nodes[-1].shape[0]

    @property
    def units(self) -> int:
        """Number of entries of all nodes."""
        return sum(torch.Size(node.shape).numel() for node in self.nodes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits `(n, classes)` of images `(n, c, h, w)`, in float64."""
        values: list[Tensor] = []
        for node in self.nodes:
            values.append(
                x.double()
                if isinstance(node, Pixels)
                else node.forward(*(values[parent] for parent in node.parents))
            )
        return values[-1]
