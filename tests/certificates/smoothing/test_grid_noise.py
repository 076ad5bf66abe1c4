"""Noise on a grid: exact on displayed images, normal, and as near to it as is claimed."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from robust.certificates.smoothing import grid_noise
from robust.certificates.smoothing.grid_noise import LEVELS, deviation, noisy_images

mpmath.mp.dps = 40


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("levels", [255, 65535])
def test_images_of_8_and_16_bits_lie_on_the_grid(levels: int) -> None:
    x = (torch.arange(levels + 1, dtype=torch.float64) / levels).float().view(1, 1, -1)
    assert torch.equal(noisy_images(x, 1e-9, generator(), 1)[0], x)


def test_noisy_images_lie_on_the_grid_and_are_not_clipped() -> None:
    x = torch.rand(2, 5, 5, generator=generator(), dtype=torch.float64)
    noisy = noisy_images(x, 0.5, generator(), 50)
    assert noisy.shape == (50, 2, 5, 5) and noisy.dtype == torch.float64
    steps = noisy * LEVELS
    assert torch.equal((steps.round() / LEVELS), noisy)
    assert float(noisy.min()) < -0.5 and float(noisy.max()) > 1.5
    single = noisy_images(x.float(), 0.5, generator(), 50)
    assert single.dtype == torch.float32


def test_the_noise_is_normal() -> None:
    noisy = noisy_images(torch.full((1, 300, 300), 0.25), 0.3, generator(), 2).double()
    assert kstest((noisy.flatten() - 0.25) / 0.3, "norm").pvalue > 0.01


def test_the_draws_do_not_depend_on_how_many_are_taken_at_once() -> None:
    x, whole = torch.rand(1, 3, 3), generator()
    parts = generator()
    first = noisy_images(x, 0.25, whole, 12)
    assert torch.equal(first, torch.cat([noisy_images(x, 0.25, parts, n) for n in (5, 1, 6)]))


def test_the_inverse_is_as_exact_as_is_assumed() -> None:
    inside = torch.rand(400, generator=generator(), dtype=torch.float64)
    tails = 2.0 ** -torch.arange(1.0, 54.0, 0.5, dtype=torch.float64)
    u = torch.cat([inside, tails, 1 - tails.clamp_min(2.0**-53)])
    for p, z in zip(u.tolist(), torch.special.ndtri(u).tolist(), strict=True):
        exact = mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1)
        assert abs(z - exact) <= grid_noise._ULPS * 2**-52 * max(abs(exact), 2**-52), p


@pytest.mark.parametrize(("sigma", "pixel"), [(2e-4, 0.0), (2e-4, 1.0), (1e-3, 0.3)])
def test_no_event_is_further_from_its_probability_than_is_claimed(
    sigma: float, pixel: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which uniform draws end below each boundary, found by bisection, against exact normal noise."""
    x = torch.full((1,), pixel, dtype=torch.float64)

    def levels(numerators: Tensor) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(torch, "rand", lambda *_, **__: (numerators * 2.0**-53)[:, None])
            return (noisy_images(x, sigma, generator(), len(numerators)) * LEVELS)[:, 0].round()

    centre, reach = round(pixel * LEVELS), int(9 * sigma * LEVELS)
    boundaries = torch.arange(centre - reach, centre + reach, dtype=torch.float64)
    low = torch.zeros_like(boundaries)
    high = torch.full_like(boundaries, 2.0**53)  # first draw that ends above the boundary
    for _ in range(54):
        middle = ((low + high) / 2).floor()
        below = levels(middle.clamp_max(2.0**53 - 1)) <= boundaries
        low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
        low = torch.minimum(low, high)
    total = mpmath.mpf(0)
    for boundary, draws in zip(boundaries.tolist(), high.tolist(), strict=True):
        exact = mpmath.ncdf(
            (mpmath.mpf(boundary) + 0.5 - mpmath.mpf(pixel) * LEVELS) / (mpmath.mpf(sigma) * LEVELS)
        )
        total += abs(mpmath.mpf(draws) / 2**53 - exact)
    assert 0 < float(total) <= deviation(sigma, 1)


def test_the_deviation_hardly_costs_anything() -> None:
    assert deviation(0.25, 784) < 3e-7 and deviation(1.0, 3 * 224 * 224) < 2e-4
    assert np.isclose(deviation(0.25, 2000), 2 * deviation(0.25, 1000))
