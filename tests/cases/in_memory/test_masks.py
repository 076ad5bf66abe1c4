"""`cases_from` with masks: outlines of images and of volumes, out of what Python holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from robust.cases import cases_from, open_cases
from robust.errors import InputError
from tests.cases.volumes.niftis import ramp, save_nifti

X = np.random.default_rng(0).integers(0, 256, (4, 1, 6, 5)).astype(np.uint8)
M = np.random.default_rng(1).integers(0, 3, (4, 6, 5)).astype(np.uint8)
B = np.random.default_rng(2).integers(0, 2, (4, 3, 6, 5)).astype(np.uint8)
V = np.random.default_rng(3).integers(0, 256, (4, 2, 3, 6, 5)).astype(np.uint8)
VM = np.random.default_rng(4).integers(0, 2, (4, 3, 6, 5)).astype(np.uint8)


@pytest.mark.parametrize(
    "x",
    [
        (X, M),
        (torch.from_numpy(X), torch.from_numpy(M).long()),
        (X, M.astype(np.float32)),
        [(X[i], M[i]) for i in range(4)],
        [{"image": X[i], "mask": M[i]} for i in range(4)],
        TensorDataset(torch.from_numpy(X), torch.from_numpy(M)),
        DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(M)), batch_size=3),
    ],
)
def test_class_numbers_of_each_pixel(x: Any) -> None:
    cases = cases_from(x, classes=("left", "right"))
    assert cases.outlines == "exclusive" and cases.classes == ("background", "left", "right")
    assert (
        cases.findings == ()
        and cases.fingerprint() == cases_from(x, classes=("left", "right")).fingerprint()
    )
    for i, case in enumerate(cases):
        assert case.mask is not None and case.mask.dtype == torch.uint8 and case.label == 0
        assert torch.equal(case.mask, torch.from_numpy(M[i]))
        torch.testing.assert_close(case.image, torch.from_numpy(X[i]) / 255)


def test_structures_that_overlap_and_pixels_that_do_not_count() -> None:
    masks = B.astype(np.int64)
    masks[0, :, 2] = -1
    masks[1, :, 2] = 255
    cases = cases_from(X, masks, ["a", "a", "b", "b"], spacing=(0.5, 2))
    assert cases.outlines == "overlapping" and cases.grouped
    assert cases.classes == ("structure 1", "structure 2", "structure 3")
    for i in (0, 1):
        mask = cases[i].mask
        assert mask is not None and mask.shape == (3, 6, 5)
        assert bool((mask[:, 2] == 255).all()) and not bool((mask[:, :2] == 255).any())
    assert cases[0].spacing == (0.5, 2.0)
    assert cases[0].group == cases[1].group != cases[2].group


@pytest.mark.parametrize(("masks", "outlines"), [(VM, "exclusive"), (VM[:, None], "overlapping")])
def test_volumes(masks: Any, outlines: str) -> None:
    cases = cases_from((V, masks))
    assert cases.outlines == outlines and cases[1].image.shape == (2, 3, 6, 5)
    torch.testing.assert_close(cases[1].image, torch.from_numpy(V[1]) / 255)
    assert cases[1].mask is not None and torch.equal(cases[1].mask, torch.from_numpy(masks[1]))
    labelled = cases_from(V, [0, 1, 0, 1])
    assert labelled.outlines is None and labelled[3].label == 1


def test_a_changed_mask_is_noticed() -> None:
    other = M.copy()
    other[2, 0, 0] = (other[2, 0, 0] + 1) % 3
    cases = [cases_from(X, masks) for masks in (M, other)]
    same = [cases[0].content(i) == cases[1].content(i) for i in range(4)]
    assert same == [True, True, False, True]


def test_a_list_of_cases_keeps_masks_and_spacing(tmp_path: Path) -> None:
    for name in "ab":
        save_nifti(tmp_path / f"{name}.nii", ramp(np.float32))
        save_nifti(tmp_path / f"m{name}.nii", (ramp() % 3).astype(np.uint8))
    (tmp_path / "cases.csv").write_text("file,mask,group\na.nii,ma.nii,a\nb.nii,mb.nii,b\n")
    opened = open_cases(tmp_path)
    again = cases_from(list(opened), classes=opened.classes)
    assert again.classes == opened.classes and again.outlines == "exclusive"
    for old, new in zip(opened, again, strict=True):
        assert old.mask is not None and new.mask is not None and torch.equal(old.mask, new.mask)
        torch.testing.assert_close(new.image, old.image, atol=1e-6, rtol=0)
        assert new.spacing == old.spacing and new.stored == old.stored
    part = [opened[0], next(iter(cases_from(X, [0, 1, 0, 1])))]
    with pytest.raises(InputError, match="1 of 2 cases have a mask; give all one, or none"):
        cases_from(part)


REFUSED: list[tuple[Any, Any, dict[str, Any], str]] = [
    (X, M[:3], {}, "there are 4 images and 3 masks"),
    (X, M[:, :5], {}, r"mask 0 has the shape \(5, 5\), its image \(6, 5\)"),
    (X, M + 0.5, {}, "mask 0 holds .*5; give class numbers from 0, and 255"),
    (X, B + np.uint8(1), {}, "give 0 and 1, and 255 where a pixel does not count"),
    (X, M * 0, {}, "no mask holds a structure"),
    (X, M, {"classes": ("one",)}, "the masks hold 2 structures, classes names 1"),
    (X, B, {"classes": ("a", "b", "c", "d")}, "the masks hold 3 structures, classes names 4"),
    (V, M, {}, r"mask 0 has the shape \(6, 5\), its image \(3, 6, 5\)"),
    (X, M.astype("U1"), {}, "mask 0 holds <U1; give whole numbers"),
]


@pytest.mark.parametrize(("x", "masks", "options", "message"), REFUSED)
def test_what_is_refused(x: Any, masks: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cases_from(x, masks, **options)
