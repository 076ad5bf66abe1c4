"""One objective: fool the classifier, stay unseen (Carlini and Wagner 2017, arXiv 1705.07263)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation, balanced
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class JointPGD(AdaptivePGD):
    """Steps along the margin's direction less the suspicion's, each of length 1 before weighting.

    The weight is each case's own: every look at which the classifier is fooled moves it towards
    the detector, every other one towards the classifier.
    """

    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        up = seen.gradient(seen.margin)
        if seen.suspicion is None:
            return threat.steepest(up)
        return threat.steepest(balanced(seen, up, -seen.gradient(seen.suspicion)))
