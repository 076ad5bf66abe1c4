"""LID against the paper's formula, closed forms, manifolds and scikit-dimension."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from detectors import LID, Features, Reference
from detectors.lid import lid_mle, lid_tle
from tests.detectors import draws
from tests.detectors.gaussians import draw


def plain_lid(x: np.ndarray, points: np.ndarray, k: int) -> np.ndarray:  # type: ignore[type-arg]
    """The paper's formula as it stands there."""
    found = []
    for row in x:
        r = np.sort(np.linalg.norm(points - row, axis=1))[:k]
        found.append(-1 / np.mean(np.log(r / r[-1])))
    return np.array(found)


def test_lid_is_the_formula_of_the_paper() -> None:
    reference, labels = draw(100)
    new, _ = draw(50, seed=1)
    detector = LID(k=20, batch=100).fit(Reference(reference, labels))
    found = detector.statistics(new).numpy()
    for place, name in enumerate(("early", "deep")):
        wanted = plain_lid(new.layers[name].numpy(), reference.layers[name].numpy(), 20)
        np.testing.assert_allclose(found[:, place], wanted, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 5, 20])
def test_lid_of_distances_that_follow_a_power_law(d: int) -> None:
    k = 20
    uniform = torch.rand(
        100_000, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    distances = (uniform ** (1 / d)).sort(1).values
    assert float(lid_mle(distances).mean()) == pytest.approx(k * d / (k - 2), rel=0.03)


def manifold(d: int, n: int, ambient: int = 40) -> Tensor:
    """A curved d-dimensional surface in many dimensions."""
    g = torch.Generator().manual_seed(d)
    flat = torch.rand(n, d, generator=g, dtype=torch.float64)
    mix = torch.randn(d, ambient, generator=g, dtype=torch.float64)
    line = flat @ mix
    return torch.cat([line, 0.1 * line.square()], 1)


@pytest.mark.parametrize("estimator", ["mle", "tle"])
def test_lid_finds_the_dimension_of_a_manifold(estimator: str) -> None:
    k, found = 20, {}
    for d in (1, 5, 20):
        points = manifold(d, 2500)
        labels = torch.arange(2500) % 2
        features = Features(torch.zeros(2500, 2, dtype=torch.float64), {"deep": points})
        detector = LID(k=k, batch=2000, estimator=estimator)  # type: ignore[arg-type]
        learned = detector.learn(Reference(features, labels))
        some = features.take(torch.arange(0, 2500, 5))
        found[d] = float(detector.measure(some, learned, skip_nearest=True)[:, 0].median())
    bias = k / (k - 2) if estimator == "mle" else 1.0
    assert found[1] == pytest.approx(bias, rel=0.15)
    assert found[5] == pytest.approx(5 * bias, rel=0.15)
    assert found[20] > 1.5 * found[5] > found[1]


def test_tle_is_that_of_scikit_dimension() -> None:
    """The case by case numbers of its released code, where that is installed."""
    skdim = pytest.importorskip("skdim.id", reason="pip install scikit-dimension")
    x = np.random.default_rng(0).normal(size=(200, 6))
    points = torch.from_numpy(x)
    distances, index = torch.cdist(points, points).topk(21, largest=False)
    near = index[:, 1:]
    between = torch.cdist(points, points)[near[:, :, None], near[:, None, :]]
    ours = lid_tle(distances[:, 1:], between).numpy()
    theirs = [
        skdim.TLE()._idtle(x[rows], d[None])
        for rows, d in zip(near.numpy(), distances[:, 1:].numpy(), strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_tight_estimator_in_a_case_done_by_hand() -> None:
    """Neighbours at 1 and 2 on one line: measurements 2/3 twice, 1 and mirror images."""
    distances = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    between = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    r = 2.0

    def reach(u: float, w: float, v2: float) -> float:
        a = u * u + v2 - w * w
        if u == r:
            return r * v2 / (r * r + v2 - w * w)
        return r * (math.sqrt(a * a + 4 * v2 * (r * r - u * u)) - a) / (2 * (r * r - u * u))

    logs = sum(
        math.log(reach(u, w, v2) / r)
        for u, w in ((1, 2), (2, 1))
        for v2 in (1.0, 2 * u * u + 2 * w * w - 1.0)
    )
    wanted = -2 * 4 / (logs + 2 * math.log(1 / 2))
    assert float(lid_tle(distances, between)) == pytest.approx(wanted)


def test_too_many_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="k = 100 neighbours out of a batch of 100"):
        LID(k=100).fit(draws.reference())
