"""DICOM out: the same integers where nothing changed, within eps where it did, and nobody's name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)

from robust.cases.dicom.frame import Frame, read_dicom
from robust.cases.dicom.parse import content_id
from robust.cases.dicom.write import Origin, WrittenDicom, write_dicom
from robust.errors import InputError
from tests.cases.dicoms import lut, make, ramp, save

ORIGIN = Origin("0123456789ab", "Adversarial image: PGD, Linf, eps 1/255", b"salt")
SHARED = Path(__file__).parents[4] / "shared" / "data" / "dicom"
CURVE = [round(4095 * (k / 4095) ** 2) for k in range(4096)]


def item(made: Dataset, name: str, table: Dataset) -> Dataset:
    setattr(made, name, [table])
    return made


def functional() -> Dataset:
    """Three frames, each with its own window."""
    made = make(np.stack([ramp(12)] * 3), 12, frames=3)
    groups = []
    for k in range(3):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = 1000 + 500 * k, 700
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    return made


def padded(bits: int) -> Dataset:
    made = make(ramp(bits))
    made.PixelPaddingValue = 0
    made["PixelPaddingValue"].VR = "US"
    return made


KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "8 bits": (lambda: make(ramp(8), 8), {}),
    "8 bits, odd length": (lambda: make(ramp(8, shape=(5, 7)), 8), {}),
    "10 bits": (lambda: make(ramp(10), 10), {}),
    "12 bits, padded": (lambda: padded(12), {}),
    "16 bits": (lambda: make(ramp(16), 16), {}),
    "signed": (lambda: make(ramp(12, True), 12, RescaleSlope=2, RescaleIntercept=-5.5), {}),
    "signed, window": (
        lambda: make(ramp(16, True), 16, WindowCenter=40, WindowWidth=400),
        {},
    ),
    "second window": (
        lambda: make(ramp(), WindowCenter=[9, 2000], WindowWidth=[9, 2500.5]),
        {"window": 2},
    ),
    "sigmoid": (
        lambda: make(ramp(), WindowCenter=2000, WindowWidth=900, VOILUTFunction="SIGMOID"),
        {},
    ),
    "MONOCHROME1": (
        lambda: make(
            ramp(10), 10, PhotometricInterpretation="MONOCHROME1", WindowCenter=5, WindowWidth=800
        ),
        {},
    ),
    "MONOCHROME1, 8 bits": (
        lambda: make(ramp(8), 8, PhotometricInterpretation="MONOCHROME1"),
        {},
    ),
    "inverse shape": (lambda: make(ramp(12), PresentationLUTShape="INVERSE"), {}),
    "modality table": (
        lambda: item(
            make(ramp()), "ModalityLUTSequence", lut(0, 16, [17 * k for k in CURVE[:900]])
        ),
        {},
    ),
    "VOI table": (lambda: item(make(ramp()), "VOILUTSequence", lut(0, 12, CURVE)), {}),
    "VOI table of bytes": (
        lambda: item(make(ramp(8), 8), "VOILUTSequence", lut(3, 8, CURVE[:1009:8])),
        {},
    ),
    "VOI table, negative": (
        lambda: item(
            make(ramp(), RescaleSlope=1, RescaleIntercept=-1024),
            "VOILUTSequence",
            lut(-1000, 12, CURVE[::2], signed=True),
        ),
        {},
    ),
    "RGB": (lambda: make(ramp(8, shape=(9, 11, 3)), 8), {}),
    "last of 3 frames": (functional, {"index": 2}),
    "big endian": (lambda: make(ramp(16), 16), {"syntax": ExplicitVRBigEndian}),
    "implicit": (lambda: make(ramp(10), 10), {"syntax": ImplicitVRLittleEndian}),
    "JPEG-LS": (lambda: make(ramp(12), 12), {"syntax": JPEGLSLossless}),
}
each = pytest.mark.parametrize("kind", KINDS)


def saved(kind: str, folder: Path) -> Frame:
    build, how = KINDS[kind]
    path = save(build(), folder / "Doe^Jane.dcm", *([how["syntax"]] if "syntax" in how else []))
    return Frame(path, how.get("index", 0), how.get("window"))


def image_of(frame: Frame) -> torch.Tensor:
    found = read_dicom(frame)
    return found.stored.image(found.pixels)


def out(frame: Frame, image: torch.Tensor, eps: Any, folder: Path) -> WrittenDicom:
    return write_dicom(frame, image, eps, folder, ORIGIN)


@each
def test_what_is_not_changed_comes_out_as_it_went_in(kind: str, tmp_path: Path) -> None:
    frame = saved(kind, tmp_path)
    before = read_dicom(frame)
    written = out(frame, image_of(frame), 1 / 255, tmp_path / "out")
    after = read_dicom(Frame(written.path))
    np.testing.assert_array_equal(after.pixels, before.pixels)
    assert (after.stored.bits, after.stored.signed) == (before.stored.bits, before.stored.signed)
    np.testing.assert_allclose(image_of(Frame(written.path)), image_of(frame), atol=2e-7)
    made, given = pydicom.dcmread(written.path), pydicom.dcmread(frame.path)
    for name in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"):
        assert made[name].value == given[name].value
    stem = content_id(frame.path.read_bytes()) + ("-3" if frame.index else "")
    assert written.path.name == f"{stem}.dcm"


@each
@pytest.mark.parametrize("eps", [1 / 255, 8 / 255])
def test_what_is_changed_keeps_within_eps_and_reads_as_written(
    kind: str, eps: float, tmp_path: Path
) -> None:
    frame = saved(kind, tmp_path)
    before, clean = read_dicom(frame), image_of(frame)
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.uniform(-eps, eps, clean.shape).astype(np.float32))
    noise[:, ::2] = 0
    noisy = (clean + noise).clamp(0, 1)
    written = out(frame, noisy, eps, tmp_path / "out")
    wanted = before.stored.pixels(noisy, before.pixels, eps)
    np.testing.assert_array_equal(written.after.pixels, wanted)
    np.testing.assert_array_equal(wanted[::2], before.pixels[::2])
    shown = image_of(Frame(written.path))
    assert float((shown.double() - clean.double()).abs().max()) <= eps + 3e-7
    torch.testing.assert_close(shown, before.stored.image(wanted), atol=2e-7, rtol=0)
    # Where a straight line shows them, levels are eps too; what a window clips may go further.
    if before.stored.modality is None and "table" not in kind and kind != "sigmoid":
        moved = np.abs(wanted.astype(int) - before.pixels.astype(int))
        free = ((clean > 0) & (clean < 1)).numpy()
        free = free[0] if moved.ndim == 2 else np.moveaxis(free, 0, 2)
        assert moved[free].max(initial=0) <= eps / before.stored.step + 1e-3
    assert written.levels == np.abs(wanted.astype(int) - before.pixels.astype(int)).max()


def test_each_pixel_may_have_its_own_eps(tmp_path: Path) -> None:
    frame = saved("10 bits", tmp_path)
    clean = image_of(frame)
    noisy = (clean + torch.linspace(-0.01, 0.01, clean.numel()).view(clean.shape)).clamp(0, 1)
    own = (noisy.double() - clean.double()).abs().numpy()
    shown = image_of(Frame(out(frame, noisy, own, tmp_path / "out").path))
    assert ((shown - clean).abs().numpy() <= own + 2e-7).all()


def test_the_same_image_gives_the_same_bytes_and_another_another_instance(tmp_path: Path) -> None:
    frame = saved("10 bits", tmp_path)
    image = image_of(frame)
    first = out(frame, image, 1 / 255, tmp_path / "a").path.read_bytes()
    assert first == out(frame, image, 1 / 255, tmp_path / "b").path.read_bytes()
    other = pydicom.dcmread(out(frame, (image + 0.01).clamp(0, 1), 1, tmp_path / "c").path)
    same = pydicom.dcmread(tmp_path / "a" / other.filename.split("/")[-1])
    given = pydicom.dcmread(frame.path)
    assert other.SOPInstanceUID != same.SOPInstanceUID == same.file_meta.MediaStorageSOPInstanceUID
    for name in ("StudyInstanceUID", "SeriesInstanceUID"):
        assert other[name].value == same[name].value != given[name].value
    assert list(same.ImageType) == ["DERIVED", "SECONDARY"]
    assert same.DerivationDescription == ORIGIN.attack and same.PatientID == ORIGIN.patient


def check(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


validated = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not there")


@validated
@each
def test_the_validator_finds_no_error(kind: str, tmp_path: Path) -> None:
    frame = saved(kind, tmp_path)
    found = check(out(frame, image_of(frame), 1 / 255, tmp_path / "out").path)
    # It wants tables of 8 or 16 bits that use them all; they are kept as they came.
    assert set(found) <= (set(check(frame.path)) if "table" in kind else set())


FILES = sorted(SHARED.glob("*.dcm")) or [Path("absent")]
LARGE = ("pydicom-data__RG1_J2KI", "fo-dicom__OutOfBoundsOverlay")
"""As others are but for their millions of pixels: JPEG 2000, which RG3_J2KI is too, and plain."""


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not there")
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p.stem in LARGE else p for p in FILES],
    ids=lambda p: p.stem,
)
def test_real_files(path: Path, tmp_path: Path) -> None:
    frame = Frame(path)
    try:
        before = read_dicom(frame)
    except InputError:
        pytest.skip("cannot be read")
    clean, eps = image_of(frame), 4 / 255
    same = out(frame, clean, eps, tmp_path / "same")
    np.testing.assert_array_equal(same.after.pixels, before.pixels)
    noise = torch.from_numpy(np.random.default_rng(0).uniform(-eps, eps, clean.shape)).float()
    written = out(frame, (clean + noise).clamp(0, 1), eps, tmp_path / "out")
    shown = image_of(Frame(written.path))
    assert 0 < float((shown.double() - clean.double()).abs().max()) <= eps + 3e-7
    if shutil.which("dciodvfy"):
        assert check(written.path) == []


CANARY = "ZzCanary"
TEXTS = ("AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")


def marked() -> Dataset:
    """A file in which every text element but those that say how pixels lie is a canary."""
    from pydicom.datadict import DicomDictionary

    made, count = make(ramp(12, shape=(40, 40))), 0
    needed = ("SOPClassUID", "PhotometricInterpretation", "SpecificCharacterSet")
    for tag, (kind, _, _, _, name) in DicomDictionary.items():
        known = name in needed or name in ("PresentationLUTShape", "VOILUTFunction")
        if kind in TEXTS and name and not known and 0x0008 <= tag >> 16 < 0x7FE0:
            made.add_new(tag, kind, CANARY.upper() if kind == "CS" else CANARY)
            count += 1
    assert count > 1500
    made.WindowCenterWidthExplanation = CANARY
    made.private_block(0x0011, CANARY, create=True).add_new(1, "LO", CANARY)
    made.add_new(0x60000010, "US", 40)
    made.add_new(0x60003000, "OB", CANARY.encode() * 25)
    icon = make(ramp(8, shape=(8, 8)), 8)
    icon.PixelData = CANARY.encode() * 8
    icon.ImageComments = CANARY
    made.IconImageSequence = [icon]
    made.preamble = (CANARY * 16).encode()
    made.LossyImageCompressionRatio = 2.5
    return made


@pytest.mark.filterwarnings("ignore")
def test_no_word_of_the_input_reaches_the_output(tmp_path: Path) -> None:
    path = save(marked(), tmp_path / f"{CANARY}.dcm")
    data = path.read_bytes()
    assert data.lower().count(CANARY.lower().encode()) > 1500
    frame = Frame(path)
    written = out(frame, image_of(frame), 1 / 255, tmp_path / "out").path
    assert CANARY.lower() not in written.name.lower()
    assert CANARY.lower().encode() not in written.read_bytes().lower()
    made = pydicom.dcmread(written)
    assert (made.Modality, made.PatientIdentityRemoved) == ("OT", "YES")
    assert "LossyImageCompression" not in made and not made.PatientName


@pytest.mark.parametrize("space", ["YBR_FULL", "PALETTE COLOR"])
def test_other_colours_are_written_as_rgb(space: str, tmp_path: Path) -> None:
    made = make(ramp(8, shape=(9, 11, 3) if space == "YBR_FULL" else (9, 11)), 8)
    made.PhotometricInterpretation = space
    if space != "YBR_FULL":
        for k, name in enumerate(("Red", "Green", "Blue")):
            table = np.roll(np.arange(256, dtype="<u2") * 257, 40 * k).tobytes()
            made.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            made.add_new(f"{name}PaletteColorLookupTableData", "OW", table)
    frame = Frame(save(made, tmp_path / "a.dcm"))
    written = out(frame, image_of(frame), 1 / 255, tmp_path / "out")
    assert not written.before.stored.native and written.after.stored.native
    np.testing.assert_array_equal(written.after.pixels, written.before.pixels)
    assert pydicom.dcmread(written.path).PhotometricInterpretation == "RGB"
    if shutil.which("dciodvfy"):
        assert check(written.path) == []


def test_what_was_lost_once_stays_lost_and_pixels_keep_their_shape(tmp_path: Path) -> None:
    made = make(ramp(), LossyImageCompression="01", PixelSpacing=[0.4, 0.2], Modality="MG")
    made.LossyImageCompressionRatio, made.LossyImageCompressionMethod = 12.5, "ISO_10918_1"
    made.BurnedInAnnotation = "YES"
    frame = Frame(save(made, tmp_path / "a.dcm"))
    written = pydicom.dcmread(out(frame, image_of(frame), 1 / 255, tmp_path / "out").path)
    assert (written.LossyImageCompression, written.LossyImageCompressionRatio) == ("01", 12.5)
    assert written.LossyImageCompressionMethod == "ISO_10918_1"
    assert (list(written.PixelAspectRatio), written.Modality) == ([2, 1], "MG")
    assert (written.BurnedInAnnotation, written.PatientIdentityRemoved) == ("YES", "NO")


def test_what_is_not_the_size_of_its_file_is_refused(tmp_path: Path) -> None:
    frame = saved("RGB", tmp_path)
    with pytest.raises(InputError, match=r"resized or made grey .* remove size and grey"):
        out(frame, image_of(frame)[:1], 1 / 255, tmp_path / "out")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        out(frame, image_of(frame), 1 / 255, tmp_path / "file")
