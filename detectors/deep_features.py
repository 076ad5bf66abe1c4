"""DFeat: a random forest on the deep feature (Ma et al. 2021, arXiv 1907.10456)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from detectors._logistic_head import stack_sides
from detectors.contract import FeatureDetector, Learned, Reference
from detectors.features import Features

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier


@dataclass(frozen=True)
class DeepFeatures(FeatureDetector):
    """A random forest that separates deep features of attacked images from those of clean ones.

    Score: the mean over trees of the share of attacked training images in the leaf that the image
    reaches, in [0, 1]. It reads the deep feature (the input of the last layer) and learns from
    attacked images alone, so it recognises above all the attack that it was fitted on. It has no
    gradient; an adaptive attack needs a surrogate.

    Use it against attacks that you can make yourself, and never without an adaptive attack.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    trees: int = 30
    """Number of trees."""
    seed: int = 0
    """Of the forest."""

    def learn(self, reference: Reference) -> Learned:
        """Nothing: the forest is the head, and clean images alone teach it nothing."""
        return {}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The deep feature `(n, d)`."""
        return features.deep.detach()

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """The forest, as tensors."""
        from sklearn.ensemble import RandomForestClassifier  # a second, so only where it is used

        rows, attacked = stack_sides(clean, adversarial)
        forest = RandomForestClassifier(self.trees, class_weight="balanced", random_state=self.seed)
        forest.fit(rows.numpy(), attacked.numpy())
        return _tensors(forest)

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The mean share of attacked images in the leaves reached."""
        forest = {name: value.to(statistics.device) for name, value in (head or {}).items()}
        tree = torch.arange(len(forest["split"]), device=statistics.device)[:, None]
        node = torch.zeros(len(tree), len(statistics), dtype=torch.long, device=statistics.device)
        # scikit-learn compares float32 values with float64 thresholds.
        values = statistics.float().double().T
        row = torch.arange(len(statistics), device=statistics.device)
        for _ in range(int(forest["depth"])):
            right = values[forest["split"][tree, node], row] > forest["threshold"][tree, node]
            node = torch.where(right, forest["right"][tree, node], forest["left"][tree, node])
        return forest["share"][tree, node].mean(0).to(statistics)


def _tensors(forest: RandomForestClassifier) -> Learned:
    """All trees side by side `(trees, nodes)`, so that an image descends all of them at once.

    A leaf points to itself; `share` is the share of attacked images among those that reached it.
    """
    trees = [forest.tree_ for forest in forest.estimators_]
    nodes = max(tree.node_count for tree in trees)

    def padded(take: Any, kind: type) -> Tensor:
        rows = np.zeros((len(trees), nodes), kind)
        for row, tree in zip(rows, trees, strict=True):
            row[: tree.node_count] = take(tree)
        return torch.from_numpy(rows)

    def child(which: str) -> Any:
        def take(tree: Any) -> Any:
            children = getattr(tree, f"children_{which}")
            return np.where(children < 0, np.arange(len(children)), children)

        return take

    return {
        "left": padded(child("left"), np.int64),
        "right": padded(child("right"), np.int64),
        "split": padded(lambda tree: np.maximum(tree.feature, 0), np.int64),
        "threshold": padded(lambda tree: tree.threshold, np.float64),
        "share": padded(lambda t: t.value[:, 0, 1] / t.value[:, 0].sum(1), np.float64),
        "depth": torch.tensor(max(tree.max_depth for tree in trees)),
    }
