"""Energy of the logits (Liu et al. 2020, arXiv 2010.03759)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from detectors.contract import Detector, Learned, Reference
from detectors.features import Features


@dataclass
class Energy(Detector):
    """Free energy -T log sum exp(logits / T): low where logits are large. Learns nothing."""

    needs_pairs: ClassVar[bool] = False
    has_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    temperature: float = 1.0

    def learn(self, reference: Reference) -> Learned:
        return {}

    def statistics(self, features: Features) -> Tensor:
        """The energy `(n, 1)`."""
        return -self.temperature * (features.logits / self.temperature).logsumexp(1, keepdim=True)

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        return {}

    def combine(self, statistics: Tensor) -> Tensor:
        return statistics[:, 0]
