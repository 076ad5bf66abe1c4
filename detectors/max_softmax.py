"""Maximum softmax probability, the baseline (Hendrycks & Gimpel 2017, arXiv 1610.02136)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from detectors.contract import LogitDetector


@dataclass(frozen=True)
class MaxSoftmax(LogitDetector):
    """The less confident the classifier, the more suspicious the image.

    Score: `-log(max_k softmax(logits)_k)`, which keeps its digits where the probability is near 1.
    It learns nothing and costs nothing beyond the forward pass: the baseline that a detector should
    beat. An attack that ends at a high confidence passes it.

    Use it always: a costlier detector is worth its cost only if it does better.
    """

    def logit_score(self, logits: Tensor) -> Tensor:
        """Minus the log of the largest probability `(n,)`, at least 0."""
        return -logits.log_softmax(1).amax(1)
