"""Linear maps of images without their matrices: as they are, in absolute value, transposed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from scipy.sparse import csr_array, vstack
from torch import Tensor
from torch.nn.grad import conv2d_input

Function = Callable[[Tensor], Tensor]


def in_rows(x: Tensor) -> Tensor:
    """Each case `(n, *shape)` as a row, one of a single number, too."""
    return x.reshape(len(x), -1)


@dataclass(frozen=True)
class LinearMap:
    """x -> W x for each case of a batch `(n, *shape)`."""

    forward: Function
    absolute: Function
    """x -> |W| x, with every weight in absolute value."""
    transposed: Function
    """y -> W^T y."""
    terms: int
    """Roundings in a row in an output: the length of its sum, and a few for the weights."""
    elementwise: bool = False
    """Whether each output depends on one input, and no two on the same."""


def weighted(
    function: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    shape: tuple[int, ...],
    terms: int,
    *,
    transposed: Function | None = None,
    elementwise: bool = False,
) -> LinearMap:
    """A map `function(x, weight)`, linear in both, of inputs of that shape."""

    def forward(x: Tensor) -> Tensor:
        return function(x, weight)

    size = weight.abs()
    return LinearMap(
        forward,
        lambda x: function(x, size),
        transposed or transposed_of(forward, shape),
        terms,
        elementwise,
    )


def unsigned(
    function: Function, shape: tuple[int, ...], terms: int = 0, *, elementwise: bool = False
) -> LinearMap:
    """A map whose weights are all at least 0: a copy, a choice, a mean."""
    return LinearMap(function, function, transposed_of(function, shape), terms, elementwise)


def identity(sign: float = 1.0) -> LinearMap:
    """x, or a multiple of it."""
    return LinearMap(
        lambda x: sign * x, lambda x: abs(sign) * x, lambda y: sign * y, 2, elementwise=True
    )


def scaled(by: Tensor, shape: tuple[int, ...], terms: int = 2) -> LinearMap:
    """Entry by entry, `by` broadcast against `(n, *shape)`."""
    return weighted(torch.mul, by, shape, terms, transposed=lambda y: y * by, elementwise=True)


def linear_layer(weight: Tensor, shape: tuple[int, ...]) -> LinearMap:
    """A linear layer on the last axis, without its bias."""
    return weighted(F.linear, weight, shape, weight.shape[1] + 1, transposed=lambda y: y @ weight)


def convolution(
    weight: Tensor, shape: tuple[int, ...], stride: Any, padding: Any, dilation: Any, groups: int
) -> LinearMap:
    """A two-dimensional convolution, without its bias."""

    def function(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, None, stride, padding, dilation, groups)

    def transposed(y: Tensor) -> Tensor:
        size = (len(y), *shape)
        x: Tensor = by_size(size, weight, y, stride, padding, dilation, groups)
        return x

    by_size: Any = conv2d_input
    plain = not isinstance(padding, str)
    return weighted(
        function,
        weight,
        shape,
        weight[0].numel() + 1,
        transposed=transposed if plain else None,
    )


def placed(before: int, after: int, axis: int, shape: tuple[int, ...]) -> LinearMap:
    """What a concatenation does to one of its parts: zeros before and after it on an axis."""

    def function(x: Tensor) -> Tensor:
        ends = []
        for length in (before, after):
            size = list(x.shape)
            size[axis] = length
            ends.append(x.new_zeros(size))
        return torch.cat([ends[0], x, ends[1]], axis)

    return unsigned(function, shape, elementwise=True)


def resized(
    function: Callable[[Tensor, list[int]], Tensor], shape: tuple[int, ...], size: list[int]
) -> LinearMap:
    """An interpolation `function(x, size)` to `size` (h, w); its weights may be negative.

    It works on one axis, then on the other: on an identity matrix each shows its weights.
    """

    def on_one_axis(length: int, wanted: int) -> Tensor:
        eye = torch.eye(length, dtype=torch.float64)[None, None]
        return function(eye, [wanted, length])[0, 0]

    rows, columns = on_one_axis(shape[-2], size[0]), on_one_axis(shape[-1], size[1])
    return LinearMap(
        lambda x: rows @ x @ columns.T,
        lambda x: rows.abs() @ x @ columns.abs().T,
        lambda y: rows.T @ y @ columns,
        shape[-2] + shape[-1] + 4,
    )


def sparse_matrix(forward: Function, shape: tuple[int, ...], at_once: int = 64) -> csr_array:
    """The matrix of a linear function of inputs of that shape, `(outputs, inputs)`."""
    size = torch.Size(shape).numel()
    columns = []
    for start in range(0, size, at_once):
        unit = torch.zeros(min(at_once, size - start), size, dtype=torch.float64)
        unit[torch.arange(len(unit)), start + torch.arange(len(unit))] = 1.0
        columns.append(csr_array(in_rows(forward(unit.view(-1, *shape))).numpy()))
    return csr_array(vstack(columns).T)


def transposed_of(function: Function, shape: tuple[int, ...]) -> Function:
    """The transposed map of a linear function of inputs of that shape, by its gradient."""

    def transposed(y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y.new_zeros((len(y), *shape), requires_grad=True)
            (gradient,) = torch.autograd.grad(function(x), x, y)
        return gradient

    return transposed
