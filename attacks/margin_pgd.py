"""Carlini and Wagner's margin in an L-inf ball, as in Ma et al. 2021 (arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.pgd import PGD, WrittenAsPGD


@dataclass(frozen=True)
class MarginPGD(WrittenAsPGD):
    """PGD on the margin from the image itself; defaults of Ma et al. 2021: 20 steps of eps / 10.

    Ma et al. cap the margin at kappa = 100, which their logits never reach; here there is no cap.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf",)

    steps: int = 20
    step_size: float = 0.1
    """Length of a step as a fraction of eps."""
    keep: str = "best"

    def as_pgd(self) -> PGD:
        return PGD(
            steps=self.steps,
            step_size=self.step_size,
            schedule="constant",
            start="image",
            objective="margin",
            keep=self.keep,
        )
