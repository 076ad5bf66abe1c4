"""Random starts in L2 reach the inside of the ball."""

from __future__ import annotations

import torch

from attacks import ThreatModel
from attacks._starts import random_start
from tests.attacks.cases import streams
from tests.attacks.test_threat import projection_cases


def test_random_starts_in_l2_are_not_all_on_the_sphere() -> None:
    """Uniform in direction and, up to half of the ball, in distance; inside ball and box."""
    from scipy.stats import kstest

    x = torch.full((500, 1, 8, 8), 0.5, dtype=torch.float64)
    threat = ThreatModel("L2", 0.3)
    radius = threat.distance(random_start(x, threat, streams(x)), x)
    assert kstest((radius / 0.15).numpy(), "uniform").pvalue > 1e-3
    x, _ = projection_cases(5)
    start = random_start(x, threat, streams(x))
    assert float(threat.distance(start, x).max()) <= 0.15 * (1 + 1e-12)
    assert float(start.min()) >= 0 and float(start.max()) <= 1
    linf = ThreatModel("Linf", 0.3)
    assert torch.equal(random_start(x, linf, streams(x)), linf.random(x, streams(x)))
