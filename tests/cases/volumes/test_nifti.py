"""NIfTI files as nibabel reads them: values, order, affine; what is no volume is one line."""

from __future__ import annotations

import gzip
import random
import struct
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from robust.cases.volumes import nifti
from robust.cases.volumes.nifti import nifti_layout, read_nifti
from robust.errors import InputError
from tests.cases.volumes.niftis import AFFINE, NAME, SHAPE, ramp, save_nifti
from tests.fuzz.mutations import mutate_bytes

TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8")


@pytest.mark.parametrize("name", ["one.nii", "one.nii.gz", "two.nii", "two.nii.gz"])
@pytest.mark.parametrize("dtype", TYPES)
def test_values_and_affine_are_those_of_nibabel(tmp_path: Path, name: str, dtype: str) -> None:
    path = save_nifti(tmp_path / name, ramp(dtype), rescaling=(2.0, -7.0))
    volume, wanted = read_nifti(path), nib.load(path)
    np.testing.assert_array_equal(volume.measured()[..., 0], wanted.get_fdata())  # type: ignore[attr-defined]
    assert volume.values.dtype == np.dtype(dtype) and volume.values.flags.c_contiguous
    assert volume.layout.grid.affine is not None
    np.testing.assert_allclose(volume.layout.grid.affine, wanted.affine)  # type: ignore[attr-defined]
    assert volume.layout.grid.spacing == (2.0, 1.0, 3.0)
    assert nifti_layout(path) == volume.layout


def test_nothing_is_reoriented(tmp_path: Path) -> None:
    turned = AFFINE[[1, 0, 2, 3]] * np.array([[-1], [1], [-1], [1]])
    volume = read_nifti(save_nifti(tmp_path / "a.nii", ramp(), turned))
    assert volume.values[1, 2, 3, 0] == ramp()[1, 2, 3]
    np.testing.assert_array_equal(volume.layout.grid.affine or (), turned)


def test_big_endian_files_and_other_units(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    header.set_xyzt_units("micron")
    nib.Nifti1Image(ramp(">i2"), AFFINE, header).to_filename(path)
    volume = read_nifti(path)
    np.testing.assert_array_equal(volume.values[..., 0], ramp())
    assert volume.layout.grid.spacing == pytest.approx((0.002, 0.001, 0.003))


def test_channels_last_and_empty_axes(tmp_path: Path) -> None:
    channels = read_nifti(save_nifti(tmp_path / "a.nii", ramp(shape=(*SHAPE, 2))))
    assert channels.values.shape == (*SHAPE, 2)
    assert channels.values[1, 2, 3].tolist() == ramp(shape=(*SHAPE, 2))[1, 2, 3].tolist()
    assert (
        read_nifti(save_nifti(tmp_path / "b.nii", ramp(shape=(*SHAPE, 1, 1)))).values.shape[3] == 1
    )


def changed(path: Path, at: int, form: str, *values: Any) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", data, at, *values)
    path.write_bytes(data)


REFUSED = {
    "complex": (ramp("c8"), None, "has voxels of complex numbers"),
    "NaN": (np.full(SHAPE, np.nan, "f4"), None, "holds NaN or infinite values"),
    "flat": (ramp(shape=(5, 4)), None, r"has 2 dimensions \(5 x 4\); a volume has 3, or 4"),
    "vectors": (ramp(shape=(*SHAPE, 1, 3)), None, "has 5 dimensions"),
    "no spacing": (ramp(), (76, "8f", 1, 0, 1, 1, 1, 1, 1, 1), "has a spacing of 0 x 1 x 1 mm"),
    "another spacing": (ramp(), (80, "f", 4.0), "voxels of 4 x 1 x 3 mm in pixdim and of 2 x 1"),
    "an affine of a plane": (ramp(), (280, "4f", 0, 0, 0, 0), "lays all voxels in one plane"),
    "no voxels": (ramp(), (40, "8h", 3, 5, 0, 6, 1, 1, 1, 1), "has a side of no voxels"),
    "short": (ramp(), (40, "8h", 3, 5, 4, 900, 1, 1, 1, 1), "bytes of the 36"),
    "huge": (ramp(), (40, "8h", 3, 9999, 9999, 9999, 1, 1, 1, 1), "at most 256 million are read"),
    "many axes": (ramp(), (40, "h", 99), "has 99 dimensions"),
    "unknown type": (ramp(), (70, "h", 77), "has voxels of an unknown type"),
    "an odd rescaling": (ramp(), (112, "2f", 1, np.inf), "NIfTI file|rescaling"),
    "before the header": (ramp(), (108, "f", 8.0), "does not say where its voxels begin"),
    "pairs": (ramp(), (344, "4s", b"ni1\0"), r"one of two files \(.hdr and .img\)"),
    "another format": (ramp(), (344, "4s", b"what"), "is not a NIfTI file"),
}


@pytest.mark.parametrize(("values", "change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_volume(tmp_path: Path, values: Any, change: Any, message: str) -> None:
    path = save_nifti(tmp_path / "a.nii", values)
    if change is not None:
        changed(path, *change)
    with pytest.raises(InputError, match=message) as error:
        read_nifti(path)
    text = str(error.value)
    assert "\n" not in text and NAME not in text and text.startswith(str(path))


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="has voxels of colours"):
        read_nifti(save_nifti(tmp_path / "a.nii", colours))


def test_a_file_that_would_unpack_to_very_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused for what its header declares, before it is unpacked."""
    path = tmp_path / "a.nii"
    save_nifti(path, np.zeros((64, 64, 64), np.int16))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_nifti(packed).values.shape == (64, 64, 64, 1)
    monkeypatch.setattr(nifti, "FREE_BYTES", 1 << 10)
    with pytest.raises(InputError, match="would unpack to 0 MiB, as no image does"):
        read_nifti(packed)
    endless = tmp_path / "c.nii.gz"
    endless.write_bytes(
        gzip.compress(save_nifti(tmp_path / "s.nii", ramp()).read_bytes() + bytes(1 << 22))
    )
    monkeypatch.setattr(nifti, "FREE_BYTES", 1 << 16)
    assert read_nifti(endless).values.shape == (
        *SHAPE,
        1,
    )  # what follows the voxels is not unpacked


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    rng = random.Random(0)
    path = save_nifti(tmp_path / name, ramp("f4"))
    whole = path.read_bytes()
    refused = 0
    for _ in range(300):
        path.write_bytes(mutate_bytes(whole, rng))
        try:
            assert read_nifti(path).values.ndim == 4
        except InputError as error:
            refused += 1
            assert "\n" not in str(error) and NAME not in str(error)
    assert refused > 30


def test_without_nibabel_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_nifti(tmp_path / "a.nii", ramp())
    nifti._nibabel.cache_clear()
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"pip install 'robust-audit\[segmentation\]'"):
        read_nifti(path)
    nifti._nibabel.cache_clear()
