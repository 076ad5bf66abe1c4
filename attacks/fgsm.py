"""Fast gradient sign method (FGSM): Goodfellow et al. 2015 (arXiv 1412.6572)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks.pgd import PGD, NamedPGD
from attacks.streams import call_text


@dataclass(frozen=True)
class FGSM(NamedPGD):
    """One step of length eps along the steepest direction: the sign in L-inf, g/|g| in L2.

    Use it for a first look and to compare with published numbers. It is weak: a model that
    withstands it has shown nothing, and it may succeed at a small eps and fail at a larger one.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2", "L2-slice")

    loss: str = "cross_entropy"
    """`cross_entropy`, `margin` or `dlr`; on dense logits `cross_entropy`, `margin`, `dice` and
    others, as in PGD."""
    margin_fallback: bool = True
    """Whether the margin replaces cross-entropy where that is saturated."""

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text("FGSM", objective=self.loss, takeover=self.margin_fallback)

    def as_pgd(self) -> PGD:
        """A single step from the image."""
        return PGD(
            steps=1,
            step_size=1.0,
            schedule="constant",
            start="image",
            loss=self.loss,
            keep="last",
            margin_fallback=self.margin_fallback,
        )
