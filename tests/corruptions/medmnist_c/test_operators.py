"""Operators of MedMNIST-C against closed forms and the standard library."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image

from robust.corruptions.channels import luma
from robust.corruptions.medmnist_c.blur.convolution import correlate
from robust.corruptions.medmnist_c.blur.gaussian_blur import GaussianBlur
from robust.corruptions.medmnist_c.blur.motion_blur import motion_blurred
from robust.corruptions.medmnist_c.colour.saturate import Saturate
from robust.corruptions.medmnist_c.digital.pixelate import Pixelate
from robust.corruptions.medmnist_c.noise.shot_noise import ShotNoise
from tests.corruptions.medmnist_c.images import streams


def test_a_point_moves_along_half_a_gaussian_on_whole_pixels() -> None:
    x = torch.zeros(3, 1, 41, 41)
    x[:, :, 20, 20] = 1
    angles = torch.tensor([0.0, 45.0, -90.0])
    blurred = motion_blurred(x, 4, 3.0, angles)
    weights = torch.exp(-(torch.arange(9) ** 2) / 18.0)
    weights /= weights.sum()
    # The pixels that look ahead to the point lie behind it.
    assert torch.allclose(blurred[0, 0, 20, 12:21].flip(0), weights, atol=1e-6)
    assert torch.allclose(blurred[2, 0, 20:29, 20], weights, atol=1e-6)
    steps = torch.ceil(torch.arange(9) * 2**-0.5 - 0.5).long()
    expected = torch.zeros(41, 41).index_put_((20 - steps, 20 - steps), weights, accumulate=True)
    assert torch.allclose(blurred[1, 0], expected, atol=1e-6)


@pytest.mark.parametrize("border", ["reflect", "replicate"])
def test_correlation_is_the_sum_over_the_kernel_also_where_images_are_narrow(border) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 4, 7, generator=generator, dtype=torch.float64)
    kernels = torch.rand(2, 11, 5, generator=generator, dtype=torch.float64)
    mode = "reflect" if border == "reflect" else "edge"
    wide = np.pad(x.numpy(), ((0, 0), (0, 0), (6, 4), (1, 3)), mode=mode)
    expected = np.zeros(x.shape)
    for row, column in np.ndindex(11, 5):
        weight = kernels[:, row, column].numpy()[:, None, None, None]
        expected += weight * wide[:, :, row : row + 4, column : column + 7]
    assert np.allclose(correlate(x, kernels, (6, 1), border), expected, atol=1e-12)
    assert np.allclose(correlate(x[:1], kernels[0], (6, 1), border), expected[:1], atol=1e-12)


def test_the_gaussian_has_the_sigma_of_its_size() -> None:
    x = torch.zeros(1, 1, 81, 81, dtype=torch.float64)
    x[..., 40, 40] = 1
    blurred = GaussianBlur("", (25,) * 5)(x, 1, streams(1))[0, 0]
    line = blurred.sum(0)
    assert line.sum() == pytest.approx(1)
    ratio = float(torch.log(line[40] / line[45]))
    assert ratio == pytest.approx(25 / (2 * (0.15 * 25 + 0.35) ** 2))


def test_saturation_is_that_of_the_standard_library() -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(60, 3, generator=generator, dtype=torch.float64)
    colours[:3] = torch.tensor([[0.4, 0.4, 0.4], [0.0, 0.0, 0.0], [1.0, 0.0, 0.2]])
    done = Saturate("", (0.3,) * 5)(colours.T.reshape(1, 3, 6, 10), 1, streams(1))
    for given, got in zip(colours.tolist(), done.reshape(3, -1).T.tolist()):
        hue, saturation, value = colorsys.rgb_to_hsv(*given)
        expected = colorsys.hsv_to_rgb(hue, min(saturation + 0.3, 1), value)
        assert got == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("factor", [0.8, 0.47, 0.1])
@pytest.mark.parametrize("size", [(28, 28), (31, 17)])
def test_pixels_are_blocks_of_pillows_box_filter(factor: float, size: tuple[int, int]) -> None:
    x = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    done = Pixelate("", (factor,) * 5)(x, 1, streams(1))
    image = Image.fromarray(x[0, 0].numpy())
    small = image.resize((int(size[1] * factor), int(size[0] * factor)), Image.Resampling.BOX)
    back = np.asarray(small.resize(image.size, Image.Resampling.BOX))
    assert np.allclose(done[0, 0].numpy(), back, atol=1e-5)


def test_shot_noise_has_mean_and_variance_of_photons() -> None:
    x = torch.full((1, 3, 200, 200), 0.25)
    done = ShotNoise("", (80,) * 5)(x, 1, streams(1))
    count = done.numel()
    variance = 0.25 / 80
    assert abs(float(done.mean()) - 0.25) < 4 * (variance / count) ** 0.5
    assert float(done.var()) == pytest.approx(variance, rel=4 * (2 / count) ** 0.5)
    assert torch.allclose(done * 80, (done * 80).round(), atol=1e-4)


def test_three_equal_channels_have_their_brightness_to_the_bit() -> None:
    grey = torch.rand(4, 1, 9, 9)
    assert torch.equal(luma(grey.expand(-1, 3, -1, -1)), grey)
    red = torch.zeros(1, 3, 1, 1)
    red[0, 0] = 1
    assert float(luma(red)) == pytest.approx(0.299)
