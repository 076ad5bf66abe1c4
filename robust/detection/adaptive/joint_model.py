"""Classifier and detector as one attacker meets them: both from the same look at an image."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from detectors import FeatureReader, Features
from robust.detection.adaptive.surrogate_detector import SurrogateDetector
from robust.detection.cross_fitting import FittedDetector


@dataclass
class JointModel:
    """What an attack may call: `logits`, `suspicion` and `deep` of images `(n, c, h, w)`.

    Asked for several of one batch, it looks once. All are differentiable; where the detector is
    not, its score is given as it is, with the gradient of `follower`.
    """

    look: FeatureReader
    fitted: FittedDetector
    limit: float
    """The score from which on an image raises the alarm."""
    follower: SurrogateDetector | None = None
    _seen: tuple[Tensor, int, bool, Features] | None = field(default=None, repr=False)

    def logits(self, x: Tensor) -> Tensor:
        """`(n, k)`."""
        return self.features(x).logits

    def deep(self, x: Tensor) -> Tensor:
        """The deep feature `(n, d)`."""
        return self.features(x).deep

    def suspicion(self, x: Tensor) -> Tensor:
        """The score less the limit `(n,)`: above 0 where the alarm is raised."""
        features = self.features(x)
        if self.follower is None:
            return self.score(features) - self.limit
        soft = self.follower(features.deep)
        return self.score(features).detach() - self.limit + soft - soft.detach()

    def score(self, features: Features) -> Tensor:
        """The detector's own, higher is more suspicious; what is no number counts as infinite."""
        found = self.fitted.score(self.fitted.detector.statistics(features))
        return torch.where(found.isnan(), torch.inf, found)

    def features(self, x: Tensor) -> Features:
        """All layers."""
        graph = torch.is_grad_enabled() and x.requires_grad
        if self._seen is not None:
            known, version, had_graph, features = self._seen
            # The same tensor may hold another image by now: its version counts what wrote to it.
            if known is x and version == x._version and had_graph == graph:
                return features
        features = self.look(x)
        self._seen = (x, x._version, graph, features)
        return features
