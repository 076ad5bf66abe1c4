"""Records of attackers with less, or other means; part of the Report. Standard library alone."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Scenario:
    """One attacker on cases that are right when clean, beside the control."""

    name: str
    """`universal`: one perturbation for every image; `patch`: a square of any pixels; `transfer`:
    images made on a surrogate model; `queries`: only the label is known."""
    attack: str
    """With every parameter."""
    effort: int | None
    """Images that it was fitted on (`universal`, `patch`: at least), or queries a case."""
    size: float
    """eps, or of a patch its share of the image's area."""
    norm: str | None
    """None for a patch, whose pixels have no bound."""
    fooled: Estimate
    """Cases, none of them seen while fitting."""
    control: Estimate
    """The same of what is no attack: random change of the same size, the square of another clean
    image, as many random images as queries."""
    own: Estimate | None = None
    """`transfer`: cases whose images fool the surrogate that they were made on."""
    failed: str = ""
    """Why the attack broke off on some cases; what it had found until then counts."""

    @property
    def beats_control(self) -> bool:
        """Whether the intervals are apart."""
        return self.fooled.low > self.control.high
