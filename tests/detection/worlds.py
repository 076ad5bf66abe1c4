"""Features whose clean and attacked distributions are known, with two cases of each patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from detectors import Features, FittedDetector, KernelDensity, Reference
from robust.detection.cross_fitting import FeatureSet
from robust.detection.transfer_matrix import EvaluationData


@dataclass
class World:
    """A reference, and cases two of which belong to each patient and resemble each other."""

    reference: Reference
    clean: FeatureSet
    labels: np.ndarray  # type: ignore[type-arg]
    groups: np.ndarray  # type: ignore[type-arg]

    def attacked(self, shift: float, part: float = 1.0, seed: int = 0) -> FeatureSet:
        """The clean images moved by `shift`; a `part` of the attacks succeeded, failures included."""
        f = self.clean.features
        wrong = 3.0 * torch.eye(2, dtype=torch.float64)[1 - torch.from_numpy(self.labels)]
        fails = torch.rand(len(f), generator=torch.Generator().manual_seed(seed)) >= part
        logits = torch.where(fails[:, None], f.logits, wrong)
        return FeatureSet(Features(logits, {"deep": f.deep + shift}), self.clean.cases)


def world(n: int = 200, d: int = 16, seed: int = 0) -> World:
    g = torch.Generator().manual_seed(seed)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2
        return torch.randn(count, d, generator=g, dtype=torch.float64) + labels[:, None], labels

    def classify(labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), 2, generator=g, dtype=torch.float64)
        return 3 * torch.eye(2, dtype=torch.float64)[labels] + 0.3 * noise

    known, known_labels = draw(200)
    one, labels = draw(n // 2)
    other = one + 0.5 * torch.randn(one.shape, generator=g, dtype=torch.float64)
    both = labels.repeat(2)
    return World(
        Reference(Features(classify(known_labels), {"deep": known}), known_labels),
        FeatureSet(Features(classify(both), {"deep": torch.cat([one, other])}), np.arange(n)),
        both.numpy(),
        np.tile(np.arange(n // 2), 2),
    )


def successes(attacked: FeatureSet, w: World) -> FeatureSet:
    """Only the images that the classifier misclassifies."""
    wrong = attacked.features.logits.argmax(1).numpy() != w.labels[attacked.cases]
    return attacked.take(wrong)


def density(w: World) -> FittedDetector:
    """A kernel density with a fixed bandwidth, fitted on the reference."""
    return KernelDensity(1.0).fit(w.reference)


def data(
    w: World,
    attacks: Mapping[str, FeatureSet] | None = None,
    controls: Mapping[str, FeatureSet] | None = None,
) -> EvaluationData:
    """What detectors are evaluated on in this world."""
    return EvaluationData(w.reference, w.clean, attacks or {}, controls or {}, w.labels, w.groups)
