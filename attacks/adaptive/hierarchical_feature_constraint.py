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
        self, seen: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Up the margin and up the likelihood."""
        up = seen.gradient(seen.margin)
        if access.likelihood is None:
            return threat.steepest(up)
        likely = access.likelihood(seen.x)
        if seen.target is None:
            own = torch.nn.functional.one_hot(seen.y, likely.shape[1]).bool()
            wanted = likely.masked_fill(own, -torch.inf).amax(1)
        else:
            wanted = likely.gather(1, seen.target[:, None]).squeeze(1)
        return threat.steepest(balanced(seen, up, seen.gradient(wanted)))
