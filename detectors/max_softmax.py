"""Maximum softmax probability, the baseline (Hendrycks & Gimpel 2017, arXiv 1610.02136)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from detectors.contract import Detector, Learned, Reference
from detectors.features import Features


@dataclass
class MaxSoftmax(Detector):
    """The less sure the classifier, the more suspicious the image. Learns nothing."""

    needs_pairs: ClassVar[bool] = False
    has_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def learn(self, reference: Reference) -> Learned:
        return {}

    def statistics(self, features: Features) -> Tensor:
        """Minus the log of the largest probability `(n, 1)`, which keeps its digits near 1."""
        return -features.logits.log_softmax(1).amax(1, keepdim=True)

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        return {}

    def combine(self, statistics: Tensor) -> Tensor:
        return statistics[:, 0]
