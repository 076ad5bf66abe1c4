"""Basic iterative method (BIM): Kurakin et al. 2017 (arXiv 1607.02533)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.pgd import PGD, NamedPGD
from attacks.streams import call_text


@dataclass(frozen=True)
class BIM(NamedPGD):
    """Small steps of constant length from the image itself: PGD without a random start.

    Use it to compare with published numbers; PGD with restarts is stronger. The defaults are those
    of Ma et al. 2021: 20 steps of eps / 20.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")

    steps: int = 20
    """Gradient steps."""
    step_size: float = 0.05
    """Length of a step as a fraction of eps."""
    keep: str = "best"
    """`best` or `last`, as in PGD."""
    margin_fallback: bool = True
    """Whether the margin replaces cross-entropy where that is saturated."""

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text(
            "BIM",
            steps=self.steps,
            step_size=self.step_size,
            keep=self.keep,
            takeover=self.margin_fallback,
        )

    def as_pgd(self) -> PGD:
        """From the image, with steps of constant length."""
        return PGD(
            steps=self.steps,
            step_size=self.step_size,
            schedule="constant",
            start="image",
            keep=self.keep,
            margin_fallback=self.margin_fallback,
        )
