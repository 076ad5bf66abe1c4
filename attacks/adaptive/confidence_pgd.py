"""PGD to a fixed confidence kappa: Carlini and Wagner 2017 (arXiv 1608.04644)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class ConfidencePGD(AdaptivePGD):
    """PGD that settles just above a margin of `kappa`: it climbs below and descends above.

    Use it with several kappa against any detector: the images of plain PGD have larger margins than
    any clean image, which detectors notice. It uses no gradient of the detector. The result is the
    image with the smallest margin above kappa, or with a detector the least suspicious of those.
    """

    stream_name: ClassVar[str] = "KappaPGD"
    prefers_large_margin: ClassVar[bool] = False

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Up the margin below kappa, down above it."""
        towards = 1 - 2 * current.fooled.to(current.x)
        return threat.steepest(current.gradient(current.margin)) * per_case(towards, current.x)
