"""Objective of a classifier: cross-entropy weighted by class; AUC and accuracy on val."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from attacks.losses import margin
from robust.models.adapter import Adapter
from robust.training.data import class_weights
from robust.training.objectives.contract import Objective
from robust.training.recipe import TrainingSpec


class ClassObjective(Objective):
    """Of labels that are classes, `(n,)`."""

    score, word, robust_score = "val_auc", "AUC", "val_robust_accuracy"

    def __init__(self, classes: int, train: Tensor, val: Tensor, spec: TrainingSpec) -> None:
        """`train` and `val` are the labels `(n,)` of the splits."""
        super().__init__()
        self.smoothing = spec.label_smoothing
        self.weights: Tensor | None
        weights = class_weights(train, classes) if spec.class_weights else None
        self.register_buffer("weights", weights, persistent=False)
        self.auc = MulticlassAUROC(classes, average=None)
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        # Classes of which val has cases and other cases: the only ones with an AUC.
        counts = torch.bincount(val, minlength=classes)
        self._with_auc = (counts > 0) & (counts < len(val))

    def labels(self, y: Tensor) -> Tensor:
        """As they are."""
        return y

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy, weighted by class where the recipe says so."""
        return F.cross_entropy(logits, y, self.weights, label_smoothing=self.smoothing)

    def val_loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(logits, y)

    def weight(self, y: Tensor) -> Tensor | None:
        """The sum of the weights of their classes."""
        return None if self.weights is None else self.weights[y].sum()

    def learner(self, adapter: Adapter) -> Adapter:
        """As it is."""
        return adapter

    def update(self, logits: Tensor, y: Tensor) -> None:
        """Take logits `(n, k)` of val into the metrics."""
        self.auc.update(logits.softmax(1), y)
        self.accuracy.update(logits, y)

    def compute(self) -> dict[str, float]:
        """AUC, the mean over the classes, and accuracy."""
        auc = self.auc.compute()
        known = auc[self._with_auc.to(auc.device)]
        return {"val_auc": float(known.mean()), "val_accuracy": float(self.accuracy.compute())}

    def reset(self) -> None:
        """Begin val anew."""
        self.auc.reset()
        self.accuracy.reset()

    def kept(self, logits: Tensor, y: Tensor) -> Tensor:
        """1 where the label is still predicted."""
        return (margin(logits, y) < 0).float()
