"""Selective PGD on classifier and detector: Bryniarski et al. 2021 (arXiv 2106.15023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class SelectivePGD(AdaptivePGD):
    """Raises the margin alone until the classifier is fooled, then lowers the suspicion alone.

    Use it against any differentiable detector: there is no weight to tune. Where the classifier is
    fooled and no alarm raised, it goes on lowering the suspicion.
    """

    stream_name: ClassVar[str] = "SelectivePGD"
    prefers_large_margin: ClassVar[bool] = True

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Up the margin until the classifier is fooled, then down the suspicion."""
        objective = current.margin
        if current.suspicion is not None:
            objective = torch.where(current.fooled, -current.suspicion, current.margin)
        return threat.steepest(current.gradient(objective))
