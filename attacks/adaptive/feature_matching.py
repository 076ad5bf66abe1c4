"""Look inside like an image of another class: Sabour et al. 2016 (arXiv 1511.05122)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class FeatureMatching(AdaptivePGD):
    """Steps towards the features of a clean guide: the nearest of another label, or of the target.

    The next restart takes the next nearest. It follows no detector, but one that looks at these
    features sees a clean image in the end; with `suspicion` the least suspicious iterate is kept.
    Without `features` this is PGD on the margin.
    """

    features: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)
    """Images `(n, c, h, w)` to `(n, d)`, rows apart and differentiable."""
    guides: Tensor | None = field(default=None, repr=False, compare=False)
    """Features of clean images `(m, d)`."""
    labels: Tensor | None = field(default=None, repr=False, compare=False)
    """What the classifier calls the guides `(m,)`."""

    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        if self.features is None or self.guides is None or self.labels is None:
            return threat.steepest(seen.gradient(seen.margin))
        own = self.features(seen.x)
        guide = nearest_guides(own.detach(), self.guides, self.labels, seen)
        return threat.steepest(-seen.gradient((own - guide).square().sum(1)))


def nearest_guides(own: Tensor, guides: Tensor, labels: Tensor, seen: JointEvaluation) -> Tensor:
    """Of each case the guide nearest to `own (n, d)` now, or by the number of the run: `(n, d)`.

    ValueError where no guide has a label that serves.
    """
    fits = labels != seen.y[:, None] if seen.target is None else labels == seen.target[:, None]
    if not bool(fits.any(1).all()):
        raise ValueError("FeatureMatching: a case has no guide of another label; add clean images")
    guides = guides.to(own)
    distance = torch.cdist(own, guides, compute_mode="donot_use_mm_for_euclid_dist")
    ranked = distance.masked_fill(~fits, torch.inf).argsort(stable=True, dim=1)
    place = (fits.sum(1) - 1).clamp_max(seen.restart)
    return guides[ranked.gather(1, place[:, None]).squeeze(1)]
