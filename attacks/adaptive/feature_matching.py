"""Feature matching to a clean guide image: Sabour et al. 2016 (arXiv 1511.05122)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.adaptive.contract import DetectorAccess
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class FeatureMatching(AdaptivePGD):
    """Steps towards the features of a clean guide: the nearest of another label, or of the target.

    Use it against detectors that read deep features: it needs no gradient of theirs. The next
    restart takes the next nearest guide. With a detector the least suspicious iterate is kept.
    Without guides this is PGD on the margin.
    """

    stream_name: ClassVar[str] = "FeatureMatching"
    prefers_large_margin: ClassVar[bool] = True

    def direction(
        self, current: JointEvaluation, threat: ThreatModel, access: DetectorAccess
    ) -> Tensor:
        """Towards the features of the guide."""
        guides = access.guides
        if guides is None:
            return threat.steepest(current.gradient(current.margin))
        features = guides.features(current.x)
        guide = nearest_guides(features.detach(), guides.clean, guides.labels, current)
        return threat.steepest(-current.gradient((features - guide).square().sum(1)))


def nearest_guides(
    features: Tensor, guides: Tensor, labels: Tensor, current: JointEvaluation
) -> Tensor:
    """For each case the guide nearest to `features (n, d)`, in later restarts the next: `(n, d)`.

    ValueError where no guide has a label that the attack may reach.
    """
    fits = (
        labels != current.y[:, None]
        if current.target is None
        else labels == current.target[:, None]
    )
    if not bool(fits.any(1).all()):
        raise ValueError("FeatureMatching: a case has no guide of another label; add clean images")
    guides = guides.to(features)
    distance = torch.cdist(features, guides, compute_mode="donot_use_mm_for_euclid_dist")
    ranked = distance.masked_fill(~fits, torch.inf).argsort(stable=True, dim=1)
    place = (fits.sum(1) - 1).clamp_max(current.restart)
    return guides[ranked.gather(1, place[:, None]).squeeze(1)]
