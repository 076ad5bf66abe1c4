"""A variant of an image depends on seed, epoch and case alone, and stays an image of its kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robust.cases import open_cases
from robust.training.augmentation import LEAST_ERASED, MOST_ERASED, Sample, augment
from robust.training.data import Batches, Images
from robust.training.recipe import AugmentationSpec
from tests.training.tiny import cases_of, chests, classifier

EVERYTHING: dict[str, Any] = {
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "rotation": 30,
    "translate": 0.1,
    "scale": 0.2,
    "shear": 10,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
    "erase": 0.5,
}


def variant(image: Tensor, seed: int = 0, **spec: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augment(Sample(image), AugmentationSpec(**spec), generator).image


def skin(pixels: int = 48) -> Tensor:
    """A phantom of a lesion, `(3, h, w)` uint8."""
    case = open_cases("phantom:dermoscopy", count=4, pixels=pixels)[2]
    return (case.image * 255).round().to(torch.uint8)


def noise(channels: int = 3, pixels: int = 24) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (channels, pixels, pixels)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_all_off_is_the_image_itself() -> None:
    image = noise()
    assert torch.equal(variant(image), image)


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_every_switch_changes_the_picture_and_leaves_an_image(name: str) -> None:
    image = skin()
    before = image.clone()
    found = [variant(image, seed, **{name: EVERYTHING[name]}) for seed in range(8)]
    assert len({tuple(x.flatten().tolist()) for x in found}) > 1
    assert torch.equal(image, before)
    for x in found:
        assert x.dtype == torch.uint8 and x.shape == image.shape


def test_flips_are_the_ones_asked_for() -> None:
    image = noise()
    assert torch.equal(variant(image, flip_horizontal=1), image.flip(2))
    assert torch.equal(variant(image, flip_vertical=1), image.flip(1))
    found = [variant(image, seed, flip_horizontal=0.3) for seed in range(400)]
    flipped = sum(torch.equal(x, image.flip(2)) for x in found)
    assert 90 <= flipped <= 150  # 120 are expected, with a standard deviation of 9
    assert all(torch.equal(x, image) or torch.equal(x, image.flip(2)) for x in found)


def test_a_chest_is_never_upside_down() -> None:
    """All that its recipe does leaves what is above above: a ramp still falls from top to bottom."""
    from robust.training.recipe import load_recipe

    spec = load_recipe("chest-xray").augmentation
    ramp = torch.linspace(240, 10, 32)[None, :, None].expand(1, 32, 32).round().to(torch.uint8)
    for seed in range(50):
        x = augment(Sample(ramp), spec, torch.Generator().manual_seed(seed)).image.float()
        assert x[:, 8:12].mean() > x[:, 20:24].mean() + 30


@pytest.mark.parametrize(("name", "reach"), [("rotation", 20.0), ("scale", 0.25)])
def test_moves_stay_within_their_reach_and_fill_it(name: str, reach: float) -> None:
    """Measured on a bar through the middle: its direction, and how many pixels it covers."""
    image = torch.zeros(1, 65, 65, dtype=torch.uint8)
    image[:, 30:35, 20:45] = 255
    found = []
    for seed in range(60):
        x = variant(image, seed, **{name: reach})[0].double() / 255
        at = torch.stack(torch.meshgrid(torch.arange(65.0), torch.arange(65.0), indexing="ij"), -1)
        weights, points = x.flatten(), at.reshape(-1, 2).double()
        points = points - (weights[:, None] * points).sum(0) / weights.sum()
        _, axes = torch.linalg.eigh((weights[:, None] * points).T @ points)
        angle = torch.rad2deg(torch.atan(axes[0, 1] / axes[1, 1]))
        area = weights.sum() / (5 * 25)
        found.append(float(angle if name == "rotation" else area.sqrt() - 1))
    assert -1.05 * reach <= min(found) < -0.8 * reach
    assert 0.8 * reach < max(found) <= 1.05 * reach


def test_what_is_moved_in_takes_the_colour_of_the_edge() -> None:
    """Red skin with a lesion: no corner turns black, and a corner tells no angle."""
    image = torch.tensor([200, 140, 120], dtype=torch.uint8).view(3, 1, 1).repeat(1, 40, 40)
    image[:, 15:25, 15:25] = 30
    moved = variant(image, seed=2, rotation=45, translate=0.2, scale=0.3, shear=10)
    assert not torch.equal(moved, image)
    frame = torch.cat([moved[:, 0], moved[:, -1], moved[:, :, 0], moved[:, :, -1]], 1)
    assert (frame.float() - torch.tensor([[200.0], [140.0], [120.0]])).abs().max() <= 1


def test_grey_stays_grey() -> None:
    image = noise(1)
    for seed in range(10):
        one = variant(image, seed, **EVERYTHING)
        three = variant(image.expand(3, -1, -1).contiguous(), seed, **EVERYTHING)
        assert one.shape == image.shape
        assert torch.equal(three[0], three[1]) and torch.equal(three[0], three[2])


def test_brightness_and_contrast_saturate_and_never_wrap() -> None:
    ramp = torch.linspace(0, 255, 64).round().to(torch.uint8).view(1, 1, 64).repeat(1, 4, 1)
    for seed in range(30):
        x = variant(ramp, seed, brightness=1.0, contrast=1.0).int()
        assert bool((x.diff(dim=2) >= 0).all())


def test_a_blank_is_of_the_mean_colour_and_of_a_size_that_was_said() -> None:
    image = noise(pixels=60)
    mean = image.float().mean((1, 2)).round()
    shares = []
    for seed in range(60):
        changed = (variant(image, seed, erase=1.0) != image).any(0)
        rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
        blank = variant(image, seed, erase=1.0)[:, rows.min() : rows.max() + 1]
        blank = blank[:, :, columns.min() : columns.max() + 1].float()
        assert bool((blank == mean.view(3, 1, 1)).all())
        shares.append(blank[0].numel() / 3600)
    assert 0.8 * LEAST_ERASED < min(shares) < 0.05 and 0.12 < max(shares) < 1.1 * MOST_ERASED


def test_no_switch_shifts_the_draw_of_another() -> None:
    image = noise()
    turned = [variant(image, seed, rotation=30) for seed in range(12)]
    both = [variant(image, seed, rotation=30, erase=0.4, flip_vertical=0.4) for seed in range(12)]
    same = sum(torch.equal(a, b) for a, b in zip(turned, both, strict=True))
    assert 0 < same < 12


def batches(cases: int = 10, **how: Any) -> Batches:
    how = {"shuffle": True, "augmentation": AugmentationSpec(**EVERYTHING), **how}
    return Batches(Images(chests(count=cases), classifier()), 4, **how)


def by_row(made: Batches) -> dict[int, Tensor]:
    return {
        int(row): image
        for images, _, rows, _ in made
        for row, image in zip(rows, images, strict=True)
    }


def test_the_same_seed_epoch_and_case_is_the_same_picture() -> None:
    first = by_row(batches(epoch=3))
    for other in (
        batches(epoch=3),
        batches(epoch=3, threads=4),
        batches(epoch=3, shuffle=False),
        batches(epoch=3, share=(0, 2)),
        batches(epoch=3, share=(1, 2)),
    ):
        assert all(torch.equal(image, first[row]) for row, image in by_row(other).items())
    for other in (batches(epoch=4), batches(epoch=3, seed=1)):
        same = sum(torch.equal(image, first[row]) for row, image in by_row(other).items())
        assert same <= 1
    kinds = {tuple(image.flatten().tolist()) for image in first.values()}
    assert len(kinds) == 10


def test_the_order_is_another_each_epoch_and_shares_are_the_whole() -> None:
    orders = [torch.cat(batches(epoch=epoch).rows()).tolist() for epoch in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == list(range(10))
    whole = batches().rows()
    shares = [batches(share=(rank, 2)).rows() for rank in (0, 1)]
    assert [len(rows) for rows in whole] == [4, 3, 3]
    for rows, one, other in zip(whole, *shares, strict=True):
        assert sorted(torch.cat([one, other]).tolist()) == sorted(rows.tolist())
        assert len(one) - len(other) in (0, 1)


def test_the_labels_belong_to_the_images() -> None:
    images = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 1, 32, 32) / 255
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 0, 1])
    for x, y, rows, _ in Batches(
        Images(cases_of(images, labels), classifier()), 4, shuffle=True, threads=3
    ):
        assert x[:, 0, 0, 0].tolist() == rows.tolist()
        assert torch.equal(y, labels[rows])
