"""Reads from images all features that a set of fitted detectors needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from torch import Tensor

from detectors.contract import ExtraPasses, FittedDetector
from detectors.features import Extractor, Features

DROPOUT_PASSES = 50
"""As many as Feinman et al. 2017 take."""


class FeatureReader:
    """One forward pass for all layers and detectors, and the further passes that detectors ask for.

    Call it with images `(n, c, h, w)`. The features of an image do not depend on the rest of the
    batch. Gradients flow where asked for.
    """

    def __init__(
        self,
        extract: Extractor,
        detectors: Iterable[FittedDetector] = (),
        *,
        dropout_passes: int = DROPOUT_PASSES,
        seed: int = 0,
    ) -> None:
        self.extract = extract
        self._detectors = tuple(detectors)
        self._dropout_passes = dropout_passes
        self._seed = seed

    def only(self, detector: FittedDetector) -> FeatureReader:
        """The same for one detector alone, without the passes that others ask for."""
        passes, seed = self._dropout_passes, self._seed
        return FeatureReader(self.extract, [detector], dropout_passes=passes, seed=seed)

    def __call__(self, x: Tensor) -> Features:
        """The features of `x`; ValueError for dropout passes of a network without dropout."""
        features = self.extract(x)
        passes = ExtraPasses(self.extract, x, self._dropout_passes, self._seed)
        extras: dict[str, Tensor] = {}
        for detector in self._detectors:
            extras |= detector.extras(passes)
        return dataclasses.replace(features, extras=extras)
