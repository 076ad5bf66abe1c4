"""Noise of a low dose and of MRI: variances and spectra by the law."""

from __future__ import annotations

from itertools import pairwise
from math import exp, pi, sqrt

import pytest
import torch
from scipy.stats import rice

from attacks.streams import Streams
from robust.corruptions.scanner.ct_noise import FULL_DOSE, WINDOW, LowDoseCT
from robust.corruptions.scanner.low_dose import ATTENUATION, COUNTS, LowDose
from robust.corruptions.scanner.rician_noise import RicianNoise


def streams(cases: int) -> Streams:
    return Streams.of(0, range(cases), "noise")


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("grey", [0.3, 0.6])
def test_counts_have_the_mean_and_the_variance_of_poisson(severity: int, grey: float) -> None:
    effect = LowDose()
    x = torch.full((4, 1, 150, 150), grey, dtype=torch.float64)
    air = COUNTS * effect.fractions[severity - 1]
    counts = air * torch.exp(-ATTENUATION * effect(x, severity, streams(4)))
    expected = air * exp(-ATTENUATION * grey)
    n = counts.numel()
    assert float(counts.mean()) == pytest.approx(expected, abs=4 * sqrt(expected / n))
    # The variance of a sample variance of normal numbers is 2 variance^2 / n.
    assert float(counts.var()) == pytest.approx(expected, rel=4 * sqrt(2 / n))


def test_half_the_dose_has_twice_the_variance_and_dense_parts_more() -> None:
    effect = LowDose()
    x = torch.full((1, 1, 200, 200), 0.5, dtype=torch.float64)
    variances = [float(effect(x, s, streams(1)).var()) for s in (1, 2, 3)]
    for one, two in pairwise(variances):
        assert two / one == pytest.approx(2, rel=0.05)
    dense = effect(x + 0.2, 1, streams(1)).var()
    assert float(dense) / variances[0] == pytest.approx(exp(ATTENUATION * 0.2), rel=0.05)


def test_no_pixel_has_fewer_than_20_counts() -> None:
    """Where the normal law stands for that of Poisson."""
    assert COUNTS * min(LowDose().fractions) * exp(-ATTENUATION) > 19.9


@pytest.mark.parametrize("severity", [1, 2, 4])
def test_ct_noise_makes_up_for_the_missing_dose(severity: int) -> None:
    effect = LowDoseCT()
    x = torch.full((8, 1, 64, 64), 0.5, dtype=torch.float64)
    y = effect(x, severity, streams(8))
    total = FULL_DOSE**2 + float((y - x).var()) * WINDOW**2
    expected = FULL_DOSE**2 / effect.fractions[severity - 1]
    assert total == pytest.approx(expected, rel=0.05)


def test_ct_noise_has_the_spectrum_of_filtered_backprojection() -> None:
    """Ramp times Hann window squared, ring by ring; nothing at frequency 0."""
    x = torch.full((64, 1, 64, 64), 0.5, dtype=torch.float64)
    power = torch.fft.fft2(LowDoseCT()(x, 1, streams(64)) - x).abs().square().mean((0, 1))
    f = torch.fft.fftfreq(64, dtype=torch.float64)
    radius = (f[:, None] ** 2 + f**2).sqrt()
    law = radius * ((1 + torch.cos(2 * pi * radius)) / 2).square() * (radius < 0.5)
    power, law = power / power.sum(), law / law.sum()
    assert power[0, 0] < 1e-12
    for low in (0.02, 0.1, 0.2, 0.3, 0.4):
        ring = (radius >= low) & (radius < low + 0.08)
        assert float(power[ring].sum()) == pytest.approx(float(law[ring].sum()), rel=0.06)


@pytest.mark.parametrize("signal", [0.0, 0.1, 0.5])
def test_mri_noise_has_the_rician_law(signal: float) -> None:
    effect = RicianNoise()
    x = torch.full((4, 1, 100, 100), signal, dtype=torch.float64)
    y = effect(x, 4, streams(4))
    sigma = effect.sigmas[3]
    law = rice(signal / sigma, scale=sigma)
    assert float(y.mean()) == pytest.approx(law.mean(), abs=4 * law.std() / sqrt(y.numel()))
    assert float(y.std()) == pytest.approx(law.std(), rel=0.02)
