"""As sure as wished and no surer: the kappa of Carlini and Wagner 2017 (arXiv 1608.04644)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class ConfidencePGD(AdaptivePGD):
    """PGD that settles just above a margin of `kappa`: it climbs below and descends above.

    Plain PGD is sure of itself beyond what any clean image is, and detectors see that. It asks no
    detector: sweep kappa, and each is judged by what it lets pass. Kept is the image with the
    smallest margin above kappa, or with `suspicion` the least suspicious of those.
    """

    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        towards = 1 - 2 * seen.fooled.to(seen.x)
        return threat.steepest(seen.gradient(seen.margin)) * per_case(towards, seen.x)

    def worth(self, seen: JointEvaluation) -> Tensor:
        return -seen.margin if seen.suspicion is None else -seen.suspicion
