"""The distance to the local hyperplane on planes and a circle that are known, and its penalty."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from detectors import Features, ManifoldDistance, Reference
from detectors.manifold.manifold_distance import hyperplane_distance


def distances(points: Tensor, x: Tensor, **fields: float) -> Tensor:
    labels = torch.arange(len(points)) % 2
    detector = ManifoldDistance(**fields)  # type: ignore[arg-type]
    known = Features(torch.zeros(len(points), 2), {"only": points})
    fitted = detector.fit(Reference(known, labels))
    return fitted.statistics(Features(torch.zeros(len(x), 2), {"only": x}))[:, 0]


def test_the_distance_from_a_plane_is_exact() -> None:
    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(9, 9, generator=g, dtype=torch.float64)).Q
    points = 5 + torch.randn(300, 3, generator=g, dtype=torch.float64) @ basis[:, :3].T
    height = torch.linspace(0.01, 4, 40, dtype=torch.float64)
    foot = torch.randn(40, 3, generator=g, dtype=torch.float64) @ basis[:, :3].T
    x = 5 + foot + height[:, None] * basis[:, 5]
    found = distances(points, x, k=12, penalty=0.0)
    assert torch.allclose(found, height, rtol=1e-6)


def test_the_distance_from_a_circle_is_that_from_its_chord() -> None:
    """Two neighbours of a point on their bisector: the chord lies cos(half angle) from the centre."""
    n = 400
    angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n
    points = torch.stack([angle.cos(), angle.sin()], 1)
    radius = torch.linspace(1.05, 2, 30, dtype=torch.float64)
    middle = angle[:30] + math.pi / n
    x = radius[:, None] * torch.stack([middle.cos(), middle.sin()], 1)
    found = distances(points, x, k=2, penalty=0.0)
    assert torch.allclose(found, radius - math.cos(math.pi / n), rtol=1e-6)
    assert float((found - (radius - 1)).abs().amax()) < 1e-4


def test_it_is_the_least_of_its_formula() -> None:
    """Against the minimum as least squares finds it."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(5, 7, generator=g, dtype=torch.float64)
    near = torch.randn(5, 4, 7, generator=g, dtype=torch.float64)
    found = hyperplane_distance(x, near, 0.3)
    for row in range(5):
        mean = near[row].mean(0)
        spread = (near[row] - mean).T
        cost = 0.3 * float(spread.square().sum() / 4)
        wide = torch.cat([spread, math.sqrt(cost) * torch.eye(4, dtype=torch.float64)])
        target = torch.cat([x[row] - mean, torch.zeros(4, dtype=torch.float64)])
        steps = torch.linalg.lstsq(wide, target).solution
        assert float(found[row]) == pytest.approx(float((target - wide @ steps).norm()), rel=1e-9)
    far = hyperplane_distance(x, near, 1e9)
    assert torch.allclose(far, (x - near.mean(1)).norm(dim=1), rtol=1e-6)


def test_it_needs_neighbours_and_a_penalty_that_is_none_below_zero() -> None:
    points = torch.randn(20, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="k = 20 neighbours out of 20 images"):
        distances(points, points)
    with pytest.raises(ValueError, match="must not be negative"):
        ManifoldDistance(penalty=-0.1)
