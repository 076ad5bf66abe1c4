"""Look likely in every layer (Yao et al. 2021, arXiv 2012.09501), found for medical images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks.adaptive.base import AdaptivePGD, JointEvaluation, balanced
from attacks.threat import ThreatModel


@dataclass(frozen=True)
class HierarchicalFeatureConstraint(AdaptivePGD):
    """Steps along the margin's direction and up the likelihood of the features of all layers.

    Likely is what clean images of another class look like, the likeliest of them now, or those of
    the target. It follows no detector, but one that asks whether features are usual finds that they
    are; with `suspicion` the least suspicious iterate is kept. The two directions are weighted as
    in JointPGD, where the authors weigh them by hand. Without `likelihood` this is PGD on the
    margin.
    """

    likelihood: Callable[[Tensor], Tensor] | None = field(default=None, repr=False, compare=False)
    """Images `(n, c, h, w)` to `(n, k)`: the logarithm for each class, rows apart and
    differentiable; -inf for a class of which nothing is known."""

    def direction(self, seen: JointEvaluation, threat: ThreatModel) -> Tensor:
        up = seen.gradient(seen.margin)
        if self.likelihood is None:
            return threat.steepest(up)
        likely = self.likelihood(seen.x)
        if seen.target is None:
            own = torch.nn.functional.one_hot(seen.y, likely.shape[1]).bool()
            wanted = likely.masked_fill(own, -torch.inf).amax(1)
        else:
            wanted = likely.gather(1, seen.target[:, None]).squeeze(1)
        return threat.steepest(balanced(seen, up, seen.gradient(wanted)))
