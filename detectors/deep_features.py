"""DFeat: a random forest on the deep feature (Ma et al. 2021, arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from detectors.contract import Detector, Learned, Reference, both
from detectors.features import Features


@dataclass
class DeepFeatures(Detector):
    """The share of trees that call the deep feature attacked; no gradient."""

    needs_pairs: ClassVar[bool] = True
    has_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    trees: int = 30
    seed: int = 0

    def learn(self, reference: Reference) -> Learned:
        return {}

    def statistics(self, features: Features) -> Tensor:
        """The deep feature `(n, d)`."""
        return features.deep.detach()

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        rows, attacked = both(clean, adversarial)
        forest = RandomForestClassifier(self.trees, class_weight="balanced", random_state=self.seed)
        forest.fit(rows.numpy(), attacked.numpy())
        return _tensors(forest)

    def combine(self, statistics: Tensor) -> Tensor:
        if self.head is None:
            raise RuntimeError("fit the detector first")
        one = {name: value.to(statistics.device) for name, value in self.head.items()}
        tree = torch.arange(len(one["split"]), device=statistics.device)[:, None]
        at = torch.zeros(len(tree), len(statistics), dtype=torch.long, device=statistics.device)
        # scikit-learn compares float32 values with float64 thresholds.
        values = statistics.float().double().T
        row = torch.arange(len(statistics), device=statistics.device)
        for _ in range(int(one["depth"])):
            right = values[one["split"][tree, at], row] > one["threshold"][tree, at]
            at = torch.where(right, one["right"][tree, at], one["left"][tree, at])
        return one["share"][tree, at].mean(0).to(statistics)


def _tensors(forest: RandomForestClassifier) -> Learned:
    """All trees side by side `(trees, nodes)`, so that an image walks down all of them at once.

    A leaf leads to itself; `share` is the attacked part of the images that ended there.
    """
    trees = [one.tree_ for one in forest.estimators_]
    nodes = max(tree.node_count for tree in trees)

    def padded(take: Any, kind: type) -> Tensor:
        rows = np.zeros((len(trees), nodes), kind)
        for row, tree in zip(rows, trees, strict=True):
            row[: tree.node_count] = take(tree)
        return torch.from_numpy(rows)

    def child(which: str) -> Any:
        def take(tree: Any) -> Any:
            own = getattr(tree, f"children_{which}")
            return np.where(own < 0, np.arange(len(own)), own)

        return take

    return {
        "left": padded(child("left"), np.int64),
        "right": padded(child("right"), np.int64),
        "split": padded(lambda tree: np.maximum(tree.feature, 0), np.int64),
        "threshold": padded(lambda tree: tree.threshold, np.float64),
        "share": padded(lambda t: t.value[:, 0, 1] / t.value[:, 0].sum(1), np.float64),
        "depth": torch.tensor(max(tree.max_depth for tree in trees)),
    }
