"""PSNR and SSIM against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from robust.gallery.visibility import psnr, ssim


def test_a_change_of_one_size_everywhere() -> None:
    """Of a constant image: PSNR is -20 log10 of the change, SSIM that of the means alone."""
    x = torch.full((3, 16, 20), 0.5)
    for size in (1 / 255, 0.1):
        y = x + size
        assert psnr(y, x) == pytest.approx(-20 * math.log10(size), abs=1e-4)
        means = (2 * 0.5 * (0.5 + size) + 1e-4) / (0.25 + (0.5 + size) ** 2 + 1e-4)
        assert ssim(y, x) == pytest.approx(means, abs=1e-6)


def test_an_image_against_its_negative_is_dissimilar() -> None:
    x = torch.rand((1, 32, 32), generator=torch.Generator().manual_seed(0))
    found = ssim(1 - x, x)
    assert found is not None and found < -0.5
    small = ssim((x + 0.02).clamp(0, 1), x)
    assert small is not None and 0.98 < small < 1


def test_no_number_where_there_is_no_change_or_no_window() -> None:
    x = torch.rand((1, 16, 16), generator=torch.Generator().manual_seed(0))
    assert psnr(x, x) is None and ssim(x, x) is None
    assert ssim(x[:, :10] + 0.01, x[:, :10]) is None and psnr(x[:, :10] + 0.01, x[:, :10])
