"""Basic iterative method, Kurakin et al. 2017 (arXiv 1607.02533)."""

from __future__ import annotations

from dataclasses import dataclass

from attacks.pgd import PGD, WrittenAsPGD


@dataclass(frozen=True)
class BIM(WrittenAsPGD):
    """Small FGSM steps from the image itself; defaults of Ma et al. 2021: 20 steps of eps / 20."""

    steps: int = 20
    step_size: float = 0.05
    """Length of a step as a fraction of eps."""
    keep: str = "best"
    takeover: bool = True

    def as_pgd(self) -> PGD:
        return PGD(
            steps=self.steps,
            step_size=self.step_size,
            schedule="constant",
            start="image",
            keep=self.keep,
            takeover=self.takeover,
        )
