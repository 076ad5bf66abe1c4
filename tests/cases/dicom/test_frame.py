"""DICOM frames as displayed: against pydicom's own pipeline, the standard's words, and broken files."""

from __future__ import annotations

import csv
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
)

from robust.cases.case import StoredImage
from robust.cases.dicom.frame import Frame, read_dicom
from robust.errors import InputError
from tests.cases.dicoms import NATIVE, PACKED, lut, make, ramp, save


def read(path: Path, index: int = 0, window: int | None = None) -> StoredImage:
    return read_dicom(Frame(path, index, window))


def shown(picture: StoredImage) -> Any:
    return picture.stored.image(picture.pixels).numpy()[0]


def scaled(values: Any) -> Any:
    """What pydicom leaves in units of the output, from 0 to 1 of its range."""
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize("syntax", [*NATIVE, *PACKED])
@pytest.mark.parametrize("bits", [8, 10, 12, 15, 16])
def test_every_syntax_gives_the_stored_pixels(tmp_path: Path, syntax: str, bits: int) -> None:
    pixels = ramp(bits)
    picture = read(save(make(pixels, bits), tmp_path / "a", syntax))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert (picture.pixels.dtype, picture.stored.bits) == (pixels.dtype, bits)
    np.testing.assert_allclose(shown(picture), pixels / (2**bits - 1), atol=1e-7)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [12, 13, 16])
def test_signed_pixels(tmp_path: Path, syntax: str, bits: int) -> None:
    pixels = ramp(bits, signed=True)
    made = make(pixels, bits, RescaleSlope=2, RescaleIntercept=-5, WindowCenter=10, WindowWidth=300)
    picture = read(save(made, tmp_path / "a", syntax))
    np.testing.assert_array_equal(picture.pixels, pixels)
    np.testing.assert_allclose(
        shown(picture), np.clip((2.0 * pixels - 5 - 9.5) / 299 + 0.5, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("window", [None, 1, 2])
def test_windows_as_pydicom_applies_them(tmp_path: Path, function: str, window: int | None) -> None:
    pixels = ramp(12)
    made = make(pixels, RescaleSlope=1, RescaleIntercept=-1024)
    made.WindowCenter, made.WindowWidth, made.VOILUTFunction = [40, 900], [400, 1200], function
    path = save(made, tmp_path / "a")
    values = apply_windowing(apply_modality_lut(pixels, made), made, (window or 1) - 1)
    wanted = (values - -1024) / 4095
    np.testing.assert_allclose(shown(read(path, window=window)), wanted, atol=1e-6)
    with pytest.raises(InputError, match="has 2 windows, but window = 3 is set"):
        read(path, window=3)


def test_tables_come_before_windows(tmp_path: Path) -> None:
    pixels, entries = ramp(8), [(k * k) % 4096 for k in range(200)]
    made = make(pixels, 8, WindowCenter=100, WindowWidth=50)
    made.VOILUTSequence = [lut(20, 12, entries)]
    path = save(made, tmp_path / "a")
    np.testing.assert_allclose(shown(read(path)), apply_voi_lut(pixels, made) / 4095, atol=1e-6)
    second = np.clip((pixels - 99.5) / 49 + 0.5, 0, 1)
    np.testing.assert_allclose(shown(read(path, window=2)), second, atol=1e-6)


def test_a_modality_table_and_a_table_with_a_negative_start(tmp_path: Path) -> None:
    pixels = ramp(8)
    made = make(pixels, 8)
    made.ModalityLUTSequence = [lut(0, 16, [300 * k % 65536 for k in range(256)])]
    made.WindowCenter, made.WindowWidth = 20000, 30000
    wanted = np.clip((apply_modality_lut(pixels, made) - 19999.5) / 29999 + 0.5, 0, 1)
    np.testing.assert_allclose(shown(read(save(made, tmp_path / "a"))), wanted, atol=1e-6)
    pixels = ramp(8, signed=True)
    made = make(pixels.astype(np.int16), 8)
    made.VOILUTSequence = [lut(-100, 8, list(range(200)), signed=True)]
    wanted = np.clip(pixels.astype(float) + 100, 0, 199) / 255
    np.testing.assert_allclose(shown(read(save(made, tmp_path / "b"))), wanted, atol=1e-6)


def test_without_a_window_deep_pixels_fill_their_own_range(tmp_path: Path) -> None:
    pixels = ramp(12) // 8 + 300
    path = save(make(pixels), tmp_path / "a")
    np.testing.assert_allclose(shown(read(path)), scaled(pixels.astype(float)), atol=1e-6)
    pixels[0, 0] = 0
    path = save(make(pixels, PixelPaddingValue=0), tmp_path / "b")
    wanted = np.clip((pixels.astype(float) - 300) / (pixels.max() - 300), 0, 1)
    np.testing.assert_allclose(shown(read(path)), wanted, atol=1e-6)
    path = save(make(np.full((4, 4), 7, np.uint16)), tmp_path / "c")
    assert not shown(read(path)).any()
    half = ramp(8) // 2  # 8 bits are shown as those of PNG
    np.testing.assert_allclose(shown(read(save(make(half, 8), tmp_path / "d"))), half / 255, 1e-6)


@pytest.mark.parametrize(
    "elements",
    [{"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 700}])
def test_inversion(tmp_path: Path, elements: dict[str, Any], window: dict[str, Any]) -> None:
    plain = read(save(make(ramp(), **window), tmp_path / "a"))
    turned = read(save(make(ramp(), **window, **elements), tmp_path / "b"))
    np.testing.assert_array_equal(turned.pixels, plain.pixels)
    np.testing.assert_allclose(shown(turned), 1 - shown(plain), atol=1e-6)
    both = make(ramp(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    plain = read(save(make(ramp()), tmp_path / "d"))
    np.testing.assert_allclose(shown(read(save(both, tmp_path / "c"))), 1 - shown(plain), atol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *PACKED])
def test_each_frame_with_its_own_window(tmp_path: Path, syntax: str) -> None:
    pixels = np.stack([ramp(), ramp()[::-1], ramp() // 3])
    made = make(pixels, frames=3)
    groups = []
    for k in range(3):
        view, group = Dataset(), Dataset()
        view.WindowCenter, view.WindowWidth = 500 * (k + 1), 400
        group.FrameVOILUTSequence = [view]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    path = save(made, tmp_path / "a", syntax)
    for k in range(3):
        picture = read(path, k)
        np.testing.assert_array_equal(picture.pixels, pixels[k])
        wanted = np.clip((pixels[k] - (500.0 * (k + 1) - 0.5)) / 399 + 0.5, 0, 1)
        np.testing.assert_allclose(shown(picture), wanted, atol=1e-6)
    with pytest.raises(InputError, match="holds 3 frames, not number 4"):
        read(path, 3)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *PACKED])
def test_colours(tmp_path: Path, syntax: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (36, 40, 3)).astype(np.uint8)
    picture = read(save(make(pixels, 8), tmp_path / "a", syntax))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.stored.native and picture.stored.image(picture.pixels).shape == (3, 36, 40)


def test_ybr_and_palette_become_rgb(tmp_path: Path) -> None:
    grey = np.full((4, 6, 3), 128, np.uint8)
    grey[:, :, 0] = 77
    picture = read(save(make(grey, 8, PhotometricInterpretation="YBR_FULL"), tmp_path / "a"))
    assert not picture.stored.native
    np.testing.assert_allclose(picture.pixels, 77, atol=1)
    indices = ramp(8)
    made = make(indices, 8, PhotometricInterpretation="PALETTE COLOR")
    for k, colour in enumerate(("Red", "Green", "Blue")):
        name = f"{colour}PaletteColorLookupTable"
        setattr(made, f"{name}Descriptor", [256, 0, 16])
        entries = (np.arange(256) * (k + 1) * 85).astype("<u2")
        setattr(made, f"{name}Data", entries.tobytes())
    picture = read(save(made, tmp_path / "b"))
    assert picture.stored.bits == 16 and not picture.stored.native
    for k in range(3):
        np.testing.assert_array_equal(picture.pixels[:, :, k], indices.astype(int) * (k + 1) * 85)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_without_preamble_and_meta(tmp_path: Path, syntax: str) -> None:
    path = save(make(ramp()), tmp_path / "a", syntax)
    with path.open("rb") as file:
        pydicom.filereader.read_preamble(file, False)
        pydicom.filereader._read_file_meta_info(file)
        rest = file.read()
    path.write_bytes(rest)
    np.testing.assert_array_equal(read(path).pixels, ramp())


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "too many rows": ({"Rows": 60000}, "declares more pixels than it holds"),
    "too large": (
        {"Rows": 65535, "Columns": 65535},
        "65535 x 65535 pixels of 1 channels; at most 80 million",
    ),
    "too many frames": ({"NumberOfFrames": 2**31 - 1}, "declares more pixels than it holds"),
    "no rows": ({"Rows": 0}, "an image without pixels"),
    "too deep": ({"BitsAllocated": 32, "BitsStored": 32}, "has pixels of 32 bits; up to 16"),
    "more bits than room": ({"BitsStored": 17}, "has pixels of 17 bits"),
    "odd colours": ({"PhotometricInterpretation": "CMYK"}, "photometric interpretation"),
    "few samples": ({"PhotometricInterpretation": "RGB"}, "has 1 samples per pixel"),
    "flat slope": ({"RescaleSlope": 0, "RescaleIntercept": 1}, "rescale slope of 0"),
    "flat window": ({"WindowCenter": 0, "WindowWidth": 0}, "window of width 0"),
    "half a window": ({"WindowCenter": [1, 2], "WindowWidth": 9}, "2 window centres and 1 width"),
    "odd function": (
        {"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
        "that DICOM does not define",
    ),
    "odd table": ({"VOILUTSequence": [lut(0, 99, [1, 2])]}, "table of 99 bits"),
    "no palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "has no palette"),
}


@pytest.mark.parametrize(("elements", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_shown_is_refused(
    tmp_path: Path, elements: dict[str, Any], said: str
) -> None:
    path = save(make(ramp(), **elements), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"a\.dcm .*; replace or remove it") as caught:
        read(path)
    assert said in str(caught.value)
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_files_that_are_no_images(tmp_path: Path) -> None:
    whole = save(make(ramp()), tmp_path / "whole.dcm").read_bytes()
    nothing = make(ramp())
    del nothing.PixelData
    bare = save(nothing, tmp_path / "bare.dcm").read_bytes()
    for content, said in (
        (b"", "is not a DICOM file"),
        (b"nonsense" * 99, "is not a DICOM file"),
        (whole[:-7], "declares more pixels than it holds"),
        (whole[:200], "is broken|lacks|holds no image"),
        (bare, "holds no image"),
    ):
        (tmp_path / "x.dcm").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read(tmp_path / "x.dcm")
    with pytest.raises(InputError, match="no such image"):
        read(tmp_path / "absent.dcm")


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(make(ramp(12, shape=(512, 512))), tmp_path / "a", DeflatedExplicitVRLittleEndian)
    read(path)
    monkeypatch.setattr("robust.cases.dicom.parse.MOST_BYTES", 400_000)
    with pytest.raises(InputError, match="decompresses to more than"):
        read(path)


@pytest.mark.parametrize("syntax", PACKED)
def test_a_stream_of_another_size_than_the_header_is_refused(tmp_path: Path, syntax: str) -> None:
    path = save(make(ramp()), tmp_path / "a", syntax)
    made = pydicom.dcmread(path)
    made.Rows = 12
    made.save_as(path)
    with pytest.raises(
        InputError, match=r"another size than its header says|RLE pixels that are broken"
    ):
        read(path)


def test_libraries_keep_silent_and_are_left_as_they_were(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(ramp())
    path = save(made, tmp_path / "a.dcm")
    content = path.read_bytes().replace(b"Doe^Jane", b"Do\xff^Jane")
    path.write_bytes(content.replace(b"P1", b"\xff\xfe"))
    mode, off = (
        pydicom.config.settings.reading_validation_mode,
        logging.getLogger("pydicom").disabled,
    )
    with warnings.catch_warnings(), caplog.at_level(0):
        warnings.simplefilter("error")
        read(path)
    assert not caplog.records
    assert pydicom.config.settings.reading_validation_mode == mode
    assert logging.getLogger("pydicom").disabled == off


# --- the real files ---


def rows(data: Path) -> list[dict[str, str]]:
    with (data / "dicom" / "manifest.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def as_pydicom(path: Path) -> tuple[Any, Dataset]:
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    array = dataset.pixel_array
    return array[0] if int(dataset.get("NumberOfFrames") or 1) > 1 else array, dataset


def test_the_real_files_decode_as_pydicom_decodes_them_or_are_refused(data: Path) -> None:
    refused = set()
    for row in rows(data):
        path = data / "dicom" / row["file"]
        try:
            picture = read(path)
        except InputError as error:
            assert row["decode"].startswith("FAIL") and error.__context__ is None
            refused.add(row["file"])
            continue
        pixels, dataset = as_pydicom(path)
        lossy = dataset.file_meta.TransferSyntaxUID in (JPEGBaseline8Bit, JPEGExtended12Bit)
        # Decoders may round the inverse cosine transform differently: by one level of luminance or chrominance, so two of colour.
        np.testing.assert_allclose(
            picture.pixels.astype(int), pixels, rtol=0, atol=pixels.ndim - 1 if lossy else 0
        )
        if picture.pixels.ndim == 3 or lossy:
            continue
        values = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset).astype(float)
        bits = int(dataset.BitsStored)
        low = -(2.0 ** (bits - 1)) if dataset.PixelRepresentation else 0.0
        if dataset.get("VOILUTSequence"):
            wanted = values / (2**picture.stored.view.bits - 1)  # type: ignore[union-attr]
        elif "WindowWidth" in dataset or bits <= 8:
            low = low * float(dataset.get("RescaleSlope") or 1)
            wanted = (values - low - float(dataset.get("RescaleIntercept") or 0)) / (2**bits - 1)
        else:
            wanted = scaled(values)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            wanted = 1 - wanted
        np.testing.assert_allclose(shown(picture), wanted, atol=2e-6, err_msg=row["file"])
    # The third that pydicom gives up on has no file meta, which can be guessed.
    assert refused == {"pydicom__MR_truncated.dcm", "pydicom__chrJapMulti.dcm"}


def test_the_same_pixels_under_the_other_interpretation_are_the_inverse(data: Path) -> None:
    files = [row["file"] for row in rows(data) if row["repo"] == "mlmed/torchxrayvision"]
    one, other = (read(data / "dicom" / name) for name in files)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    a, b = one.stored.image(one.pixels), other.stored.image(other.pixels)
    assert torch.allclose(a, 1 - b, atol=1e-6) and not torch.allclose(a, b, atol=0.1)


def test_distances_between_pixels_in_the_patient(tmp_path: Path) -> None:
    grid = read(save(make(ramp(), PixelSpacing=[0.5, 0.25]), tmp_path / "a.dcm")).grid
    assert grid is not None and grid.spacing == (0.5, 0.25) and grid.affine is None
    assert read(save(make(ramp(), ImagerPixelSpacing=[0.5, 0.5]), tmp_path / "b.dcm")).grid is None
    assert read(save(make(ramp(), PixelSpacing=[0, 1]), tmp_path / "c.dcm")).grid is None
