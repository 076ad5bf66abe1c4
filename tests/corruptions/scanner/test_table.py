"""The contract of every scanner effect: identity, range, size, neighbours, gradients."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.scanner.table import SCANNER_EFFECTS

EVERY = {one.name: one for effects in SCANNER_EFFECTS.values() for one in effects}
effects = pytest.mark.parametrize("effect", list(EVERY.values()), ids=list(EVERY))


def streams(cases: int, seed: int = 0) -> Streams:
    return Streams.of(seed, range(cases), "corruption")


@pytest.fixture(scope="module")
def smooth() -> Tensor:
    """Eight images of a bright disc with texture, 40 x 32 pixels, in colour."""
    rows = torch.linspace(-1, 1, 40)[:, None]
    columns = torch.linspace(-1, 1, 32)
    disc = torch.sigmoid(12 * (0.7 - (rows**2 + columns**2).sqrt()))
    generator = torch.Generator().manual_seed(3)
    texture = torch.rand(8, 3, 40, 32, generator=generator)
    return 0.15 + 0.5 * disc + 0.2 * texture


def test_each_modality_has_each_name_once_and_a_name_means_one_effect() -> None:
    for effects in SCANNER_EFFECTS.values():
        names = [one.name for one in effects]
        assert len(set(names)) == len(names)
        assert all(EVERY[one.name] == one for one in effects)


def test_the_site_says_which_modality_has_which_effects() -> None:
    text = (Path(__file__).parents[3] / "docs" / "corruptions.md").read_text(encoding="utf-8")
    text = text.partition("## What scanners do")[2]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines()]
    said = {
        modality: tuple(row[1].split(", "))
        for row in rows
        if len(row) == 2
        for modality in row[0].split(", ")
    }
    for modality, found in SCANNER_EFFECTS.items():
        assert said[modality] == tuple(one.name for one in found)
    described = {row[0].strip("`"): row[-1] == "yes" for row in rows if len(row) == 4}
    own = {name: one.random for name, one in EVERY.items() if one.family == "scanner"}
    assert own.items() <= described.items()


@effects
def test_severity_0_is_the_identity_to_the_bit(effect, smooth: Tensor) -> None:
    assert torch.equal(effect(smooth, 0, streams(8)), smooth)


@effects
@pytest.mark.parametrize("shape", [(2, 1, 17, 20), (2, 3, 28, 28), (2, 1, 3, 9, 8)])
def test_images_keep_shape_and_type_and_stay_in_the_box(effect, shape) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    kept = x.clone()
    for severity in (1, 5):
        y = effect(x, severity, streams(2))
        assert y.shape == x.shape and y.dtype == x.dtype
        assert y.isfinite().all() and y.min() >= 0 and y.max() <= 1
    assert torch.equal(x, kept)


@effects
def test_the_change_grows_with_the_severity(effect, smooth: Tensor) -> None:
    sizes = [(effect(smooth, s, streams(8)) - smooth).square().mean() for s in range(6)]
    assert sizes[0] == 0
    assert all(small < large for small, large in pairwise(sizes))


@effects
def test_a_case_does_not_depend_on_its_neighbours(effect, smooth: Tensor) -> None:
    together = effect(smooth, 3, streams(8))
    alone = effect(smooth[5:6], 3, streams(8)[[5]])
    torch.testing.assert_close(together[5:6], alone, atol=1e-6, rtol=0)
    assert torch.equal(together, effect(smooth, 3, streams(8)))
    another = effect(smooth, 3, streams(8, seed=1))
    assert torch.equal(together, another) is not effect.random


@effects
def test_a_grey_image_saved_as_colour_stays_grey(effect, smooth: Tensor) -> None:
    if effect.name == "hair":
        pytest.skip("hair is brown")
    y = effect(smooth[:2, :1].expand(-1, 3, -1, -1), 4, streams(2))
    # A codec's colour transform rounds.
    assert (y - y[:, :1]).abs().max() <= (1.01 / 255 if effect.name == "jpeg2000" else 1e-6)


@effects
def test_gradients_agree_with_finite_differences(effect, smooth: Tensor) -> None:
    x = (0.3 + 0.5 * smooth[:2, :, :9, :8].double()).requires_grad_(effect.differentiable)
    y = effect(x, 2, streams(2))
    assert y.requires_grad is effect.differentiable
    if not effect.differentiable:
        return
    generator = torch.Generator().manual_seed(1)
    weights, along = (torch.randn(x.shape, generator=generator).double() for _ in "ab")
    (slope,) = torch.autograd.grad((y * weights).sum(), x)
    h = 1e-6
    with torch.no_grad():
        ahead, behind = (effect(x + step * along, 2, streams(2)) for step in (h, -h))
    measured = ((ahead - behind) * weights).sum() / (2 * h)
    torch.testing.assert_close((slope * along).sum(), measured, rtol=1e-5, atol=1e-7)
