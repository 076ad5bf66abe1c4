"""Writes an adversarial image as a DICOM file that holds its display attributes and nothing else.

Every file is a Secondary Capture of one frame (PS3.3 A.8.1), whatever it was made from: an image
that was computed may not pass for one that a device took. It is built from numbers alone, from
`Stored` and a few checked attributes, so that no text, date, UID, private element, overlay or
thumbnail of the input has a way in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from torch import Tensor

from robust.cases.case import StoredImage
from robust.cases.dicom.attributes import CopiedAttributes, ds, read_attributes
from robust.cases.dicom.frame import Frame, read_dicom
from robust.cases.dicom.parse import content_id, load_bytes, parse, with_input_errors
from robust.cases.stored_pixels import Floats, Lut, Stored, Window
from robust.errors import InputError

EMPTY = (
    *("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("ReferringPhysicianName", "AccessionNumber", "SeriesNumber", "InstanceNumber"),
    *("Laterality", "PatientOrientation"),
)
"""Attributes that a file must have and may leave empty."""
METHOD = "Only display attributes kept; pixels not searched for text"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a written file comes from, as it states itself."""

    patient: str
    """A pseudonym."""
    attack: str
    """In words: attack, norm, eps, and the hash of the model; ASCII, at most 1024 letters."""
    salt: bytes
    """Unknown to whoever has the files alone: no list of UIDs leads from theirs to the input's."""


@dataclass(frozen=True, slots=True)
class WrittenDicom:
    """A written file, and its image before and after."""

    path: Path
    before: StoredImage
    after: StoredImage
    """The image as it is read from the written file."""

    @property
    def levels(self) -> int:
        """Largest change of a stored value."""
        moved = self.after.pixels.astype(np.int64) - self.before.pixels.astype(np.int64)
        return int(np.abs(moved).max())


def write_dicom(
    frame: Frame, image: Tensor, eps: float | Floats, folder: Path, origin: Origin
) -> WrittenDicom:
    """Write the displayed `(c, h, w)` image of a frame to `folder`, named by the input's content.

    Stored values of the input's depth, as `Stored.pixels` finds them; the same image again gives
    the same bytes. The one view in which eps holds is the only one of the file. Colours that the
    input holds in another form than RGB (a palette, YBR) are written as RGB. InputError where the
    input cannot be read, or the image is not of its size and channels.
    """
    data = load_bytes(frame.path)
    before = read_dicom(frame)
    traits = with_input_errors(
        frame.path, lambda: read_attributes(parse(data, header=True), len(data))
    )
    if tuple(image.shape) != tuple(before.stored.image(before.pixels).shape):
        raise InputError(
            f"{frame.path} was resized or made grey when it was read, and cannot be written back; "
            f"remove size and grey from [data]"
        )
    pixels = before.stored.pixels(image, before.pixels, eps)
    dataset = with_input_errors(
        frame.path, lambda: _build(StoredImage(pixels, before.stored), traits, origin, frame, data)
    )
    name = content_id(data) + (f"-{frame.index + 1}" if traits.frames > 1 else "")
    path = folder / f"{name}.dcm"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dataset)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    return WrittenDicom(path, before, read_dicom(Frame(path)))


def _build(
    stored_image: StoredImage, traits: CopiedAttributes, origin: Origin, frame: Frame, data: bytes
) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name in EMPTY:
        setattr(dataset, name, None)
    dataset.PatientID = origin.patient
    dataset.PatientIdentityRemoved = "NO" if traits.burned == "YES" else "YES"
    dataset.DeidentificationMethod = METHOD
    own = hashlib.sha256(data).hexdigest()
    dataset.StudyInstanceUID = _uid(origin, "study", traits.study or own)
    dataset.SeriesInstanceUID = _uid(origin, "series", traits.series or own, origin.attack)
    dataset.Modality = traits.modality
    dataset.SeriesDescription = "Adversarial images"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = origin.attack
    _put_pixels(dataset, stored_image, traits)
    _put_view(dataset, stored_image.stored)
    traits.put(dataset)
    shown = hashlib.sha256(dataset.PixelData).hexdigest()
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = _uid(
        origin, "image", own, str(frame.index), str(frame.window), origin.attack, shown
    )
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _uid(origin: Origin, *parts: str) -> str:
    return generate_uid(entropy_srcs=[origin.salt.hex(), *parts])


def _put_pixels(dataset: Dataset, stored_image: StoredImage, traits: CopiedAttributes) -> None:
    pixels, stored = stored_image.pixels, stored_image.stored
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    else:
        # An inverted presentation table becomes what more viewers heed.
        dataset.PhotometricInterpretation = "MONOCHROME1" if stored.inverted else "MONOCHROME2"
    # Colours out of a palette are deeper than its indices; single bits get a byte each.
    least = 8 if stored.bits <= 8 else 16
    allocated = traits.allocated if traits.allocated in (16, 32) else 8
    dataset.BitsAllocated = max(allocated, least) if stored.native else least
    dataset.BitsStored, dataset.HighBit = stored.bits, stored.bits - 1
    dataset.PixelRepresentation = int(stored.signed)
    kind = f"<{'i' if stored.signed else 'u'}{dataset.BitsAllocated // 8}"
    raw = np.ascontiguousarray(pixels.astype(kind)).tobytes()
    dataset.add_new(
        "PixelData", "OB" if dataset.BitsAllocated == 8 else "OW", raw + b"\0" * (len(raw) % 2)
    )


def _put_view(dataset: Dataset, stored: Stored) -> None:
    """Write rescaling and the one view.

    A range that was found from the pixels becomes a window, since other pixels have another range.
    """
    if dataset.SamplesPerPixel == 3:
        return
    if stored.modality is not None:
        table = _table(stored.modality, stored.signed)
        table.ModalityLUTType = "US"
        dataset.ModalityLUTSequence = [table]
    elif stored.slope != 1 or stored.intercept != 0:
        dataset.RescaleSlope, dataset.RescaleIntercept = ds(stored.slope), ds(stored.intercept)
        dataset.RescaleType = "US"
    signed = stored.modality is None and stored.signed
    if isinstance(stored.view, Lut):
        dataset.VOILUTSequence = [_table(stored.view, signed)]
    elif isinstance(stored.view, Window):
        dataset.WindowCenter, dataset.WindowWidth = ds(stored.view.centre), ds(stored.view.width)
        if stored.view.function != "LINEAR":
            dataset.VOILUTFunction = stored.view.function


def _table(lut: Lut, signed: bool) -> Dataset:
    """A table as an item of a sequence (PS3.3 C.11.1.1)."""
    entries: Any = np.frombuffer(lut.data, "<u2")
    if lut.bits == 8:
        # Two entries in a word; one more of the last changes nothing and fills the word.
        entries = np.append(entries, entries[-1:])[: len(entries) + len(entries) % 2]
        entries = entries.astype(np.uint8)
    kind = "SS" if signed or lut.first < 0 else "US"
    numbers = [len(entries) % 65536, lut.first, lut.bits]
    if kind == "SS":
        numbers = [n - 65536 if n >= 32768 else n for n in numbers]
    item = Dataset()
    item.add_new("LUTDescriptor", kind, numbers)
    item.add_new("LUTData", "OW", entries.tobytes())
    return item
