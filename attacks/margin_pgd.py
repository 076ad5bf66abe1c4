"""PGD on the logit margin of Carlini and Wagner 2017, as in Ma et al. 2021 (arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.pgd import PGD, NamedPGD
from attacks.streams import call_text


@dataclass(frozen=True)
class MarginPGD(NamedPGD):
    """PGD on the margin from the image itself, in an L-inf ball; called CW by Ma et al. 2021.

    Use it where cross-entropy saturates and to compare with Ma et al., whose defaults it has: 20
    steps of eps / 10. They cap the margin at kappa = 100, which their logits never reach; here
    there is no cap. The attack that Carlini and Wagner propose in L2 is `CarliniWagnerL2`.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf",)

    steps: int = 20
    """Gradient steps."""
    step_size: float = 0.1
    """Length of a step as a fraction of eps."""
    keep: str = "best"
    """`best` or `last`, as in PGD."""

    @property
    def stream_key(self) -> str:
        """As the first release wrote it, which called the attack CW."""
        return call_text("CW", steps=self.steps, step_size=self.step_size, keep=self.keep)

    def as_pgd(self) -> PGD:
        """From the image, with steps of constant length on the margin."""
        return PGD(
            steps=self.steps,
            step_size=self.step_size,
            schedule="constant",
            start="image",
            loss="margin",
            keep=self.keep,
        )
