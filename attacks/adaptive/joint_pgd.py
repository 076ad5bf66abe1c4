"""PGD on a weighted sum of both losses: Carlini and Wagner 2017 (arXiv 1705.07263)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation, balanced
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class JointPGD(AdaptivePGD):
    """Steps up the margin and down the suspicion, each direction of length 1 before weighting.

    Use it against any differentiable detector. Each case has its own weight: every iterate that
    fools the classifier moves it towards the detector, every other one towards the classifier.
    """

    stream_name: ClassVar[str] = "JointPGD"
    prefers_large_margin: ClassVar[bool] = True

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Up the margin and down the suspicion."""
        up = current.gradient(current.margin)
        if current.suspicion is None:
            return threat.steepest(up)
        return threat.steepest(balanced(current, up, -current.gradient(current.suspicion)))
