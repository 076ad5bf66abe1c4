"""An estimate with its confidence interval: the base of every figure in a report."""

from __future__ import annotations

from dataclasses import dataclass

TOO_FEW = 30
"""Groups, or successful adversarial images, below which a number carries no verdict."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, resampled by group."""

    value: float
    """The point estimate: a share or an AUC in [0, 1], or a distance in [0, 1] pixel units."""
    low: float
    """Lower end of the 95 % interval, in the units of `value`; never above it."""
    high: float
    """Upper end of the 95 % interval, in the units of `value`; never below it."""
    cases: int
    """Number of cases that the value is computed from."""
    groups: int
    """Number of groups (patients, lesions) among these cases: the unit of resampling."""
