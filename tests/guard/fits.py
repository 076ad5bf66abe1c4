"""Small classifiers, plans and images, for the tests of guards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attacks import PGD, Streams, ThreatModel
from detectors import QuantizedFeatures
from robust.cases import open_cases
from robust.models import Classifier, load_classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan

PIXELS = 28
STRONG = "24/255"
"""An eps at which an attack on these networks leaves a trace in the features."""

# Without pooling these features have 784 dimensions, too many for the gamma of a pooled layer.
BITS = QuantizedFeatures(gamma=0.02)


def plan(weights: Path, network: str = "dropping", count: int = 120, **tables: Any) -> Plan:
    model = {"factory": f"tests.engine.nets:{network}", "weights": str(weights), "channels": 1}
    data = {"path": "phantom:chest_xray", "count": count, "pixels": PIXELS}
    return make_plan({"model": model, "data": data, "detection": {"passes": 4}} | tables)


def classifier(weights: Path, network: str = "dropping", **changes: Any) -> Classifier:
    made = {"channels": 1, "head": "softmax"} | changes
    return load_classifier(factory=f"tests.engine.nets:{network}", weights=weights, **made)


def phantoms(split: str = "test", count: int = 60) -> tuple[Tensor, Tensor]:
    cases = open_cases("phantom:chest_xray", split=split, count=count, pixels=PIXELS)
    return torch.stack([c.image for c in cases]), torch.tensor([c.label for c in cases])


def attacked(net: Classifier, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """PGD images that fool the network, of cases that it reads correctly."""
    right = net(x).argmax(1) == y
    x, y = x[right], y[right]
    threat = ThreatModel("Linf", eps)
    streams = Streams.of(1, [str(i) for i in range(len(x))], "test", threat)
    x_adv = PGD(steps=10)(net, x, y, threat, streams).detach()
    return x_adv[net(x_adv).argmax(1) != y]
