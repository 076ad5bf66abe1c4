"""DFeat: a random forest on the deep feature (Ma et al. 2021, arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from detectors.base import Detector, Pairs, Reference, both
from detectors.features import Features


@dataclass
class DeepFeatures(Detector):
    """The share of trees that call the deep feature attacked; no gradient."""

    needs_pairs: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    trees: int = 30
    seed: int = 0

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        if pairs is None:
            raise ValueError("DeepFeatures learns from attacked images; give it pairs")
        rows, attacked = both(pairs.clean.deep, pairs.adversarial.deep)
        self._forest = RandomForestClassifier(
            self.trees, class_weight="balanced", random_state=self.seed
        )
        self._forest.fit(rows.numpy(), attacked.numpy())

    def score(self, features: Features) -> Tensor:
        if not hasattr(self, "_forest"):
            raise RuntimeError("fit the detector first")
        deep = features.deep.detach()
        share = self._forest.predict_proba(deep.double().cpu().numpy())[:, 1]
        return torch.from_numpy(share).to(deep)
