"""An estimate with its confidence interval: the base of every figure in a report."""

from __future__ import annotations

from dataclasses import dataclass

TOO_FEW = 30
"""Groups, or successful adversarial images, below which a number carries no verdict."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval by group; without one where no method is known to hold."""

    value: float
    """The point estimate: a share, a mean or an AUC in [0, 1], a distance in [0, 1] pixel units, or
    one between outlines in mm or pixels."""
    low: float | None
    """Lower end of the 95 % interval, in the units of `value`; never above it. None where there is
    no interval."""
    high: float | None
    """Upper end of the 95 % interval, in the units of `value`; never below it. None where there is
    no interval."""
    cases: int
    """Number of cases that the value is computed from."""
    groups: int
    """Number of groups (patients, lesions) among these cases: the unit of every interval."""
    groups_needed: int | None = None
    """About how many groups an interval would take; None where there is one."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def complement(self) -> Estimate:
        """The share of all others: 1 - value, with its interval."""
        low = None if self.high is None else 1 - self.high
        high = None if self.low is None else 1 - self.low
        return Estimate(1 - self.value, low, high, self.cases, self.groups, self.groups_needed)

    def is_at_least(self, bound: float) -> bool:
        """Whether the whole interval lies at or above `bound`; never without an interval."""
        return self.low is not None and self.low >= bound

    def is_below(self, bound: float) -> bool:
        """Whether the whole interval lies below `bound`; never without an interval."""
        return self.high is not None and self.high < bound


def interval_text(estimate: Estimate, scale: float = 1, digits: int = 3) -> str:
    """`[0.806, 0.859]`: the interval times `scale`, or `no_interval_text` in its place."""
    if (ends := estimate.interval) is None:
        return no_interval_text(estimate)
    return f"[{scale * ends[0]:.{digits}f}, {scale * ends[1]:.{digits}f}]"


def no_interval_text(estimate: Estimate) -> str:
    """`[no interval: about 30 groups needed]`."""
    needed = estimate.groups_needed
    return f"[no interval{f': about {needed} groups needed' if needed else ''}]"
