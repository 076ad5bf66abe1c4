"""DICOM series as volumes and DICOM SEG as their masks, compared with highdicom's own reading."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import torch
from pydicom import dcmread

from robust.cases import open_cases
from robust.cases.dicom.segmentation import read_segmentation
from robust.cases.dicom.series import read_series
from robust.errors import InputError
from tests.cases.dicoms import make, save
from tests.cases.volumes.series import (
    DIRECTIONS,
    HIGH,
    SHAPE,
    THICK,
    WIDE,
    hounsfield,
    placed,
    save_segmentation,
    save_series,
)
from tests.fuzz.mutations import mutate_bytes


def numbers() -> np.ndarray[Any, Any]:
    """Segment 1 in slices 1 and 2, segment 2 in slice 2; slices 0 and 3 are empty."""
    masks = np.zeros(SHAPE, np.uint8)
    masks[1:3, :3] = 1
    masks[2, 4, 2:] = 2
    return masks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two patients, a series of each with its segmentation."""
    rows = ["file,mask,split"]
    for name in ("one", "two"):
        files = save_series(tmp_path / name, hounsfield(), patient=f"Doe {name}")
        save_segmentation(tmp_path / "masks" / f"{name}.dcm", files, numbers())
        rows.append(f"{name},masks/{name}.dcm,test")
    (tmp_path / "cases.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_series_is_the_volume_of_highdicom(root: Path) -> None:
    """Sorted along its normal, with the affine that highdicom finds, up to its own order."""
    volume = read_series(root / "one")
    known = hd.get_volume_from_series([dcmread(one) for one in sorted((root / "one").iterdir())])
    values = volume.values[..., 0]
    affine = np.array(volume.grid.affine)
    assert volume.grid.spacing == pytest.approx((THICK, HIGH, WIDE))
    if not np.allclose(affine, known.affine):  # it may count slices the other way
        turned = known.flip_spatial(0)
        np.testing.assert_allclose(affine, turned.affine, atol=1e-9)
        np.testing.assert_array_equal(values - 1000, turned.array)
    else:
        np.testing.assert_array_equal(values - 1000, known.array)
    assert set(map(int, values[:, 0, 0])) == set(map(int, hounsfield()[:, 0, 0]))


def test_a_series_with_its_segmentation_is_a_case(root: Path) -> None:
    cases = open_cases(root)
    assert cases.noun == "volumes" and len({entry.group for entry in cases.entries}) == 2
    assert not cases.showable and cases.outlines == "exclusive"
    case = cases[0]
    order = read_series(root / "one").values[..., 0]
    backwards = int(order[0, 0, 0]) != 0  # slices are counted along the normal
    wanted, values = numbers(), hounsfield().astype(np.float64) - 1000
    if backwards:
        wanted, values = wanted[::-1].copy(), values[::-1].copy()
    assert case.mask is not None and torch.equal(case.mask, torch.from_numpy(wanted))
    low, high = np.percentile(values, (0.5, 99.5))
    shown = torch.from_numpy((values - low) / (high - low)).clamp(0, 1).float()
    torch.testing.assert_close(case.image[0], shown)
    assert case.spacing == pytest.approx((THICK, HIGH, WIDE))
    assert "Doe" not in repr([cases.source, *((e.id, e.group) for e in cases.entries)])
    found = cases.stored_image(0)
    np.testing.assert_array_equal(found.stored.pixels(case.image, found.pixels), found.pixels)
    assert set(cases.classes) == {"background", "structure 1", "structure 2"}
    window = open_cases(root, intensities=(-1000, 0))[0].image
    assert float(window.max()) == 1 and float(window.min()) == 0


def test_slices_of_a_series(root: Path) -> None:
    whole, cases = open_cases(root), open_cases(root, volumes="slices", axis=0)
    assert len(cases) == 2 * SHAPE[0] and len({e.group for e in cases.entries}) == 2
    for i in range(SHAPE[0]):
        case, mask = cases[i], whole[0].mask
        assert torch.equal(case.image, whole[0].image[:, i]) and case.mask is not None
        assert mask is not None and torch.equal(case.mask, mask[i])
        assert case.spacing == pytest.approx((HIGH, WIDE))


def test_a_changed_slice_is_noticed(root: Path) -> None:
    cases = open_cases(root)
    before = [cases.content(i) for i in range(2)]
    save_series(root / "one", hounsfield() + np.int16(1), patient="Doe one")
    assert [cases.content(i) == old for i, old in enumerate(before)] == [False, True]


def test_a_file_of_several_frames_is_a_volume_if_the_plan_says_so(tmp_path: Path) -> None:
    made = placed(make(hounsfield(), bits=16, frames=SHAPE[0]), 0)
    frames = []
    for number in range(SHAPE[0]):
        plane, group = made.__class__(), made.__class__()
        plane.ImagePositionPatient = [10, 20 - THICK * number, 30]
        group.PlanePositionSequence = [plane]
        frames.append(group)
    made.PerFrameFunctionalGroupsSequence = frames
    save(made, tmp_path / "a.dcm")
    save(make(hounsfield()[0], bits=16, PatientID="P2"), tmp_path / "b.dcm")
    (tmp_path / "cases.csv").write_text("file,label\na.dcm,0\nb.dcm,1\n")
    assert len(open_cases(tmp_path)) == SHAPE[0] + 1
    cases = open_cases(tmp_path, volumes="whole")
    assert len(cases) == 2 and cases[0].image.shape == (1, *SHAPE)
    np.testing.assert_array_equal(
        cases.stored_image(0).pixels[..., 0], read_series(tmp_path / "a.dcm").values[..., 0]
    )


def changed(path: Path, **elements: Any) -> None:
    dataset = dcmread(path)
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "another series": ({"SeriesInstanceUID": "1.2.3"}, "holds slices of several series; give each"),
    "a gap": ({"ImagePositionPatient": [10, 21, 30]}, r"has uneven gaps: .* is one missing\?"),
    "the same place": ({"ImagePositionPatient": [10, 25, 30]}, "has two slices at one place"),
    "beside": ({"ImagePositionPatient": [11, 20, 30]}, "do not lie above each other"),
    "turned": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "several sizes, directions or"),
    "oblique": ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not at right angles"),
    "no place": ({"ImagePositionPatient": None}, "does not say where its slices lie"),
    "another rescaling": ({"RescaleSlope": 2}, "slices of several rescalings or types"),
    "no spacing": ({"PixelSpacing": [0, 0]}, "has a spacing of 0 mm between its pixels"),
}


@pytest.mark.parametrize(("elements", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_no_series(tmp_path: Path, elements: dict[str, Any], message: str) -> None:
    files = save_series(tmp_path / "one", hounsfield())
    changed(files[0], **elements)
    with pytest.raises(InputError, match=message) as error:
        read_series(tmp_path / "one")
    assert "\n" not in str(error.value)


def test_segmentations_agree_with_highdicom(root: Path) -> None:
    path = root / "masks" / "one.dcm"
    found = read_segmentation(path, root / "one")
    slices = [dcmread(one) for one in (root / "one").iterdir()]
    places = {one.SOPInstanceUID: float(one.ImagePositionPatient[1]) for one in slices}
    normal = np.cross(DIRECTIONS[:3], DIRECTIONS[3:])[1]
    ordered = sorted(places, key=lambda uid: places[uid] * normal)
    known = hd.seg.segread(path).get_pixels_by_source_instance(
        ordered, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(found, known)
    assert found.max() == 2


def test_segmentations_that_are_refused(root: Path) -> None:
    files = sorted(
        (root / "one").iterdir(), key=lambda one: float(dcmread(one).ImagePositionPatient[1])
    )
    path, masks = root / "masks" / "one.dcm", numbers()
    both = np.stack([masks > 0, masks > 1], -1).astype(np.uint8)

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message) as error:
            read_segmentation(path, root / "one")
        assert "\n" not in str(error.value) and "Doe" not in str(error.value)

    save_segmentation(path, files, both)
    refused("has segments that overlap; save each as a file of its own")
    save_segmentation(
        path, files, masks.astype(np.float32).clip(0, 1), segmentation_type="FRACTIONAL"
    )
    refused("another type than BINARY")
    save_segmentation(path, files, masks)
    changed(path, FrameOfReferenceUID="1.2.3")
    refused("another frame of reference")
    save_segmentation(path, files, masks)
    for number, file in enumerate(files):
        changed(file, ImagePositionPatient=[10, 21 + THICK * number, 30])
    refused(r"lies on other slices than its image \(1 mm apart\)")
    path.write_bytes(files[0].read_bytes())
    refused("not a segmentation")
    path.write_bytes(files[0].read_bytes()[:200])
    refused("is broken or is not a DICOM image|not a segmentation|lacks")


def test_a_window_is_not_for_series(root: Path) -> None:
    with pytest.raises(InputError, match="window = 1 is for single images"):
        open_cases(root, window=1)


def test_damaged_series_and_segmentations_are_read_or_refused_in_one_line(root: Path) -> None:
    rng = random.Random(0)
    refused = 0
    for path in (root / "masks" / "one.dcm", next((root / "one").iterdir())):
        whole = path.read_bytes()
        for _ in range(60):
            path.write_bytes(mutate_bytes(whole, rng))
            try:
                assert read_segmentation(root / "masks" / "one.dcm", root / "one").shape == SHAPE
                assert read_series(root / "one").values.shape == (*SHAPE, 1)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error) and "Doe" not in str(error)
        path.write_bytes(whole)
    assert refused > 10
