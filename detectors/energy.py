"""Energy of the logits (Liu et al. 2020, arXiv 2010.03759)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from detectors.base import Detector, Pairs, Reference
from detectors.features import Features


@dataclass
class Energy(Detector):
    """Free energy -T log sum exp(logits / T): low where logits are large. Learns nothing."""

    needs_pairs: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    temperature: float = 1.0

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        """Nothing to learn."""

    def score(self, features: Features) -> Tensor:
        return -self.temperature * (features.logits / self.temperature).logsumexp(1)
