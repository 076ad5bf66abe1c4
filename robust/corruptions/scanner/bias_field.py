"""Intensity non-uniformity: a smooth field multiplies the image.

Van Leemput et al. 1999, Automated model-based bias field correction of MR images of the brain (IEEE
TMI 18): a low-order polynomial. Levels in per cent as in BrainWeb, Collins et al. 1998 (IEEE TMI
17): at 40 % the field lies between 0.8 and 1.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters

DEGREE = 3


@dataclass(frozen=True)
class BiasField:
    """A random polynomial of degree 3, scaled to the range of its level; of a volume in 3-D."""

    name: ClassVar[str] = "bias_field"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "non-uniformity of 20 to 100 % (BrainWeb), polynomial of degree 3"
    note: str = ""
    levels: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    """Range of the field: from 1 - level / 2 to 1 + level / 2."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image times the field."""
        if severity == 0:
            return x
        return (x * self.field(x, severity, streams)).clamp(0, 1)

    def field(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The field, `(n, 1, *space)`."""
        space = tuple(x.shape[2:])
        terms = len(_exponents(len(space)))
        coefficients = 2 * parameters(streams, terms).to(x) - 1
        shape = legendre_polynomial(coefficients, space)
        low, high = shape.flatten(1).aminmax(dim=1)
        wide = (-1, *[1] * len(space))
        unit = (shape - low.view(wide)) / (high - low).clamp_min(1e-12).view(wide)
        return (1 + at_severity(self.levels, severity) * (unit - 0.5))[:, None]


def legendre_polynomial(coefficients: Tensor, space: tuple[int, ...]) -> Tensor:
    """Sums of products of Legendre polynomials on [-1, 1], `(n, *space)`.

    `coefficients (n, k)`: one for each product of total degree 1 to 3, by the degree along each
    axis in ascending order, the last axis fastest.
    """
    axes = [_legendre(torch.linspace(-1, 1, side).to(coefficients)) for side in space]
    total = coefficients.new_zeros(len(coefficients), *space)
    for coefficient, degrees in zip(coefficients.unbind(1), _exponents(len(space)), strict=True):
        product = coefficient.view(-1, *[1] * len(space))
        for axis, degree in enumerate(degrees):
            product = product * axes[axis][degree].view(-1, *[1] * (len(space) - 1 - axis))
        total = total + product
    return total


def _legendre(t: Tensor) -> list[Tensor]:
    return [torch.ones_like(t), t, (3 * t**2 - 1) / 2, (5 * t**3 - 3 * t) / 2]


def _exponents(axes: int) -> list[tuple[int, ...]]:
    """Degrees along each axis, with a total of 1 to 3."""
    grid = torch.cartesian_prod(*[torch.arange(DEGREE + 1)] * axes).view(-1, axes).tolist()
    return [tuple(degrees) for degrees in grid if 1 <= sum(degrees) <= DEGREE]
