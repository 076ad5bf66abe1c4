"""The contract of an adaptive attack: an attack that may be given access to a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from attacks.contract import Attack, Model
from attacks.streams import Streams
from attacks.threat import ThreatModel

ImageFunction = Callable[[Tensor], Tensor]
"""Of images `(n, c, h, w)`; rows do not mix, and the result is differentiable."""


@dataclass(frozen=True)
class Guides:
    """Clean images for feature matching: their features and the model's labels."""

    features: ImageFunction
    """Images to their features `(n, d)`."""
    clean: Tensor
    """Features of clean images `(m, d)`."""
    labels: Tensor
    """The labels that the model gives these `(m,)`."""


@dataclass(frozen=True)
class DetectorAccess:
    """What an attacker who knows the detector can use; each attack reads the fields it needs."""

    suspicion: ImageFunction | None = None
    """Images to `(n,)`: above 0 where the detector raises the alarm."""
    start: Tensor | None = None
    """Where the first run begins in place of the image, `(n, c, h, w)`: images that fool the
    classifier already, where gradients from the image lead nowhere."""
    guides: Guides | None = None
    """Clean images whose features an attack may match."""
    likelihood: ImageFunction | None = None
    """Images to `(n, k)`: log-likelihood of their features for each class; -inf for a class without
    clean images."""


NO_ACCESS = DetectorAccess()
"""Access of an attacker who does not know the detector."""


class AdaptiveAttack(Attack, Protocol):
    """An `Attack` on classifier and detector; without access it attacks the classifier alone.

    Its traits are `detector_aware`; `passes` does not count those of the detector.
    """

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
        *,
        access: DetectorAccess = NO_ACCESS,
    ) -> Tensor:
        """The adversarial images: they fool the classifier and are as unsuspicious as possible."""
