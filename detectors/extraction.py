"""Images to features, with all that a set of detectors asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from torch import Tensor

from detectors.bayesian_uncertainty import PASSES, UNCERTAINTY, dropout_layers, uncertainty
from detectors.contract import Detector, Reference
from detectors.features import Extractor, Features
from detectors.mahalanobis import Mahalanobis, input_direction, step_name


class FeatureReader:
    """One forward pass for all layers and detectors; dropout passes and input steps where asked.

    Call it with `(n, c, h, w)`. What an image shows does not depend on the rest of the batch.
    Raises ValueError for dropout passes of a network that has none.
    """

    def __init__(
        self,
        extract: Extractor,
        detectors: Iterable[Detector] = (),
        *,
        passes: int = PASSES,
        seed: int = 0,
    ) -> None:
        wanted = dict.fromkeys(name for detector in detectors for name in detector.extras)
        self.extract = extract
        self.passes = passes if UNCERTAINTY in wanted else 0
        self.seed = seed
        self.steps = [name for name in wanted if name != UNCERTAINTY]
        self.nearest = Mahalanobis()
        """Where the classes lie, once it has learned; input steps need it, nothing else does."""
        if self.passes:
            dropout_layers(extract.model)

    def learn(self, reference: Reference) -> None:
        """All that a look itself has to learn: `nearest`."""
        if self.steps:
            self.nearest.learned = self.nearest.learn(reference)

    def __call__(self, x: Tensor) -> Features:
        features = self.extract(x)
        extras: dict[str, Tensor] = {}
        if self.passes:
            extras[UNCERTAINTY] = uncertainty(
                self.extract.model, x, passes=self.passes, seed=self.seed
            )
        if self.steps and self.nearest.learned is not None:
            direction = input_direction(self.nearest, self.extract, x)
            for name in self.steps:
                moved = (x - _size(name) * direction).clamp(0, 1)
                extras[name] = self.nearest.distances(self.extract(moved))
        return dataclasses.replace(features, extras=extras)


def _size(name: str) -> float:
    size = float(name.rpartition(" ")[2])
    assert step_name(size) == name
    return size
