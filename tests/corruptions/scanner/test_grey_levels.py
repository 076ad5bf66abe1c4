"""Fields, windows and powers: multiplicative, smooth, linear where they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import RandBiasField

from attacks.streams import Streams
from robust.corruptions.scanner.bias_field import BiasField, legendre_polynomial
from robust.corruptions.scanner.gamma import GammaShift
from robust.corruptions.scanner.vignetting import Vignetting
from robust.corruptions.scanner.window_shift import WindowShift


def streams(cases: int) -> Streams:
    return Streams.of(0, range(cases), "levels")


@pytest.mark.parametrize("space", [(20, 31), (6, 12, 9)])
def test_the_polynomial_is_that_of_monai(space: tuple[int, ...]) -> None:
    """In 3-D; MONAI's 2-D field has products up to x^3 y^3, so there numpy's own is compared."""
    rng = np.random.default_rng(0)
    count = 9 if len(space) == 2 else 19
    coefficients = rng.uniform(-1, 1, count)
    if len(space) == 2:
        matrix = np.zeros((4, 4))
        places = [(i, j) for i in range(4) for j in range(4) if 1 <= i + j <= 3]
        matrix[tuple(zip(*places))] = coefficients
        grids = [np.linspace(-1, 1, side, dtype=np.float32) for side in space]
        theirs = np.polynomial.legendre.leggrid2d(*grids, matrix)
    else:
        theirs = RandBiasField()._generate_random_field(space, 3, [0.0, *coefficients])
    ours = legendre_polynomial(torch.from_numpy(coefficients)[None], space)[0]
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 24, 32), (3, 2, 8, 12, 10)])
def test_a_bias_field_multiplies_and_has_the_range_of_its_level(shape: tuple[int, ...]) -> None:
    effect = BiasField()
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).double() * 0.5
    for severity in range(1, 6):
        ratio = effect(x, severity, streams(3)) / x
        field = effect.field(x, severity, streams(3))
        torch.testing.assert_close(ratio, field.expand_as(x), atol=1e-12, rtol=0)
        level = effect.levels[severity - 1]
        for case in field:
            assert float(case.min()) == pytest.approx(1 - level / 2)
            assert float(case.max()) == pytest.approx(1 + level / 2)


def test_a_bias_field_is_a_cubic() -> None:
    """Fourth differences along each axis are 0: nothing finer than degree 3."""
    x = torch.ones(2, 1, 30, 30, dtype=torch.float64)
    field = BiasField().field(x, 5, streams(2))
    for axis in (-2, -1):
        assert field.diff(n=1, dim=axis).abs().max() > 1e-3
        assert field.diff(n=4, dim=axis).abs().max() < 1e-6


def test_a_window_is_linear_inside_and_flat_outside() -> None:
    effect = WindowShift()
    x = torch.linspace(0, 1, 1001, dtype=torch.float64).expand(32, 1, 1, -1)
    for severity in (1, 3, 5):
        y = effect(x, severity, streams(32))
        factor, shift = effect.factors[severity - 1], effect.shifts[severity - 1]
        seen = set()
        for one in y[:, 0, 0]:
            inside = (one > 0) & (one < 1)
            slopes = (one.diff() / 1e-3)[inside[1:] & inside[:-1]]
            slope = float(slopes.mean())
            assert float(slopes.std()) < 1e-6
            level = float(((one - 0.5) / slope)[inside].sub(x[0, 0, 0][inside]).mean())
            seen.add((round(slope, 6), round(-level, 6)))
        assert seen == {
            (round(slope, 6), round(0.5 + side * shift, 6))
            for slope in (factor, 1 / factor)
            for side in (1, -1)
        }


def test_gamma_is_a_power_or_its_inverse() -> None:
    effect = GammaShift()
    x = torch.linspace(0, 1, 11, dtype=torch.float64).expand(16, 1, 1, -1)
    y = effect(x, 4, streams(16))[:, 0, 0]
    power = effect.powers[3]
    ends = {True: x[0, 0, 0] ** power, False: x[0, 0, 0] ** (1 / power)}
    ups = [bool(torch.allclose(one, ends[True])) for one in y]
    assert set(ups) == {True, False}
    for one, up in zip(y, ups):
        torch.testing.assert_close(one, ends[up])
    black = torch.zeros(16, 1, 2, 2, requires_grad=True)
    effect(black, 4, streams(16)).sum().backward()
    assert black.grad is not None and black.grad.isfinite().all()


def test_vignetting_is_the_cosine_to_the_fourth() -> None:
    effect = Vignetting()
    x = torch.ones(1, 1, 61, 81, dtype=torch.float64)
    for severity, corner in enumerate(effect.corners, 1):
        y = effect(x, severity, streams(1))[0, 0]
        assert float(y[30, 40]) == 1
        for row, column in ((0, 0), (0, 80), (60, 0), (60, 80)):
            assert float(y[row, column]) == pytest.approx(corner)
        # tan of the angle at the corner, then cos^4 halfway to it.
        tangent = (corner**-0.5 - 1) ** 0.5
        halfway = np.cos(np.arctan(tangent / 2)) ** 4
        assert float(y[15, 20]) == pytest.approx(halfway)
