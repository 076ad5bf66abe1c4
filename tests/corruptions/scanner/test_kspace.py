"""MRI's k-space: known places and amplitudes of ghosts, rings, stripes and shifted objects."""

from __future__ import annotations

from math import pi

import pytest
import torch
from monai.transforms import GibbsNoise, KSpaceSpikeNoise

from attacks.streams import Streams
from robust.corruptions.scanner.draws import case_draws
from robust.corruptions.scanner.kspace.ghosting import FARTHEST, NEAREST, Ghosting
from robust.corruptions.scanner.kspace.gibbs_ringing import GibbsRinging
from robust.corruptions.scanner.kspace.patient_motion import MOVEMENTS, PatientMotion
from robust.corruptions.scanner.kspace.spectrum import line_numbers
from robust.corruptions.scanner.kspace.spike import KSpaceSpike, stripes


def streams(cases: int) -> Streams:
    return Streams.of(0, range(cases), "kspace")


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_a_point_has_two_ghosts_at_the_drawn_shift_with_the_amplitude(severity: int) -> None:
    # 1000 lines: a shift to a thousandth of the field of view is one of whole lines.
    x = torch.zeros(3, 1, 1000, 5, dtype=torch.float64)
    x[:, :, 500, 2] = 0.5
    where, _ = case_draws(x, 2, streams(3))
    shift = NEAREST + (FARTHEST - NEAREST) * where.flatten()

    class Whole(Streams):
        """Draws that give whole lines."""

        def uniform(self, like):
            drawn = super().uniform(like)
            lines = ((NEAREST + (FARTHEST - NEAREST) * drawn[:, 0]) * 1000).round()
            drawn[:, 0] = (lines / 1000 - NEAREST) / (FARTHEST - NEAREST)
            return drawn

    effect = Ghosting()
    y = effect(x, severity, Whole(streams(3)._generators))
    ghost = 0.5 * effect.amplitudes[severity - 1]
    for case in range(3):
        lines = round(float(shift[case]) * 1000)
        expected = torch.zeros(1000, 5, dtype=torch.float64)
        expected[500, 2] = 0.5
        expected[500 + lines, 2] = expected[500 - lines, 2] = ghost
        # The shift is drawn in float32.
        torch.testing.assert_close(y[case, 0], expected, atol=2e-4, rtol=0)


def test_an_object_that_moves_once_is_the_sum_of_both_places() -> None:
    """Magnetisation read before and after: the masked spectra of the two shifted images."""
    effect = PatientMotion()
    x = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)).double()
    u = torch.cat(case_draws(x, 3 * MOVEMENTS, streams(1)), -1).flatten()
    times = 0.3 + 0.4 * u[:MOVEMENTS].sort().values
    steps = (2 * u[MOVEMENTS:] - 1).view(2, MOVEMENTS)
    places = torch.cat([torch.zeros(2, 1), steps.cumsum(1)], 1) * effect.reach[4]
    part = (times[None] < (line_numbers(x) / 24 + 0.5)).sum(1)
    places = places - places[:, part[0], None]
    total = torch.zeros(24, 24, dtype=torch.complex128)
    k = torch.fft.fftfreq(24, 1 / 24).double()
    for number in range(MOVEMENTS + 1):
        down, right = places[:, number]
        moved = torch.fft.fft2(x[0, 0]) * torch.exp(-2j * pi * (k[:, None] * down + k * right))
        total += moved * (part == number)[:, None]
    expected = torch.fft.ifft2(total).abs().clamp(0, 1)
    torch.testing.assert_close(effect(x, 5, streams(1))[0, 0], expected, atol=1e-9, rtol=0)


def test_motion_leaves_the_image_in_place() -> None:
    """The mean and the centre of mass of an object stay where they are, to a hundredth of the side."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    x = (((rows - 30) ** 2 + (columns - 34) ** 2) < 100).double().mul(0.6).expand(16, 1, 64, 64)
    y = PatientMotion()(x, 3, streams(16))
    for axis in (rows, columns):
        places = (y * axis).sum((1, 2, 3)) / y.sum((1, 2, 3))
        assert (places - (x[0, 0] * axis).sum() / x[0, 0].sum()).mean().abs() < 0.64


def test_truncation_overshoots_an_edge_by_the_gibbs_constant() -> None:
    """The partial sum of a step overshoots by 8.949 % of the jump (Wilbraham, Gibbs)."""
    x = torch.full((1, 1, 8, 4096), 0.25, dtype=torch.float64)
    x[..., 1024:3072] = 0.75
    y = GibbsRinging(kept=(0.05,) * 5)(x, 1, streams(1))
    si_pi = 1.851937051982466
    assert float(y.max()) == pytest.approx(0.75 + 0.5 * (si_pi / pi - 0.5), abs=1e-3)
    assert float(y.min()) == pytest.approx(0.25 - 0.5 * (si_pi / pi - 0.5), abs=1e-3)


def test_truncation_is_that_of_monai() -> None:
    """On odd sides: with even ones MONAI's disc lies half a point beside the centre."""
    x = 0.3 + 0.4 * torch.rand(1, 3, 41, 41, generator=torch.Generator().manual_seed(0)).double()
    kept = 0.45
    alpha = 1 - kept / 2**0.5
    ours = GibbsRinging(kept=(kept,) * 5)(x, 1, streams(1))[0]
    theirs = GibbsNoise(alpha)(x[0]).as_tensor()
    torch.testing.assert_close(ours, theirs.to(ours), atol=1e-9, rtol=0)


def test_a_spike_is_that_of_monai() -> None:
    """A point of k-space set to exp(k_intensity) adds stripes of the difference."""
    side, down, right, value = 32, 5, -3, 4.5
    x = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0)).double()
    theirs = KSpaceSpikeNoise((side // 2 + down, side // 2 + right), value)(x[0]).as_tensor()
    old = torch.fft.fft2(x[0, 0])[down, right]
    added = torch.exp(torch.tensor(value)) - old.abs() - 1e-10
    cycles = (torch.tensor(float(down)), torch.tensor(float(right)))
    wave = stripes(x, *cycles, old.angle() / (2 * pi))
    torch.testing.assert_close(
        x[0, 0] + added / side**2 * wave, theirs[0].double(), atol=2e-6, rtol=0
    )


def test_the_spectrum_of_the_stripes_is_one_point_and_its_mirror() -> None:
    x = torch.full((4, 1, 30, 40), 0.5, dtype=torch.float64)
    effect = KSpaceSpike()
    for severity in (1, 5):
        spectrum = torch.fft.fft2(effect(x, severity, streams(4)) - x).abs() / (30 * 40)
        for case in spectrum[:, 0]:
            points = case[case > 1e-9]
            assert len(points) == 2
            assert points == pytest.approx([effect.amplitudes[severity - 1] / 2] * 2)


def test_what_lies_on_the_reference_line_does_not_move() -> None:
    """Columns of one grey level lie on line 0 of k-space, which is read at the reference place."""
    x = torch.full((1, 1, 16, 16), 0.5, dtype=torch.float64)
    x = x + 0.2 * torch.cos(2 * pi * 5 * torch.arange(16, dtype=torch.float64) / 16)
    torch.testing.assert_close(PatientMotion()(x, 5, streams(1)), x)
