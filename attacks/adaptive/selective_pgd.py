"""Selective PGD, Bryniarski et al. 2021 (arXiv 2106.15023): step on the constraint in breach."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class SelectivePGD(AdaptivePGD):
    """Climbs the margin alone until the classifier is fooled, then lowers the suspicion alone.

    Where neither is in breach it goes on lowering the suspicion, below the alarm.
    """

    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        wanted = seen.margin
        if seen.suspicion is not None:
            wanted = torch.where(seen.fooled, -seen.suspicion, seen.margin)
        return threat.steepest(seen.gradient(wanted))
