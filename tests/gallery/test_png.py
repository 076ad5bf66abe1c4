"""Pictures: magnified differences, never cut off; reduced to a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robust.gallery.png import BUDGET, difference, picture, round_down, write_pictures


@pytest.mark.parametrize(
    ("value", "wanted"), [(1, 1), (0.99, 0.5), (127.5, 100), (255, 200), (15.9, 10), (0.5, 0.5)]
)
def test_factors_are_round(value: float, wanted: float) -> None:
    assert round_down(value) == pytest.approx(wanted)


def test_the_difference_is_taken_before_rounding_and_never_cut_off() -> None:
    x = torch.full((1, 4, 4), 0.5)
    changed, factor = difference(x + 0.1 / 255, x)
    assert changed is not None and factor == 1000
    assert np.allclose(changed, round((0.5 + 1000 * 0.1 / 255) * 255), atol=1)
    assert difference(x, x) == (None, 0.0)


def test_large_colour_pictures_are_reduced_to_the_budget(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 400, 3), np.uint8)
    image = picture(torch.from_numpy(noise).permute(2, 0, 1) / 255)
    assert image.shape == (448, 299, 3)
    side = write_pictures(tmp_path / "out", {f"{i}.png": (image, i % 2 > 0) for i in range(30)})
    sizes = [path.stat().st_size for path in (tmp_path / "out").iterdir()]
    assert len(sizes) == 30 and sum(sizes) <= BUDGET and side == 224
