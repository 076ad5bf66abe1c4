"""Joint model: classifier and detector as differentiable functions of one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors import FeatureReader, Features
from robust.detection.adaptive.surrogate_detector import SurrogateDetector
from robust.detection.cross_fitting import FoldDetector


class JointModel:
    """Differentiable `logits`, `suspicion` and `deep` features of images `(n, c, h, w)`.

    Several of them on one batch share one forward pass. A detector without a gradient needs a
    surrogate: values are the detector's own, gradients those of the surrogate.
    """

    def __init__(
        self,
        reader: FeatureReader,
        detector: FoldDetector,
        limit: float,
        surrogate: SurrogateDetector | None = None,
    ) -> None:
        self.detector = detector
        self._reader = reader
        self._limit = limit  # the score above which an image raises an alarm
        self._surrogate = surrogate
        self._last: tuple[Tensor, int, bool, Features] | None = None

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(n, k)`."""
        return self.features(x).logits

    def deep(self, x: Tensor) -> Tensor:
        """The deep feature `(n, d)`."""
        return self.features(x).deep

    def suspicion(self, x: Tensor) -> Tensor:
        """The score minus the threshold `(n,)`: above 0 where the image raises an alarm."""
        features = self.features(x)
        if self._surrogate is None:
            return self.detector.suspicion(features) - self._limit
        soft = self._surrogate(features.deep)
        return self.detector.suspicion(features).detach() - self._limit + soft - soft.detach()

    def features(self, x: Tensor) -> Features:
        """All features of the images."""
        graph = torch.is_grad_enabled() and x.requires_grad
        if self._last is not None:
            known, version, had_graph, features = self._last
            # The same tensor may hold another image by now: its version counts what wrote to it.
            if known is x and version == x._version and had_graph == graph:
                return features
        features = self._reader(x)
        self._last = (x, x._version, graph, features)
        return features
