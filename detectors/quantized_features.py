"""QFeat: a support vector machine on the deep feature cut to bits (Ma et al. 2021, 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.svm import SVC
from torch import Tensor

from detectors._distances import squared_distances
from detectors.contract import Detector, Learned, Reference, both
from detectors.features import Features


@dataclass
class QuantizedFeatures(Detector):
    """Each dimension as one bit, above or below its mean over the reference; no gradient."""

    needs_pairs: ClassVar[bool] = True
    has_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    gamma: float = 2.8
    """Of the radial kernel, on bits 0 and 1."""

    def learn(self, reference: Reference) -> Learned:
        return {"mean": reference.features.deep.detach().mean(0)}

    def statistics(self, features: Features) -> Tensor:
        """Bits `(n, d)` of 0 and 1."""
        deep = features.deep.detach()
        return (deep > self.known()["mean"].to(deep)).to(deep)

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        rows, attacked = both(clean, adversarial)
        machine = SVC(kernel="precomputed", class_weight="balanced")
        machine.fit(self._kernel(rows, rows).numpy(), attacked.numpy())
        return {
            "support": rows[torch.from_numpy(machine.support_).long()],
            "weight": torch.from_numpy(machine.dual_coef_[0].copy()),
            "bias": torch.from_numpy(machine.intercept_.copy()),
        }

    def combine(self, statistics: Tensor) -> Tensor:
        """The distance from the boundary, in units of the margin."""
        if self.head is None:
            raise RuntimeError("fit the detector first")
        support, weight, bias = (
            self.head[name].to(statistics) for name in ("support", "weight", "bias")
        )
        return self._kernel(statistics, support) @ weight + bias

    def _kernel(self, x: Tensor, points: Tensor) -> Tensor:
        """`(n, m)`: one product of matrices, where the machine's own goes pair by pair."""
        return (-self.gamma * squared_distances(x, points)).exp()
