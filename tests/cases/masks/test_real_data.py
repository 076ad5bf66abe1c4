"""The real segmentation sets open as they lie there, with the traps that their README names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robust.cases import Cases, open_cases

SETS = {
    "segmentation/lungs": (58, 15, 27, 2),
    "segmentation/skin": (19, 6, 11, 1),
    "segmentation/vessels": (8, None, 6, 1),
    "volumes/hippocampus": (61, 17, 42, 2),
}


@pytest.mark.parametrize("name", SETS)
def test_splits_open_as_they_lie_there(data: Path, name: str) -> None:
    *counts, structures = SETS[name]
    groups: list[set[str]] = []
    for split, count in zip(("train", "val", "test"), counts, strict=True):
        if count is None:
            continue
        cases = open_cases(data / name, split=split)
        assert len(cases) == count and cases.outlines == "exclusive" and cases.grouped
        assert len(cases.classes) == structures + 1
        groups.append({entry.group for entry in cases.entries})
        case = cases[0]
        assert case.mask is not None and case.mask.shape == case.image.shape[1:]
        assert set(case.mask.unique().tolist()) <= set(range(structures + 1))
        assert float(case.image.min()) >= 0 and float(case.image.max()) <= 1
    assert sum(map(len, groups)) == len(set().union(*groups))


def by_name(cases: Cases, name: str) -> Any:
    (place,) = (i for i, entry in enumerate(cases.entries) if name in entry.id)
    return cases[place].mask


def test_lungs_that_were_not_outlined_and_empty_opacities(data: Path) -> None:
    lungs = open_cases(data / "segmentation/lungs", split="all", keep_names=True)
    assert by_name(lungs, "p024_1").unique().tolist() == [0, 2]
    assert by_name(lungs, "p025_1").unique().tolist() == [0, 1]
    opacity = open_cases(data / "segmentation/lungs", split="all", mask="mask_opacity")
    assert opacity.classes == ("background", "structure 1")
    assert sum(not bool(case.mask.any()) for case in opacity if case.mask is not None) == 5


def test_lungs_opacity_and_mediastinum_overlap(data: Path) -> None:
    columns = ("mask", "mask_opacity", "mask_mediastinum")
    names = ("left lung", "right lung", "opacity", "mediastinum")
    cases = open_cases(data / "segmentation/lungs", mask=columns, classes=names)
    assert cases.outlines == "overlapping" and cases.classes == names
    mask = cases[0].mask
    assert mask is not None and mask.shape == (4, 256, 254) and mask.unique().tolist() == [0, 1]
    assert any(int(case.mask.sum(0).max()) > 1 for case in cases if case.mask is not None)


def test_palette_masks_are_those_of_class_numbers(data: Path, tmp_path: Path) -> None:
    """Index 0 is white there: the lesion, not its surroundings."""
    skin = data / "segmentation/skin"
    rows = ["file,mask,group"]
    for path in sorted((skin / "masks_palette").glob("*.png")):
        shutil.copy(path, tmp_path / f"mask_{path.name}")
        Image.new("L", (600, 450), 9).save(tmp_path / path.name)
        rows.append(f"{path.name},mask_{path.name},{path.stem}")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    cases = open_cases(tmp_path, keep_names=True)
    assert len(cases) == 2 and cases.classes == ("background", "structure 1")
    known = open_cases(skin, split="all", keep_names=True)
    for case in cases:
        assert case.mask is not None
        share = float((case.mask == 1).float().mean())
        other = float((by_name(known, case.id) == 1).float().mean())
        assert share == pytest.approx(other, abs=0.005) and share < 0.6


def test_volumes_of_two_types_are_shown_alike(data: Path) -> None:
    cases = open_cases(data / "volumes/hippocampus")
    kinds = {case.stored.bits for case in cases}
    assert kinds == {8, 32}
    for bits in kinds:
        row = next(i for i, case in enumerate(cases) if case.stored.bits == bits)
        case, found = cases[row], cases.stored_image(row)
        assert float(case.image.min()) == 0 and float(case.image.max()) == 1
        share = [float((case.image == end).float().mean()) for end in (0, 1)]
        assert all(one < 0.02 for one in share) or bits == 8
        np.testing.assert_array_equal(found.stored.pixels(case.image, found.pixels), found.pixels)
        assert case.spacing == (1.0, 1.0, 1.0)
    assert all(case.mask is not None and case.mask.unique().tolist() == [0, 1, 2] for case in cases)


def test_slices_of_real_volumes_are_those_of_the_volume(data: Path) -> None:
    whole = open_cases(data / "volumes/hippocampus", limit=3)
    cases = open_cases(data / "volumes/hippocampus", volumes="slices")
    assert len({entry.group for entry in cases.entries}) == len(
        {entry.group for entry in open_cases(data / "volumes/hippocampus").entries}
    )
    first = whole.entries[0].id
    rows = [i for i, entry in enumerate(cases.entries) if entry.id.startswith(f"{first}-")]
    stacked = torch.stack([cases[row].image[0] for row in rows], -1)
    assert torch.equal(stacked, whole[0].image[0])
