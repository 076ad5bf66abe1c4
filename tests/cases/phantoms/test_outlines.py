"""Masks of synthetic images: they are of the same draw as the image, and lie where it shows them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.cases import Case, Cases, open_cases
from robust.cases.phantoms.draw import OUTLINED
from robust.errors import InputError
from robust.plan.paths import OUTLINES

each_name = pytest.mark.parametrize("name", OUTLINES)


def opened(name: str, pixels: int = 64, count: int = 12, **options: object) -> Cases:
    return open_cases(f"phantom:{name}", pixels=pixels, count=count, **options)


@functools.cache
def drawn(name: str, pixels: int = 64, count: int = 12) -> tuple[Cases, list[Case]]:
    """The cases of a phantom, each drawn once for all tests, which only read them."""
    cases = opened(name, pixels, count)
    return cases, list(cases)


def covered(case: Case, cases: Cases, structure: str) -> Tensor:
    """Where a structure is, bool."""
    assert case.mask is not None
    number = cases.classes.index(structure)
    return case.mask[number] == 1 if cases.outlines == "overlapping" else case.mask == number


def test_names_agree() -> None:
    assert tuple(OUTLINED) == OUTLINES


@each_name
@pytest.mark.parametrize("pixels", [28, 33, 64])
def test_masks_have_the_size_of_their_image_and_the_numbers_of_its_classes(
    name: str, pixels: int
) -> None:
    cases, images = drawn(name, pixels)
    for case in images:
        assert case.mask is not None and case.mask.dtype == torch.uint8 and case.label == 0
        space = case.image.shape[1:]
        assert space == ((pixels // 2, pixels, pixels) if name == "organ" else (pixels, pixels))
        if cases.outlines == "overlapping":
            assert case.mask.shape == (len(cases.classes), *space)
            assert set(case.mask.unique().tolist()) == {0, 1}
        else:
            assert cases.classes[0] == "background" and case.mask.shape == space
            assert case.mask.max() < len(cases.classes) and (case.mask == 0).any()
        assert (case.spacing is None) == (name != "organ")


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("lungs", "chest_xray"),
        ("opacity", "chest_xray"),
        ("vessels", "fundus"),
        ("lesion", "dermoscopy"),
    ],
)
def test_the_image_is_that_without_a_mask(name: str, modality: str) -> None:
    with_masks, plain = (opened(kind, 32, seed=3) for kind in (name, modality))
    for one, other in zip(with_masks, plain, strict=True):
        assert torch.equal(one.image, other.image)
        assert (one.id, one.group) == (other.id, other.group)


@each_name
def test_the_same_seed_gives_the_same_mask(name: str) -> None:
    first, again, other = (opened(name, 32, 4, seed=seed)[1] for seed in (0, 0, 1))
    assert first.mask is not None and again.mask is not None and other.mask is not None
    assert torch.equal(first.mask, again.mask) and torch.equal(first.image, again.image)
    assert not torch.equal(first.mask, other.mask)


@each_name
def test_two_cases_are_a_patient_and_splits_share_none(name: str) -> None:
    groups = {s: [e.group for e in opened(name, split=s).entries] for s in ("train", "test")}
    assert len(set(groups["train"])) == len(groups["train"]) / 2
    assert not set(groups["train"]) & set(groups["test"])


@each_name
def test_the_finding_alone_is_missing_in_half_of_the_cases(name: str) -> None:
    # At 32 pixels all vessels are thinner than a pixel, and some images show none.
    cases, images = drawn(name, 48 if name == "vessels" else 32, 24)
    for structure in cases.classes[cases.outlines == "exclusive" :]:
        there = [bool(covered(case, cases, structure).any()) for case in images]
        if (name, structure) in (("opacity", "opacity"), ("organ", "lesion")):
            assert there == [i // 2 % 2 == 1 for i in range(24)], structure
        else:
            assert all(there), structure


@pytest.mark.parametrize("name", sorted({*OUTLINES} - {"vessels"}))  # thinner than a pixel at 48
def test_masks_agree_from_size_to_size(name: str) -> None:
    (small, few), (large, many) = drawn(name, 48, 6), drawn(name, 96, 6 if name == "organ" else 12)
    for one, other in zip(few, many[:6], strict=True):
        for structure in small.classes[small.outlines == "exclusive" :]:
            shares = [
                float(covered(case, cases, structure).double().mean())
                for case, cases in ((one, small), (other, large))
            ]
            assert shares[0] == pytest.approx(shares[1], rel=0.2), structure


def _ring(mask: Tensor) -> Tensor:
    """The pixels just outside a structure, some two pixels from its border."""
    grown = torch.nn.functional.max_pool2d(mask[None].float(), 7, 1, 3)[0] > 0
    near = torch.nn.functional.max_pool2d(mask[None].float(), 3, 1, 1)[0] > 0
    return grown & ~near


@pytest.mark.parametrize(
    ("name", "structure", "brighter", "right"),
    [
        ("lungs", "left lung", False, 12),
        ("lungs", "right lung", False, 12),
        ("vessels", "optic disc", True, 12),
        ("vessels", "vessels", False, 12),
        ("lesion", "lesion", False, 12),
        ("organ", "organ", True, 12),
        ("organ", "lesion", False, 6),
    ],
)
def test_a_structure_differs_from_what_is_around_it(
    name: str, structure: str, brighter: bool, right: int
) -> None:
    (cases, images), agreeing = drawn(name, 64 if name == "organ" else 96), 0
    for case in images:
        mask, light = covered(case, cases, structure), case.image.mean(0)
        assert case.mask is not None
        # The vessels cross the disc, and a lesion of the organ reaches to its border.
        around = _ring(mask) & ((case.mask == 0) | (structure == "lesion"))
        if name == "vessels":
            around &= light > 0.1  # inside the camera's field
        if mask.any():
            agreeing += bool((light[mask].mean() > light[around].mean()) == brighter)
    assert agreeing == right


def test_opacities_lie_in_the_lungs_and_brighten_them() -> None:
    (cases, images), gains = drawn("opacity", 96), []
    for case in images:
        left, right, opacity = (covered(case, cases, name) for name in cases.classes)
        lungs = left | right
        assert not (left & right).any() and not (opacity & ~lungs).any()
        if opacity.any():
            light = case.image[0]
            gains.append(light[opacity].mean() - light[lungs & ~opacity].mean())
    assert len(gains) == 6 and min(gains) > 0


def test_the_left_lung_is_on_the_image_s_right_as_the_heart() -> None:
    cases, images = drawn("lungs")
    columns = torch.arange(64.0)
    for case in images:
        left, right = (covered(case, cases, name) for name in ("left lung", "right lung"))
        middles = [(mask.sum(0) * columns).sum() / mask.sum() for mask in (left, right)]
        assert middles[0] > middles[1]
        assert left.sum() < right.sum()  # the heart takes its room


def test_the_spacing_is_the_geometry_s() -> None:
    case = opened("organ", 64, 4)[3]
    assert case.spacing is not None
    depth, height, width = case.spacing
    # 32 slices cover three quarters of what 64 pixels cover.
    assert height == width
    assert depth * 32 == pytest.approx(0.75 * width * 64, rel=1e-3)
    assert 0.9 * 160 <= width * 64 <= 1.1 * 160
    assert len({one.spacing for one in opened("organ", 32, 4)}) == 4


def test_a_smaller_size_of_the_data_resizes_image_and_mask() -> None:
    cases = opened("lungs", 64, size=(32, 48))
    case, full = cases[0], opened("lungs", 64)[0]
    assert case.mask is not None and full.mask is not None
    assert case.image.shape == (1, 32, 48) and case.mask.shape == (32, 48)
    np.testing.assert_allclose((case.mask > 0).float().mean(), (full.mask > 0).float().mean(), 0.05)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lung", {}, "no synthetic images of 'lung'; did you mean lungs"),
        ("organ", {"pixels": 193}, "pixels must be at least 28 and at most 192"),
        ("organ", {"findings": ("lesion",)}, "findings does not apply to the masks of phantom:org"),
    ],
)
def test_what_is_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_cases(f"phantom:{name}", **options)
