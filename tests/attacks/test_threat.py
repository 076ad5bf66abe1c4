"""Threat models: projection, distance, steepest direction and random images against truth."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import ThreatModel
from tests.attacks.cases import NORMS, streams

SIGNS = np.repeat([1.0, -1.0], 12)


def projection_cases(seed: int) -> tuple[Tensor, Tensor]:
    """Images with many pixels at the box, and points to project from near and far: `(40, 12)`."""
    generator = torch.Generator().manual_seed(seed)
    kw: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    x = (torch.rand(40, 1, 3, 4, **kw) * 1.6 - 0.3).clamp(0, 1)
    size = 10 ** (3 * torch.rand(40, 1, 1, 1, **kw) - 1)
    return x, x + size * torch.randn(40, 1, 3, 4, **kw)


@pytest.mark.parametrize("eps", [0.05, 0.5, 1.2, 3.0])
def test_l2_projection_is_the_nearest_point(eps: float) -> None:
    """Against the definition: p is the projection of z exactly if <z - p, v - p> <= 0 for all v.

    The v that maximises <z - p, v> over ball and box lies where the linear closed form puts it.
    """
    x, z = projection_cases(0)
    threat = ThreatModel("L2", eps)
    p = threat.project(z, x)
    assert float(threat.distance(p, x).max()) <= eps * (1 + 1e-12)
    assert float(p.min()) >= 0 and float(p.max()) <= 1
    pull = z - p
    v = _furthest(pull, x, eps)
    assert float(threat.distance(v, x).max()) <= eps * (1 + 1e-9)
    gain = (pull * (v - p)).flatten(1).sum(1)
    assert bool((gain <= 1e-9 * (1 + pull.flatten(1).norm(dim=1))).all())


def _furthest(pull: Tensor, x: Tensor, eps: float) -> Tensor:
    """The point of ball and box with the largest <pull, v>, by bisection."""
    low = torch.zeros(len(x), 1, 1, 1, dtype=x.dtype)
    high = torch.full_like(low, 1e12)
    for _ in range(300):
        middle = (low + high) / 2
        inside = ((x + middle * pull).clamp(0, 1) - x).flatten(1).norm(dim=1) <= eps
        low = torch.where(inside.view(-1, 1, 1, 1), middle, low)
        high = torch.where(inside.view(-1, 1, 1, 1), high, middle)
    return (x + low * pull).clamp(0, 1)


def test_l2_projection_against_a_quadratic_programme() -> None:
    from scipy.optimize import minimize

    x, z = projection_cases(1)
    eps = 0.7
    ours = ThreatModel("L2", eps).project(z, x).flatten(1).numpy()
    for image, point, p in zip(x.flatten(1).numpy()[:12], z.flatten(1).numpy()[:12], ours):
        found = minimize(
            lambda v, point=point: ((v - point) ** 2).sum(),
            image,
            jac=lambda v, point=point: 2 * (v - point),
            bounds=[(0, 1)] * 12,
            constraints={
                "type": "ineq",
                "fun": lambda v, image=image: eps**2 - ((v - image) ** 2).sum(),
                "jac": lambda v, image=image: -2 * (v - image),
            },
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        assert abs(found.x - p).max() < 1e-5


def test_linf_projection_is_the_nearest_point() -> None:
    """Pixel by pixel an interval: [max(0, x - eps), min(1, x + eps)]."""
    x, z = projection_cases(2)
    p = ThreatModel("Linf", 0.2).project(z, x)
    want = [
        min(max(zi, max(0, xi - 0.2)), min(1, xi + 0.2))
        for zi, xi in zip(z.flatten().tolist(), x.flatten().tolist())
    ]
    assert torch.equal(p.flatten(), torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("norm", NORMS)
def test_projection_at_the_ends(norm: str) -> None:
    x, z = projection_cases(3)
    assert torch.equal(ThreatModel(norm, 0.0).project(z, x), x)
    assert torch.equal(ThreatModel(norm, math.inf).project(z, x), z.clamp(0, 1))
    threat = ThreatModel(norm, 3 if norm == "L0" else 0.1)
    inside = threat.project(z, x)
    again = threat.project(inside, x)
    assert torch.allclose(again, inside, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", NORMS)
def test_distance(norm: str, dtype: torch.dtype) -> None:
    x = torch.zeros(2, 3, 2, 2, dtype=dtype)
    x_adv = x.clone()
    x_adv[0, 1, 0, 0], x_adv[0, 2, 1, 1] = 0.3, -0.4
    x_adv[0, 0, 1, 1] = 1e-6
    known = {"Linf": 0.4, "L2": 0.5, "L1": 0.7, "L0": 2.0}
    want = torch.tensor([known[norm], 0.0], dtype=dtype)
    assert torch.allclose(ThreatModel(norm, 1.0).distance(x_adv, x), want)


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("norm", NORMS)
def test_steepest_gains_the_dual_norm(norm: str, size: float) -> None:
    """No direction of length 1 gains more than the dual norm; float32 neither over- nor underflows."""
    gradient = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0)) * size
    gradient[3] = 0
    direction = ThreatModel(norm, 1.0).steepest(gradient)
    length = ThreatModel(norm, 1.0).distance(direction, torch.zeros_like(direction))
    assert torch.allclose(length, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    flat = gradient.double().flatten(1)
    dual = flat.norm(p={"Linf": 1, "L2": 2}.get(norm, math.inf), dim=1)
    gain = (flat * direction.double().flatten(1)).sum(1)
    assert torch.allclose(gain, dual, rtol=1e-6)


@pytest.mark.parametrize("eps", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("norm", NORMS)
def test_random_is_inside(norm: str, eps: float) -> None:
    x, _ = projection_cases(4)
    threat = ThreatModel(norm, math.ceil(eps) if norm == "L0" else eps)
    start = threat.random(x, streams(x))
    assert float(threat.distance(start, x).max()) <= threat.eps * (1 + 1e-12)
    assert float(start.min()) >= 0 and float(start.max()) <= 1
    assert not torch.equal(start, x)


def test_random_is_uniform() -> None:
    """In mid-grey the box is far: L-inf pixels are uniform, L2 radii have r^d uniform."""
    from scipy.stats import kstest

    x = torch.full((2000, 1, 1, 3), 0.5, dtype=torch.float64)
    drawn = (ThreatModel("Linf", 0.1).random(x, streams(x)) - x) / 0.2 + 0.5
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    delta = (ThreatModel("L2", 0.1).random(x, streams(x)) - x).flatten(1)
    assert kstest(((delta.norm(dim=1) / 0.1) ** 3).numpy(), "uniform").pvalue > 1e-3
    # On a sphere in three dimensions each coordinate of the direction is uniform (Archimedes).
    direction = delta / delta.norm(dim=1, keepdim=True)
    assert kstest((direction[:, 0].numpy() + 1) / 2, "uniform").pvalue > 1e-3


def test_random_in_l1_and_l0() -> None:
    """In L1 the sum has r^d uniform, and a share of it is Beta distributed; L0 draws any pixels."""
    from scipy.stats import kstest

    x = torch.full((2000, 1, 1, 3), 0.5, dtype=torch.float64)
    delta = (ThreatModel("L1", 0.1).random(x, streams(x)) - x).flatten(1)
    length = delta.abs().sum(1)
    assert kstest(((length / 0.1) ** 3).numpy(), "uniform").pvalue > 1e-3
    assert kstest((delta[:, 0].abs() / length).numpy(), "beta", (1, 2)).pvalue > 1e-3
    assert abs(float((delta > 0).double().mean()) - 0.5) < 0.03
    drawn = ThreatModel("L0", 1).random(x, streams(x))
    moved = (drawn != x).flatten(1)
    assert bool((moved.sum(1) == 1).all())
    assert abs(moved.double().mean(0) - 1 / 3).max() < 0.04
    assert kstest(drawn[moved.view_as(x)].numpy(), "uniform").pvalue > 1e-3


def test_l1_projection_against_a_quadratic_programme() -> None:
    """As two parts of the change, up and down, whose sum is bounded: smooth, solved by SLSQP."""
    from scipy.optimize import minimize

    x, z = projection_cases(1)
    for eps in (0.3, 1.4):
        ours = ThreatModel("L1", eps).project(z, x).flatten(1).numpy()
        assert abs(ours - x.flatten(1).numpy()).sum(1).max() <= eps * (1 + 1e-12)
        for image, point, p in zip(x.flatten(1).numpy()[:6], z.flatten(1).numpy()[:6], ours):
            to = point - image
            found = minimize(
                lambda v, to=to: ((v[:12] - v[12:] - to) ** 2).sum(),
                [0.0] * 24,
                jac=lambda v, to=to: np.tile(2 * (v[:12] - v[12:] - to), 2) * SIGNS,
                bounds=[(0, 1 - one) for one in image] + [(0, one) for one in image],
                constraints={
                    "type": "ineq",
                    "fun": lambda v, eps=eps: eps - v.sum(),
                    "jac": lambda v: -np.ones(24),
                },
                method="SLSQP",
                options={"ftol": 1e-16, "maxiter": 1000},
            )
            assert abs(image + found.x[:12] - found.x[12:] - p).max() < 1e-6


@pytest.mark.parametrize("eps", [0.05, 0.5, 1.2, 3.0])
def test_l1_projection_is_that_of_bisection(eps: float) -> None:
    x, z = projection_cases(0)
    low, high = torch.zeros(40, 1, dtype=x.dtype), torch.full((40, 1), 1e4, dtype=x.dtype)
    step, room = (z - x).flatten(1), torch.where(z > x, 1 - x, x).flatten(1)
    for _ in range(200):
        middle = (low + high) / 2
        inside = torch.minimum((step.abs() - middle).clamp_min(0), room).sum(1, True) <= eps
        high, low = torch.where(inside, middle, high), torch.where(inside, low, middle)
    want = x + (step.sign() * torch.minimum((step.abs() - high).clamp_min(0), room)).view_as(x)
    assert torch.allclose(ThreatModel("L1", eps).project(z, x), want, rtol=0, atol=1e-9)


def test_l0_projection_is_the_nearest_of_all() -> None:
    """Against every choice of two of six pixels, each with two channels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(30, 2, 2, 3, generator=generator).double()
    z = x + torch.randn(30, 2, 2, 3, generator=generator).double()
    p = ThreatModel("L0", 2).project(z, x)
    ours = (p - z).flatten(1).square().sum(1)
    every = []
    for kept in itertools.combinations(range(6), 2):
        mask = torch.zeros(6, dtype=torch.bool)
        mask[list(kept)] = True
        point = torch.where(mask.view(1, 1, 2, 3), z.clamp(0, 1), x)
        every.append((point - z).flatten(1).square().sum(1))
    assert torch.allclose(ours, torch.stack(every).amin(0))
    assert bool((ThreatModel("L0", 2).distance(p, x) <= 2).all())


def volumes(seed: int) -> tuple[Tensor, Tensor]:
    """Volumes of four slices with many voxels at the box, and points far away: `(5, 2, 4, 2, 3)`."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(5, 2, 4, 2, 3, generator=generator).double() * 1.6 - 0.3).clamp(0, 1)
    size = 10 ** (3 * torch.rand(5, 1, 4, 1, 1, generator=generator).double() - 1)
    return x, x + size * torch.randn(x.shape, generator=generator).double()


def slices(volume: Tensor) -> Tensor:
    """Each slice as an image: `(20, 2, 2, 3)`."""
    return torch.cat([volume[i].transpose(0, 1) for i in range(len(volume))])


@pytest.mark.parametrize("eps", [0.1, 0.8])
def test_each_slice_has_a_budget_of_its_own(eps: float) -> None:
    """What L2 does to images L2-slice does to the slices of a volume."""
    x, z = volumes(0)
    whole, own = ThreatModel("L2-slice", eps), ThreatModel("L2", eps)
    projected = whole.project(z, x)
    assert torch.equal(slices(projected), own.project(slices(z), slices(x)))
    assert torch.equal(slices(whole.steepest(z)), own.steepest(slices(z)))
    distance = own.distance(slices(z), slices(x)).view(5, 4)
    assert torch.equal(whole.distance(z, x), distance.amax(1))
    start = whole.random(x, streams(x))
    assert float(whole.distance(start, x).max()) <= eps * (1 + 1e-12)
    moved = own.distance(slices(start), slices(x))
    assert len(set(moved.tolist())) > 10, "each slice draws its own distance"
    alone = whole.random(x[2:3], streams(x)[[2]])
    assert torch.equal(alone, start[2:3])


def test_of_an_image_and_of_one_slice_it_is_l2() -> None:
    x, z = volumes(1)
    for one, other in ((x[:, :, 0], z[:, :, 0]), (x[:, :, :1], z[:, :, :1])):
        whole, own = ThreatModel("L2-slice", 0.3), ThreatModel("L2", 0.3)
        assert torch.equal(whole.project(other, one), own.project(other, one))
        assert torch.equal(whole.distance(other, one), own.distance(other, one))
        assert torch.equal(whole.random(one, streams(5)), own.random(one, streams(5)))
    assert whole.distance(x[:0], x[:0]).shape == (0,)


def test_random_volumes_are_uniform_in_each_slice() -> None:
    """In mid-grey the box is far: a slice of d voxels has r^d uniform."""
    from scipy.stats import kstest

    x = torch.full((700, 1, 3, 1, 2), 0.5, dtype=torch.float64)
    delta = ThreatModel("L2-slice", 0.1).random(x, streams(x)) - x
    radius = torch.linalg.vector_norm(delta, dim=(1, 3, 4))
    assert kstest(((radius / 0.1) ** 2).flatten(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("norm", "eps"), [("L3", 0.1), ("Linf", -0.1), ("L2", math.nan), ("L0", 1.5)]
)
def test_threat_models_that_make_no_sense(norm: str, eps: float) -> None:
    with pytest.raises(ValueError, match=r"norm|eps"):
        ThreatModel(norm, eps)


def test_no_uniform_draw_without_a_bound() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="eps"):
        ThreatModel("L2", math.inf).random(x, streams(x))
