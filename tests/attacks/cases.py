"""What tests of attacks share: images, streams, detectors that are formulas, and quick settings."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
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
    "APGD": {"steps": 15},
    "APGDL1": {"steps": 15},
    "AutoAttack": {"steps": 5, "queries": 20},
    "ConfidencePGD": {"steps": 12},
    "FAB": {"steps": 12},
    "FMN": {"steps": 25},
    "FeatureMatching": {"steps": 12},
    "HierarchicalFeatureConstraint": {"steps": 12},
    "JointPGD": {"steps": 12},
    "MinimumNormEnsemble": {"steps": 8},
    "OrthogonalPGD": {"steps": 12},
    "SelectivePGD": {"steps": 12},
    "PMA": {"steps": 12},
    "SigmaZero": {"steps": 20, "rounds": 1},
    "Square": {"queries": 80},
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


def dealt(*settings: tuple[Any, ...]) -> list[Any]:
    """Every attack in each of its norms with each setting, as `pytest.param`.

    At every change each attack meets every setting, in one of its norms in turn; the others are
    slow.
    """
    cases = []
    for name, norm in EVERY:
        own = [other for attack, other in EVERY if attack == name]
        for i, setting in enumerate(settings):
            quick = i % len(own) == own.index(norm)
            cases.append(
                pytest.param(name, norm, *setting, marks=[] if quick else pytest.mark.slow)
            )
    return cases


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
