"""QFeat: a support vector machine on quantised deep features (Ma et al. 2021, arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from detectors._distances import squared_distances
from detectors._logistic_head import stack_sides
from detectors.contract import FeatureDetector, Learned, Reference
from detectors.features import Features


@dataclass(frozen=True)
class QuantizedFeatures(FeatureDetector):
    """A support vector machine on the deep feature, each dimension reduced to one bit.

    Bit d of an image is 1 where `z_d` exceeds its mean over the reference. Score: the decision
    function of the machine with the kernel `exp(-gamma |a - b|^2)`, in units of the margin. It
    learns from attacked images, so it recognises above all the attack that it was fitted on. It has
    no gradient; an adaptive attack needs a surrogate.

    Use it against attacks that you can make yourself, and never without an adaptive attack.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    gamma: float = 2.8
    """Of the radial kernel, on bits 0 and 1; smaller for features of many dimensions."""

    def learn(self, reference: Reference) -> Learned:
        """The mean of the deep feature."""
        return {"mean": reference.features.deep.detach().mean(0)}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """Bits `(n, d)` of 0 and 1."""
        deep = features.deep.detach()
        return (deep > learned["mean"].to(deep)).to(deep)

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """The support vectors with their weights, and the bias."""
        from sklearn.svm import SVC  # a second, so only where it is used

        rows, attacked = stack_sides(clean, adversarial)
        machine = SVC(kernel="precomputed", class_weight="balanced")
        machine.fit(self._kernel(rows, rows).numpy(), attacked.numpy())
        return {
            "support": rows[torch.from_numpy(machine.support_).long()],
            "weight": torch.from_numpy(machine.dual_coef_[0].copy()),
            "bias": torch.from_numpy(machine.intercept_.copy()),
        }

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The distance from the boundary, in units of the margin."""
        parts = {name: value.to(statistics) for name, value in (head or {}).items()}
        return self._kernel(statistics, parts["support"]) @ parts["weight"] + parts["bias"]

    def _kernel(self, x: Tensor, points: Tensor) -> Tensor:
        """`(n, m)` by one matrix product; scikit-learn's kernel is slower, pair by pair."""
        return (-self.gamma * squared_distances(x, points)).exp()
