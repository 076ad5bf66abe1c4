"""Certified accuracy by radius, beside the accuracy that attacks on the same function left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from robust.engine.accuracy_curve import thinned_out
from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.worst_case import Ball
from robust.records import CertifiedPoint, Estimate
from robust.units import TOLERANCE

CHANCE = 0.05
"""Level of the binomial test of crossings."""


@dataclass(frozen=True)
class ProvenCases:
    """What a certificate has proven of some cases; arrays are `(n,)`."""

    by_group: ByGroup
    right: Mask
    """Whether the certified function predicts the label; not where it abstains or failed."""
    radius: Array
    """Proven radius around the prediction, right or wrong; 0 where nothing is proven."""

    def certified(self, eps: float) -> Mask:
        """The cases that are right and proven to stay so within eps."""
        mask: Mask = self.right & (self.radius >= eps - TOLERANCE * (eps > 0))
        return mask

    def rate(self, eps: float) -> Estimate:
        """Their share of all cases."""
        return _estimate(self.by_group.rate(self.certified(eps)))

    def median_radius(self) -> Estimate:
        """The median of the radii, 0 where the case is not right."""
        every = np.ones(len(self.right), bool)
        return _estimate(self.by_group.median(np.where(self.right, self.radius, 0.0), every))

    def curve(self) -> tuple[tuple[float, ...], tuple[Estimate, ...]]:
        """Radii from 0 on, at each of which another case is proven for the last time, and rates."""
        last = np.unique(self.radius[self.right & (self.radius > 0)])
        radii = (0.0, *(thinned_out(last).tolist() if len(last) else ()))
        return radii, tuple(self.rate(radius) for radius in radii)


@dataclass(frozen=True)
class AttackedCases:
    """What attacks on the same function and in the same norm found on these cases; `(n,)` each."""

    norm: str
    attack: str
    """The attacks, in words; empty where none ran."""
    sizes: tuple[float, ...]
    """The eps that attacks ran at; infinite for a minimum-norm attack."""
    correct: Mask
    """Which cases that function reads correctly without attack."""
    nearest: Array
    """Distance of the nearest image that changes a correct prediction; infinite where none is
    known."""
    smallest: Array
    """Smallest eps at which an attack was evaluated on the case, 0 of a minimum-norm attack;
    infinite where none was."""
    countable: Mask
    """Cases on which attacks say anything: not those on which every attack failed."""
    values: npt.NDArray[np.int64]
    """Number of values of each image, which rounding grows with."""

    def crosses(self, proven: ProvenCases) -> Mask:
        """The cases with an image nearer than the proven radius, by more than rounding."""
        rounding = np.array([Ball(self.norm, 0.0, int(values)).limit for values in self.values])
        mask: Mask = proven.right & (self.nearest < proven.radius - rounding)
        return mask

    def compared(self, proven: ProvenCases) -> int:
        """The proven cases for which an attack looked within the proven radius."""
        looked = (proven.radius > 0) & (self.smallest <= proven.radius)
        return int((proven.right & looked & self.countable).sum())

    def within(self, eps: float) -> Mask:
        """The cases with an image within eps, up to rounding."""
        limit = np.array([Ball(self.norm, eps, int(values)).limit for values in self.values])
        mask: Mask = self.nearest <= limit
        return mask

    def left(self, eps: float, by_group: ByGroup) -> Estimate | None:
        """The share that is correct under all attacks at most at eps; None where none ran."""
        if not any(size <= eps + TOLERANCE or np.isinf(size) for size in self.sizes):
            return None
        return by_group.rate(self.correct & ~self.within(eps), self.countable)


def certified_points(
    proven: ProvenCases, attacked: AttackedCases, eps: Sequence[float]
) -> tuple[CertifiedPoint, ...]:
    """A point for each eps, ascending."""
    crosses = attacked.crosses(proven)
    return tuple(
        CertifiedPoint(
            eps=size,
            certified=proven.rate(size),
            attacked=attacked.left(size, proven.by_group),
            crossings=int((crosses & proven.certified(size) & attacked.within(size)).sum()),
        )
        for size in sorted(eps)
    )


def allowed_crossings(compared: int, alpha: float | None) -> int:
    """The largest number of crossings that a binomial test at 5 % does not reject."""
    return int(binom.ppf(1 - CHANCE, compared, alpha)) if alpha is not None and compared else 0


def _estimate(found: Estimate | None) -> Estimate:
    assert found is not None  # there are cases
    return found
