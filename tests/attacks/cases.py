"""What tests of attacks share: images, streams, detectors that are formulas, and quick settings."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from attacks import (
    ATTACKS,
    Attack,
    AttackFunction,
    DetectorAccess,
    Guides,
    Model,
    Streams,
    ThreatModel,
    make_attack,
)

NORMS = ("Linf", "L2", "L1", "L0")

QUICK: dict[str, dict[str, Any]] = {
    "ALMAProx": {"steps": 20, "bisections": 3},
    "CheapestPixels": {"rounds": 2, "bisections": 5, "steps": 3},
    "SEA": {"steps": 10},
    "CarliniWagnerL2": {"steps": 15, "binary_steps": 3},
    "APGD": {"steps": 25},
    "APGDL1": {"steps": 25},
    "AutoAttack": {"steps": 10, "queries": 50},
    "ConfidencePGD": {"steps": 20},
    "FAB": {"steps": 25},
    "FMN": {"steps": 40},
    "FeatureMatching": {"steps": 20},
    "HierarchicalFeatureConstraint": {"steps": 20},
    "JointPGD": {"steps": 20},
    "MinimumNormEnsemble": {"steps": 20},
    "OrthogonalPGD": {"steps": 20},
    "SelectivePGD": {"steps": 20},
    "PMA": {"steps": 20},
    "SigmaZero": {"steps": 40, "rounds": 2},
    "Square": {"queries": 100},
}
"""Fields that make a costly attack cheap enough to run a hundred times; the others keep theirs."""

EVERY = [
    (name, norm)
    for name, kind in ATTACKS.items()
    for norm in kind.norms
    if norm in NORMS and not kind().traits.dense_only
]
"""Every attack on logits `(n, k)` in each of its norms; of an image L2-slice is L2."""
EPS = {"Linf": 0.05, "L2": 0.4, "L1": 1.5, "L0": 4}


def make(name: str, norm: str) -> tuple[Attack, ThreatModel]:
    """A quick form of that attack and a threat model that fits it."""
    attack = make_attack(name, **QUICK.get(name, {}))
    return attack, ThreatModel(norm, math.inf if attack.minimum_norm else EPS[norm])


def images(n: int, channels: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images with a black border and some white, as medical ones have."""
    x = torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(n)).to(dtype)
    x[:, :, 0] = 0
    x[:, :, 1, :3] = 1
    return x


def streams(cases: int | Tensor, seed: int = 0) -> Streams:
    """One stream per case."""
    return Streams.of(seed, range(cases if isinstance(cases, int) else len(cases)))


def with_detector(
    attack: Attack, model: Model, classes: int, device: torch.device | str = "cpu"
) -> AttackFunction:
    """The attack with access to a toy detector of that model, where it can use one."""
    if not attack.traits.detector_aware:
        return attack
    aware: Any = attack
    return partial(aware, access=toy_access(model, classes, device))


def toy_access(model: Model, classes: int, device: torch.device | str = "cpu") -> DetectorAccess:
    """A detector that alarms at bright images; features are logits, the guides two of each label."""
    guides = 3 * torch.eye(classes, device=device).repeat(2, 1)
    guides[classes:] *= 2
    labels = torch.arange(2 * classes, device=device) % classes
    return DetectorAccess(
        suspicion=lambda x: x.flatten(1).mean(1) - 0.5,
        guides=Guides(model, guides, labels),
        likelihood=lambda x: model(x).log_softmax(1),
    )
