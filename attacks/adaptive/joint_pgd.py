"""One objective: fool the classifier, stay unseen (Carlini and Wagner 2017, arXiv 1705.07263)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.evading import Evading, Seen
from attacks.threat import ThreatModel, per_case

RATE, REACH = 0.5, 6.0
"""How fast the weight follows, and how far: at its ends one side has a share of 1 in 20."""


@dataclass(frozen=True)
class JointPGD(Evading):
    """Steps along the margin's direction less the suspicion's, each of length 1 before weighting.

    The weight is each case's own: every look at which the classifier is fooled moves it towards
    the detector, every other one towards the classifier.
    """

    def direction(self, seen: Seen, threat: ThreatModel) -> Tensor:
        up = seen.gradient(seen.margin)
        if seen.suspicion is None:
            return threat.steepest(up)
        return threat.steepest(balanced(seen, up, -seen.gradient(seen.suspicion)))


def balanced(seen: Seen, fooling: Tensor, hiding: Tensor) -> Tensor:
    """Two directions `(n, c, h, w)` as one: each of length 1, and hiding weighs more the longer the
    classifier was fooled.
    """
    weight = (RATE * seen.balance.clamp(-REACH, REACH)).sigmoid()
    unit = ThreatModel("L2", 1.0).steepest
    return torch.lerp(unit(fooling), unit(hiding), per_case(weight, fooling))
