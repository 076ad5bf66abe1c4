"""Probability margin attack (PMA): Xie et al. 2024 (arXiv 2411.15210)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.pgd import PGD, NamedPGD
from attacks.streams import call_text


@dataclass(frozen=True)
class PMA(NamedPGD):
    """PGD on the margin of probabilities: the likeliest wrong class minus the true one.

    Use it beside APGD where a model has more than two classes. Its gradient weighs each logit by
    its probability, so that it follows the best wrong label as the margin of logits does, and all
    others a little as cross-entropy does. With two classes it takes the steps of PGD on the margin.
    The loss is that of the paper; the lengths of the steps are those of PGD here.
    """

    norms: ClassVar[tuple[str, ...]] = PGD.norms

    steps: int = 100
    """As in PGD."""
    step_size: float = 0.2
    """As in PGD."""
    restarts: int = 1
    """As in PGD."""

    def as_pgd(self) -> PGD:
        """PGD on the loss `probability_margin`."""
        return PGD(
            steps=self.steps,
            step_size=self.step_size,
            restarts=self.restarts,
            loss="probability_margin",
        )

    @property
    def stream_key(self) -> str:
        """Its three fields."""
        fields = {"steps": self.steps, "step_size": self.step_size, "restarts": self.restarts}
        return call_text("PMA", **fields)
