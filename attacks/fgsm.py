"""Fast gradient sign method, Goodfellow et al. 2015 (arXiv 1412.6572)."""

from __future__ import annotations

from dataclasses import dataclass

from attacks.pgd import PGD, WrittenAsPGD


@dataclass(frozen=True)
class FGSM(WrittenAsPGD):
    """One step of length eps along the steepest direction: the sign in L-inf, g/|g| in L2."""

    objective: str = "cross_entropy"
    takeover: bool = True

    def as_pgd(self) -> PGD:
        return PGD(
            steps=1,
            step_size=1.0,
            schedule="constant",
            start="image",
            objective=self.objective,
            keep="last",
            takeover=self.takeover,
        )
