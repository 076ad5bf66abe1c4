"""Stored pixels to displayed ones and back: what is not changed stays, what is keeps within eps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from robust.cases.stored_pixels import Lut, Stored, Window, whole_range


def table(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


EVERY = {
    "8 bits": Stored(),
    "10 bits": Stored(10),
    "16 bits": Stored(16),
    "a window": Stored(12, view=Window(2048, 1000)),
    "a window of one value": Stored(12, view=Window(2048, 1)),
    "an exact window": Stored(12, view=Window(2048, 1000, "LINEAR_EXACT")),
    "a sigmoid": Stored(12, view=Window(2048, 1000, "SIGMOID")),
    "inverted": Stored(12, view=Window(1000, 3000), inverted=True),
    "inverted 8 bits": Stored(8, inverted=True),
    "Hounsfield": Stored(13, signed=True, intercept=-1024, view=Window(40, 400)),
    "a falling slope": Stored(10, slope=-2, intercept=7, view=Window(-1000, 900)),
    "no window": Stored(10, signed=True, slope=3),
    "a modality table": Stored(8, modality=Lut(10, 12, table(*range(0, 4000, 40)))),
    "a table": Stored(8, view=Lut(0, 8, table(*(round(255 * (k / 255) ** 2) for k in range(256))))),
    "a table that turns": Stored(8, view=Lut(0, 8, table(*(abs(2 * k - 255) for k in range(256))))),
}
each = pytest.mark.parametrize("stored", EVERY.values(), ids=EVERY.keys())


def some(stored: Stored, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.integers(stored.low, stored.low + stored.levels + 1, (37, 29))
    return stored.cast(values)


@each
def test_what_is_not_changed_keeps_its_stored_value(stored: Stored) -> None:
    pixels = some(stored)
    found = stored.pixels(stored.image(pixels), pixels)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@each
@pytest.mark.parametrize("eps", [0.5 / 255, 4 / 255, 0.3])
def test_what_is_changed_keeps_within_eps_and_comes_nearest(stored: Stored, eps: float) -> None:
    pixels, rng = some(stored), np.random.default_rng(1)
    clean = stored.image(pixels)
    noise = torch.from_numpy(rng.uniform(-eps, eps, clean.shape).astype(np.float32))
    wanted = (clean + noise).clamp(0, 1)
    shown = stored.image(stored.pixels(wanted, pixels, eps)).double()
    assert float((shown - clean.double()).abs().max()) <= eps + 2e-7
    shades = stored.table().astype(np.float64)
    for y, x, z in zip(wanted.flatten()[:200], clean.flatten(), shown.flatten()):
        allowed = shades[np.abs(shades - float(x)) <= eps]
        assert abs(float(z) - float(y)) <= np.abs(allowed - float(y)).min() + 2e-7


@each
def test_of_equal_shades_the_nearest_value_is_taken(stored: Stored) -> None:
    pixels, shades = some(stored), stored.table()
    target = shades[some(stored, 5).astype(np.int64) - stored.low]
    found = stored.pixels(torch.from_numpy(target)[None], pixels)
    np.testing.assert_array_equal(stored.image(found)[0].numpy(), target)
    for old, new, shade in zip(pixels.flat, found.flat, target.flat):
        alike = np.nonzero(shades == shade)[0] + stored.low
        assert abs(int(new) - int(old)) == np.abs(alike - int(old)).min()


@each
def test_images_lie_in_the_unit_interval_and_steps_are_the_largest(stored: Stored) -> None:
    every = stored.cast(np.arange(stored.levels + 1)[None] + stored.low)
    image = stored.image(every)
    assert image.dtype == torch.float32 and image.shape == (1, *every.shape)
    assert float(image.min()) >= 0 and float(image.max()) <= 1
    assert stored.step == pytest.approx(float(image.double().diff().abs().max()), abs=2e-7)


def test_windows_by_their_formulas() -> None:
    values = np.array([-1e9, 0, 49, 50, 50.5, 99, 100, 1e9])
    # PS3.3 C.11.2.1.2.1: x <= c - 0.5 - (w - 1)/2 is black, x > c - 0.5 + (w - 1)/2 white.
    np.testing.assert_allclose(
        Window(50, 100)(values), [0, 0, 49 / 99, 50 / 99, 50.5 / 99, 1, 1, 1], atol=1e-12
    )
    np.testing.assert_allclose(
        Window(50, 100, "LINEAR_EXACT")(values), [0, 0, 0.49, 0.5, 0.505, 0.99, 1, 1], atol=1e-12
    )
    wanted = [1 / (1 + math.exp(min(700, -4 * (v - 50) / 100))) for v in values]
    np.testing.assert_allclose(Window(50, 100, "SIGMOID")(values), wanted, atol=1e-12)
    assert Window(50, 1)(np.array([49.4, 49.5, 50.0])).tolist() == [0, 0, 1]
    assert whole_range(7, 7)(np.array([7.0])).tolist() == [0]


def test_a_grey_level_of_a_window_is_as_large_as_it_is_shown() -> None:
    assert Stored(12, view=Window(2048, 401)).step == pytest.approx(1 / 400)
    assert Stored(12, view=Window(0, 401), slope=2).step == pytest.approx(2 / 400)
    assert Stored(16).step == pytest.approx(1 / 65535)


def test_without_the_original_the_value_next_to_the_window_is_taken() -> None:
    stored = Stored(12, view=Window(2048.5, 1001))
    black, white = stored.pixels(torch.tensor([[[0.0, 1.0]]]))[0]
    assert (black, white) == (1548, 2548)


def test_colours_go_back_as_they_came() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    stored = Stored(8)
    image = stored.image(pixels)
    assert image.shape == (3, 5, 4)
    np.testing.assert_array_equal(stored.pixels(image), pixels)
    np.testing.assert_array_equal(stored.pixels(image + 0.4 / 255, pixels, 0.5 / 255), pixels)
    np.testing.assert_array_equal(
        stored.pixels((image + 1 / 255).clamp(0, 1), pixels, 1 / 255),
        np.minimum(pixels.astype(int) + 1, 255),
    )


@each
@pytest.mark.parametrize("eps", [0.25 / 255, 1 / 255, 0.3, math.inf])
def test_a_whole_batch_is_brought_to_what_its_files_would_show(stored: Stored, eps: float) -> None:
    files = [some(stored, seed) for seed in range(3)]
    clean = torch.stack([stored.image(pixels) for pixels in files])
    draw = torch.Generator().manual_seed(0)
    for far in (stored.step / 2, stored.step, 0.5):
        wanted = (clean + far * torch.randn(clean.shape, generator=draw).sign()).clamp(0, 1)
        found = stored.nearest(wanted, clean, eps)
        read = [stored.image(stored.pixels(x, own, eps)) for x, own in zip(wanted, files)]
        assert torch.equal(found, torch.stack(read))
