"""Resolution, exposure motion, JPEG 2000 and hair: what they keep, and what they must not."""

from __future__ import annotations

from itertools import pairwise
from math import log10

import pytest
import torch

from attacks.streams import Streams
from robust.corruptions.scanner.exposure_motion import ExposureMotion
from robust.corruptions.scanner.hair import DARK_BROWN, Hair
from robust.corruptions.scanner.jpeg2000 import Jpeg2000
from robust.corruptions.scanner.resolution import Resolution


def streams(cases: int) -> Streams:
    return Streams.of(0, range(cases), "sharpness")


@pytest.mark.parametrize("effect", [Resolution(), ExposureMotion()])
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (2, 3, 25, 33), (1, 1, 5, 16, 12)])
def test_a_constant_image_stays(effect, shape: tuple[int, ...]) -> None:
    x = torch.full(shape, 0.37, dtype=torch.float64)
    for severity in range(1, 6):
        torch.testing.assert_close(effect(x, severity, streams(shape[0])), x)


def test_a_larger_pixel_shows_the_mean_of_what_it_covers() -> None:
    """Partial volume: where the display shows the middle of a large pixel, the mean of its pixels."""
    effect = Resolution(factors=(3.0,) * 5)
    x = torch.rand(1, 1, 30, 30, generator=torch.Generator().manual_seed(0)).double()
    y = effect(x, 1, streams(1))
    means = x.unflatten(-1, (10, 3)).unflatten(-3, (10, 3)).mean((-1, -3))
    torch.testing.assert_close(y[..., 1::3, 1::3], means)


def test_thick_slices_of_a_volume_mix_neighbours() -> None:
    effect = Resolution(factors=(3.0,) * 5)
    x = torch.zeros(1, 1, 9, 9, 9, dtype=torch.float64)
    x[:, :, 3] = 0.9
    y = effect(x, 1, streams(1))
    torch.testing.assert_close(y[:, :, 4], torch.full((1, 1, 9, 9), 0.3, dtype=torch.float64))


def test_detail_finer_than_a_large_pixel_is_gone() -> None:
    x = torch.zeros(1, 1, 32, 32)
    x[..., ::2] = 1
    torch.testing.assert_close(
        Resolution()(x, 2, streams(1)), torch.full_like(x, 0.5), atol=1e-6, rtol=0
    )


def test_a_point_smears_along_the_path_and_keeps_its_light_and_place() -> None:
    effect = ExposureMotion()
    side = 101
    x = torch.zeros(12, 1, side, side, dtype=torch.float64)
    x[..., 50, 50] = 1
    y = effect(x, 5, streams(12))[:, 0]
    length = effect.paths[4] * side
    u = streams(12).uniform(torch.empty(12, 1, dtype=torch.float64)).flatten() * torch.pi
    rows = torch.arange(side, dtype=torch.float64)[:, None] - 50
    columns = torch.arange(side, dtype=torch.float64) - 50
    torch.testing.assert_close(y.sum((1, 2)), torch.ones(12, dtype=torch.float64))
    for blur, angle in zip(y, u):
        along = columns * angle.cos() + rows * angle.sin()
        across = rows * angle.cos() - columns * angle.sin()
        assert float((blur * along).sum()) == pytest.approx(0, abs=1e-9)
        assert float((blur * across).sum()) == pytest.approx(0, abs=1e-9)
        # A uniform law on the path has the variance length^2 / 12; interpolation adds up to 1/4.
        assert 0 < float((blur * along**2).sum()) - length**2 / 12 < 0.3
        assert float((blur * across**2).sum()) < 0.3


def test_an_edge_across_the_path_becomes_a_ramp() -> None:
    class Across(Streams):
        """A path along the columns."""

        def uniform(self, like):
            return torch.zeros_like(like)

    effect = ExposureMotion(paths=(0.1,) * 5)
    x = torch.zeros(1, 1, 100, 100, dtype=torch.float64)
    x[..., 50:] = 1
    y = effect(x, 1, Across(streams(1)._generators))[0, 0, 40]
    assert float(y[:44].max()) == pytest.approx(0) and float(y[56:].min()) == pytest.approx(1)
    slopes = y[46:54].diff()
    torch.testing.assert_close(slopes, torch.full_like(slopes, 0.1), atol=0.01, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_2000_has_the_loss_that_was_asked_for(channels: int) -> None:
    """Noise over a slope, which does not compress: the encoder meets its aim within 2 dB."""
    effect = Jpeg2000()
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, channels, 128, 128, generator=generator) * 0.4
    x = noise + torch.linspace(0, 0.6, 128)
    for severity, decibels in enumerate(effect.decibels, 1):
        y = effect(x, severity, streams(2))
        levels = y * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        for one, other in zip(x, y):
            found = -10 * log10(float((one - other).square().mean()))
            assert found == pytest.approx(decibels, abs=2)


def test_a_higher_severity_adds_hairs_and_moves_none() -> None:
    effect = Hair()
    x = torch.full((3, 3, 96, 96), 0.8)
    covered = [effect(x, s, streams(3)) < 0.75 for s in range(6)]
    for few, many in pairwise(covered):
        assert (few <= many).all()
    share = covered[5].float().mean()
    assert 0.02 < share < 0.5


def test_hair_is_dark_brown_thin_and_leaves_the_skin() -> None:
    effect = Hair()
    x = torch.full((2, 3, 200, 200), 0.8, dtype=torch.float64)
    y = effect(x, 1, streams(2))
    assert (y == x).float().mean() > 0.95
    assert y.min() >= 0.6 * min(DARK_BROWN)
    assert (y <= x).all()
    # Two hairs at most 0.5 + 0.5 of the side long and 1.2 % of it wide, and their soft edges.
    assert (y < x).all(1).sum((1, 2)).max() <= 2 * 1.1 * 200 * (0.012 * 200 + 2)
