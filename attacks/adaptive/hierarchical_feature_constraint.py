"""Hierarchical feature constraint on medical images: Yao et al. 2021 (arXiv 2012.09501)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation, balanced
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class HierarchicalFeatureConstraint(AdaptivePGD):
    """Steps up the margin and up the likelihood of the features in all layers.

    Use it against detectors that ask whether features are usual: it needs no gradient of theirs.
    The likelihood is that of clean images of another class, the likeliest at present, or of the
    target. With a detector the least suspicious iterate is kept. The two directions are weighted as
    in JointPGD; the authors weigh them by hand. Without `likelihood` this is PGD on the margin.
    """

    stream_name: ClassVar[str] = "HierarchicalFeatureConstraint"
    prefers_large_margin: ClassVar[bool] = True

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Up the margin and up the likelihood."""
        up = current.gradient(current.margin)
        if access.likelihood is None:
            return threat.steepest(up)
        likelihood = access.likelihood(current.x)
        if current.target is None:
            is_label = torch.nn.functional.one_hot(current.y, likelihood.shape[1]).bool()
            chosen = likelihood.masked_fill(is_label, -torch.inf).amax(1)
        else:
            chosen = likelihood.gather(1, current.target[:, None]).squeeze(1)
        return threat.steepest(balanced(current, up, current.gradient(chosen)))
