"""Results of scenarios: attackers with less knowledge than the model's weights, or other means."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Scenario:
    """One scenario on cases that are correct without attack, beside its control."""

    name: str
    """`universal`: one perturbation for every image; `patch`: a square of any pixels; `transfer`:
    images made on a surrogate model; `queries`: only the predicted label is known."""
    attack: str
    """The attack with all its parameters."""
    budget: int | None
    """Number of images that it was fitted on (`universal`, `patch`: at least as many), or queries
    per case (`queries`); None for `transfer`."""
    size: float
    """eps in [0, 1] pixel units; for a patch its share of the image's area, in [0, 1]."""
    norm: str | None
    """`Linf` or `L2`; None for a patch, whose pixels have no bound."""
    fooled: Estimate
    """Share of cases that are misread; none of them was used for fitting."""
    control: Estimate
    """The same share for the control, which is no attack: a random change of the same size, the
    square of another clean image, or as many random images as queries."""
    surrogate_fooled: Estimate | None = None
    """Share of cases whose images fool the surrogate that they were made on; None but for
    `transfer`."""
    failure: str = ""
    """Why the attack broke off on some cases, empty where it did not; what it had found until then
    counts."""

    @property
    def beats_control(self) -> bool:
        """Whether the two intervals do not overlap, and the attack's is the higher one."""
        low, high = self.fooled.low, self.control.high
        return low is not None and high is not None and low > high
