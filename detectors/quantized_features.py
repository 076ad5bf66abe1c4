"""QFeat: a support vector machine on the deep feature cut to bits (Ma et al. 2021, 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.svm import SVC
from torch import Tensor

from detectors.base import Detector, Pairs, Reference, both
from detectors.features import Features


@dataclass
class QuantizedFeatures(Detector):
    """Each dimension as one bit, above or below its mean over the reference; no gradient."""

    needs_pairs: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    gamma: float = 2.8
    """Of the radial kernel, on bits 0 and 1."""

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        if pairs is None:
            raise ValueError("QuantizedFeatures learns from attacked images; give it pairs")
        self._mean = reference.features.deep.detach().mean(0)
        sides = (self.bits(side) for side in (pairs.clean, pairs.adversarial))
        rows, attacked = both(*sides)
        self._machine = SVC(kernel="rbf", gamma=self.gamma, class_weight="balanced")
        self._machine.fit(rows.numpy(), attacked.numpy())

    def score(self, features: Features) -> Tensor:
        if not hasattr(self, "_machine"):
            raise RuntimeError("fit the detector first")
        bits = self.bits(features)
        side = self._machine.decision_function(bits.double().cpu().numpy())
        return torch.from_numpy(side).to(bits)

    def bits(self, features: Features) -> Tensor:
        """`(n, d)` of 0 and 1."""
        deep = features.deep.detach()
        return (deep > self._mean.to(deep)).to(deep)
