"""Maximum softmax probability, the baseline (Hendrycks & Gimpel 2017, arXiv 1610.02136)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from detectors.base import Detector, Pairs, Reference
from detectors.features import Features


@dataclass
class MaxSoftmax(Detector):
    """The less sure the classifier, the more suspicious the image. Learns nothing."""

    needs_pairs: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        """Nothing to learn."""

    def score(self, features: Features) -> Tensor:
        """Minus the log of the largest probability, which keeps its digits near 1."""
        return -features.logits.log_softmax(1).amax(1)
