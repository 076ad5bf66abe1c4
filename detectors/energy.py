"""Energy of the logits (Liu et al. 2020, arXiv 2010.03759)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from detectors.contract import LogitDetector


@dataclass(frozen=True)
class Energy(LogitDetector):
    """The free energy of the logits, which is low where the classifier is confident.

    Score: `-T log(sum_k exp(logit_k / T))`. Liu et al. proposed it for images that lie outside the
    training distribution. It learns nothing and costs nothing beyond the forward pass: a baseline.
    An attack that raises the winning logit far enough passes it.

    Use it as a free baseline beside MaxSoftmax.
    """

    temperature: float = 1.0
    """T, above 0; 1 as in the paper."""

    def logit_score(self, logits: Tensor) -> Tensor:
        """The energy `(n,)` in nats times T."""
        return -self.temperature * (logits / self.temperature).logsumexp(1)
