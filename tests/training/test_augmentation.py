"""A variant of an image depends on seed, epoch and case alone, and stays an image of its kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robust.cases import open_cases
from robust.training.augmentation import LEAST_ERASED, MOST_ERASED, Sample, augment, random_crop
from robust.training.data import Batches, Images, collate
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
        for images, _, rows, *_ in made
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
    for x, y, rows, *_ in Batches(
        Images(cases_of(images, labels), classifier()), 4, shuffle=True, threads=3
    ):
        assert x[:, 0, 0, 0].tolist() == rows.tolist()
        assert torch.equal(y, labels[rows])


def outlined(name: str = "lesion", pixels: int = 48, row: int = 0) -> Sample:
    case = open_cases(f"phantom:{name}", count=4, pixels=pixels)[row]
    return Sample((case.image * 255).round().to(torch.uint8), case.mask)


def moved(sample: Sample, seed: int = 0, **spec: Any) -> Sample:
    return augment(sample, AugmentationSpec(**spec), torch.Generator().manual_seed(seed))


MOVES: dict[str, Any] = {
    name: EVERYTHING[name]
    for name in ("flip_horizontal", "flip_vertical", "rotation", "translate", "scale", "shear")
}


@pytest.mark.parametrize("name", ["lesion", "opacity", "organ"])
def test_a_mask_moves_with_its_image(name: str) -> None:
    """The mask drawn as an image moves to the moved mask, but for the blend at its border."""
    mask = outlined(name, 40, 2).mask
    assert mask is not None
    overlapping = name == "opacity"
    layer = mask[0] if overlapping else mask
    drawn = (layer == 1).to(torch.uint8)[None] * 200
    moves = []
    for seed in range(6):
        image, after = moved(Sample(drawn, mask), seed, **MOVES)
        assert after is not None and after.shape == mask.shape
        known = after[0] if overlapping else after
        inside = known == 1
        agrees = (image[0] > 100) == inside
        assert agrees[known != 255].double().mean() > 0.985
        moves.append(not torch.equal(after, mask))
    assert any(moves)


def test_colours_leave_a_mask_and_turn_a_volume_as_one() -> None:
    sample = outlined("organ", 32, 2)
    image, mask = moved(sample, 3, brightness=0.4, contrast=0.4)
    assert mask is sample.mask
    # One straight line of levels for all slices: equal voxels stay equal.
    levels = {int(v): set() for v in sample.image.unique()}  # type: ignore[var-annotated]
    for before, after in zip(sample.image.flatten().tolist(), image.flatten().tolist()):
        levels[before].add(after)
    assert all(len(found) == 1 for found in levels.values()) and not torch.equal(
        image, sample.image
    )


def test_what_is_moved_into_a_mask_does_not_count() -> None:
    ones = torch.ones(32, 32, dtype=torch.uint8)
    _, mask = moved(Sample(outlined(pixels=32).image, ones), 1, translate=0.3, rotation=45)
    assert mask is not None and set(mask.unique().tolist()) == {1, 255}


def test_crops_hold_a_structure_every_other_time_and_pad_what_is_small() -> None:
    mask = torch.zeros(60, 50, dtype=torch.uint8)
    mask[3, 4] = 1
    image = torch.arange(3000, dtype=torch.int64).view(1, 60, 50) % 251
    sample = Sample(image.to(torch.uint8), mask)
    hits, corners = 0, set()
    for seed in range(60):
        part = random_crop(sample, (8, 16), torch.Generator().manual_seed(seed))
        assert part.image.shape == (1, 8, 16) and part.mask is not None
        assert part.mask.shape == (8, 16)
        hits += bool(part.mask.any())
        corners.add(int(part.image[0, 0, 0]))
    assert 18 <= hits <= 45 and len(corners) > 20
    small = random_crop(sample, (64, 50), torch.Generator().manual_seed(0))
    assert small.mask is not None
    assert torch.equal(small.image[:, :60], sample.image) and not small.image[:, 60:].any()
    assert torch.equal(small.mask[:60], mask) and bool((small.mask[60:] == 255).all())


def test_images_that_differ_in_size_are_padded_where_they_have_masks() -> None:
    samples = [outlined(pixels=32), outlined(pixels=40)]
    x, y = collate(samples, pads=True)
    assert y is not None
    assert x.shape == (2, 3, 40, 40) and y.shape == (2, 40, 40)
    assert torch.equal(x[0, :, :32, :32], samples[0].image) and not x[0, :, 32:].any()
    assert bool((y[0, 32:] == 255).all()) and not (y[1] == 255).any()


def test_repeats_show_each_image_so_often_each_time_anew() -> None:
    spec = AugmentationSpec(rotation=30)
    images = Images(open_cases("phantom:lesion", count=4, pixels=32), classifier())
    batches = Batches(images, 4, augmentation=spec, repeats=3, shuffle=True)
    found = [(int(row), x) for b in batches for row, x in zip(b.rows, b.x, strict=True)]
    assert sorted(row for row, _ in found) == sorted([*range(4)] * 3)
    assert len({x.numpy().tobytes() for _, x in found}) == 12
