"""Volumes as cases: whole and slice by slice, intensities, grids of image and mask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robust.cases import Cases, open_cases
from robust.cases.volumes.read import VolumeOptions, VolumePlace, read_volume
from robust.errors import InputError
from tests.cases.volumes.niftis import AFFINE, NAME, SHAPE, ramp, save_nifti

TABLE = "file,mask,group\nimages/Doe_1.nii.gz,masks/Doe_1.nii.gz,Doe\nimages/Roe.nii,masks/Roe.nii,Roe\n"


def mask(dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """Structure 1 in the lower half of the last axis, structure 2 in one corner."""
    values = np.zeros(SHAPE, dtype)
    values[..., :3] = 1
    values[4, 3, 5] = 2
    return values


def write(root: Path, text: str = TABLE, dtype: Any = np.uint8, **options: Any) -> Path:
    for name in ("Doe_1.nii.gz", "Roe.nii"):
        save_nifti(root / "images" / name, ramp(np.float32), **options)
        save_nifti(root / "masks" / name, mask(dtype))
    (root / "cases.csv").write_text(text, encoding="utf-8")
    return root


def wanted(low: float, high: float) -> torch.Tensor:
    return ((torch.from_numpy(ramp(np.float64)) - low) / (high - low)).clamp(0, 1).float()


@pytest.mark.parametrize("dtype", ["u1", "f4", "i8"])
def test_a_volume_is_a_case(tmp_path: Path, dtype: str) -> None:
    cases = open_cases(write(tmp_path, dtype=dtype))
    assert len(cases) == 2 and cases.noun == "volumes" and cases.outlines == "exclusive"
    case = cases[0]
    torch.testing.assert_close(case.image[0], wanted(*np.percentile(ramp(), (0.5, 99.5))))
    assert case.image.shape == (1, *SHAPE) and case.spacing == (2.0, 1.0, 3.0)
    assert case.mask is not None and torch.equal(case.mask, torch.from_numpy(mask()))
    shown = repr([cases.source, cases.entries[0].id, cases.entries[0].group, case.metadata])
    assert "Doe" not in shown and NAME not in shown


def test_intensities_of_the_plan(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path), intensities=(10, 50))
    torch.testing.assert_close(cases[0].image[0], wanted(10, 50))
    rescaled = open_cases(write(tmp_path, rescaling=(2.0, -7.0)), intensities=(13, 93))
    torch.testing.assert_close(rescaled[0].image[0], wanted(10, 50))
    same = open_cases(write(tmp_path), intensities="percentiles")
    assert torch.equal(same[0].image, open_cases(tmp_path)[0].image)
    for pair in ((5, 5), (9, 1), (1, 2, 3), "wide"):
        with pytest.raises(InputError, match="must be two ascending numbers, or percentiles"):
            open_cases(tmp_path, intensities=pair)


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_slices_of_a_volume_are_one_group(tmp_path: Path, axis: int | None) -> None:
    """They are those of the whole volume: cut along the axis, scaled by all of it."""
    along = 2 if axis is None else axis
    whole = open_cases(write(tmp_path))
    cases = open_cases(tmp_path, volumes="slices", axis=axis)
    count = SHAPE[along]
    assert len(cases) == 2 * count and cases.noun == "images"
    for i in (0, count - 1):
        case, case_mask = cases[i], whole[0].mask
        assert torch.equal(case.image, whole[0].image.select(along + 1, i))
        assert case_mask is not None and case.mask is not None
        assert torch.equal(case.mask, case_mask.select(along, i))
        assert case.spacing == tuple(n for k, n in enumerate((2.0, 1.0, 3.0)) if k != along)
    assert cases.entries[0].id == f"{whole.entries[0].id}-1"
    assert [len({e.group for e in part}) for part in (cases.entries[:count], cases.entries)] == [
        1,
        2,
    ]
    assert cases.entries[0].group == whole.entries[0].group


@pytest.mark.parametrize(("group", "grouped"), [(None, True), ("none", False)])
def test_without_a_group_the_volume_is_that_of_its_slices(
    tmp_path: Path, group: str | None, grouped: bool
) -> None:
    text = TABLE.replace(",group", "").replace(",Doe\n", "\n").replace(",Roe\n", "\n")
    cases = open_cases(write(tmp_path, text), volumes="slices", group=group)
    assert len({entry.group for entry in cases.entries}) == 2 and cases.grouped is grouped
    if group is None:
        with pytest.raises(InputError, match="no group column"):
            open_cases(tmp_path)


def test_channels_become_channels(tmp_path: Path) -> None:
    write(tmp_path)
    save_nifti(tmp_path / "images" / "Roe.nii", ramp(shape=(*SHAPE, 2)))
    image = open_cases(tmp_path)[1].image
    assert image.shape == (2, *SHAPE) and bool((image[0] <= image[1]).all())
    sliced = open_cases(tmp_path, volumes="slices")
    assert torch.equal(sliced[SHAPE[2]].image, image[..., 0])


def test_image_and_mask_on_other_grids(tmp_path: Path) -> None:
    write(tmp_path)
    moved = AFFINE.copy()
    moved[1, 3] = 12.5
    save_nifti(tmp_path / "masks" / "Roe.nii", mask(), moved)
    message = r"Roe.nii lies elsewhere than its image: row 2, column 4 of the affine is 12.5, .* 0;"
    for options in ({}, {"volumes": "slices"}):
        cases = open_cases(tmp_path, **options)
        assert cases[0].mask is not None
        with pytest.raises(InputError, match=message):
            _ = cases[len(cases) - 1]
    save_nifti(tmp_path / "masks" / "Roe.nii", mask()[:4])
    with pytest.raises(InputError, match="a mask of 4 x 4 x 6 pixels, its image has 5 x 4 x 6"):
        _ = open_cases(tmp_path)[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (mask("f4") / 2, r"holds 0.5, which is no class number"),
        (-mask("i2"), "holds -1, which is no class number"),
        (np.zeros((*SHAPE, 2), np.uint8), "is a mask of 2 channels"),
    ],
)
def test_volumes_that_are_no_masks(tmp_path: Path, values: Any, message: str) -> None:
    save_nifti(write(tmp_path) / "masks" / "Roe.nii", values)
    with pytest.raises(InputError, match=message):
        _ = open_cases(tmp_path)[1]


def test_volumes_with_a_class(tmp_path: Path) -> None:
    text = "file,label,group\nimages/Doe_1,ill,Doe\nRoe,well,Roe\n"
    write(tmp_path, text)
    with pytest.raises(InputError, match=r"Roe could be images/Roe.nii or masks/Roe.nii"):
        open_cases(tmp_path)
    for name in ("Doe_1.nii.gz", "Roe.nii"):
        (tmp_path / "masks" / name).unlink()
    cases = open_cases(tmp_path)
    assert cases.outlines is None and cases.classes == ("ill", "well") and cases.noun == "volumes"
    assert [case.label for case in cases] == [0, 1] and cases[0].image.shape == (1, *SHAPE)
    assert cases[0].mask is None and cases[0].spacing == (2.0, 1.0, 3.0)


def test_a_changed_volume_is_noticed(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path), volumes="slices")
    before = cases.content(0), cases.content(1), cases[0].image
    assert before[0] == before[1]
    path = tmp_path / "images" / "Doe_1.nii.gz"
    save_nifti(path, ramp(np.float32)[::-1])
    os.utime(path, ns=(1, 1))
    assert cases.content(0) != before[0] and not torch.equal(cases[0].image, before[2])


def test_sizes_are_of_images(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=r"size = \(3, 3\) is for images, .* is a volume"):
        _ = open_cases(tmp_path, size=3)[0]
    case = open_cases(tmp_path, size=3, volumes="slices")[0]
    assert case.image.shape == (1, 3, 3) and case.mask is not None and case.mask.shape == (3, 3)
    assert case.spacing == pytest.approx((2 * 5 / 3, 4 / 3))


KINDS = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8"]


@pytest.mark.parametrize("rescaling", [None, (0.25, -3.0), (-2.0, 10.0)])
@pytest.mark.parametrize("dtype", KINDS)
def test_the_way_back_leads_to_values_that_the_file_can_hold(
    tmp_path: Path, dtype: str, rescaling: tuple[float, float] | None
) -> None:
    """Within eps, nearest, and exactly the same where nothing changed."""
    wide = {"i4": 70_000, "i8": 10**7, "f4": 3.7, "f8": 0.01}.get(dtype, 1)
    values = (ramp(np.float64) * wide).astype(dtype)
    found = read_volume(VolumePlace(save_nifti(tmp_path / "a.nii", values, rescaling=rescaling)))
    stored, clean = found.stored, found.stored.image(found.pixels)
    same = stored.pixels(clean, found.pixels)
    np.testing.assert_array_equal(same, found.pixels)
    assert same.dtype == found.pixels.dtype
    rng = np.random.default_rng(0)
    for eps in (0.5 * stored.step, 3 * stored.step, 0.05):
        noise = torch.from_numpy(rng.uniform(-eps, eps, clean.shape).astype(np.float32))
        x = (clean + noise).clamp(0, 1)
        back = stored.pixels(x, found.pixels, eps)
        assert back.shape == found.pixels.shape
        assert np.array_equal(back.astype(dtype), back)  # the file's type holds them
        again = stored.image(back).double()
        assert float((again - clean.double()).abs().max()) <= eps + 1e-6
        off = (again - x.double()).abs()
        assert float(off.max()) <= max(stored.step, 1e-6) + 1e-6
    if stored.step > 1e-5:  # less than half a level is rounded away, inside the window
        small = stored.image(stored.pixels(clean + 0.49 * stored.step, found.pixels))
        inside = (clean > 0.1) & (clean < 0.9)
        assert torch.equal(small[inside], clean[inside])


def test_options_of_volumes() -> None:
    assert VolumeOptions.of(None, None, None) == VolumeOptions()
    assert VolumeOptions.of("slices", 1, (0, 5)) == VolumeOptions(
        slices=True, frames_too=True, axis=1, intensities=(0.0, 5.0)
    )


def test_a_broken_volume_is_said_where_it_is_read(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "images" / "Roe.nii").write_bytes(b"nothing")
    for options, place in (({}, 1), ({"volumes": "slices"}, SHAPE[2])):
        cases: Cases = open_cases(tmp_path, **options)
        assert len(cases) == place + 1 and cases[0].mask is not None
        with pytest.raises(InputError, match=r"Roe.nii is not a NIfTI file"):
            _ = cases[place]
