"""DICOM files drawn by a program, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
PACKED = (RLELossless, JPEG2000Lossless, JPEGLSLossless)


def ramp(bits: int = 12, signed: bool = False, shape: tuple[int, ...] = (36, 40)) -> Any:
    """Values over the whole range of so many bits, ends included."""
    low = -(1 << (bits - 1)) if signed else 0
    values = np.linspace(low, low + (1 << bits) - 1, int(np.prod(shape))).round().reshape(shape)
    return values.astype(np.int16 if signed else np.uint8 if bits <= 8 else np.uint16)


def make(pixels: npt.NDArray[Any], bits: int = 12, frames: int = 0, **elements: Any) -> Dataset:
    """A dataset of grey or colour pixels `(frames?, h, w, 3?)`; elements by keyword go over it."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.PatientID, made.PatientName, made.Modality = "P1", "Doe^Jane", "CR"
    shape = pixels.shape[1:] if frames else pixels.shape
    made.Rows, made.Columns = shape[:2]
    made.SamplesPerPixel = 3 if len(shape) == 3 else 1
    made.PhotometricInterpretation = "RGB" if len(shape) == 3 else "MONOCHROME2"
    if len(shape) == 3:
        made.PlanarConfiguration = 0
    if frames:
        made.NumberOfFrames = frames
    made.BitsAllocated = 8 * pixels.dtype.itemsize
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made["PixelData"] = made_pixels(pixels)
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def made_pixels(pixels: npt.NDArray[Any]) -> Any:
    from pydicom.dataelem import DataElement

    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    return DataElement(
        0x7FE00010, "OW" if pixels.itemsize > 1 else "OB", data + b"\0" * (len(data) % 2)
    )


def save(made: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write it in a transfer syntax; the pixels of the dataset are little-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax == ExplicitVRBigEndian and made.BitsAllocated == 16:
        made.PixelData = np.frombuffer(made.PixelData, "<u2").astype(">u2").tobytes()
    made.file_meta.TransferSyntaxUID = syntax
    if syntax in PACKED:
        encoder, size = get_encoder(syntax), len(made.PixelData)
        frames = int(made.get("NumberOfFrames", 1))
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        options = {
            "rows": made.Rows,
            "columns": made.Columns,
            "samples_per_pixel": made.SamplesPerPixel,
            "photometric_interpretation": made.PhotometricInterpretation,
            "bits_allocated": made.BitsAllocated,
            "bits_stored": made.BitsStored,
            "pixel_representation": made.PixelRepresentation,
            "number_of_frames": 1,
            "planar_configuration": 0,
        }
        pieces = [
            encoder.encode(made.PixelData[k * size // frames : (k + 1) * size // frames], **options)
            for k in range(frames)
        ]
        made.file_meta.TransferSyntaxUID = syntax
        made.PixelData = encapsulate(pieces)
        made["PixelData"].VR = "OB"
        made["PixelData"].is_undefined_length = True
    made.save_as(path, enforce_file_format=True)
    return path


def lut(first: int, bits: int, values: list[int], signed: bool = False) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(values), first, bits])
    item.add_new("LUTData", "US", values)
    return item
