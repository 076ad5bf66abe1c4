"""Reads a frame of a DICOM file: its stored pixels and their display (PS3.3 C.7.6.3, C.11)."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000TransferSyntaxes,
    RLELossless,
)

from robust.cases.case import Pixels, StoredImage
from robust.cases.dicom import jpeg_decoder
from robust.cases.dicom.codestream import check_codestream, check_rle
from robust.cases.dicom.grayscale import by_range, grey_view
from robust.cases.dicom.parse import Unreadable, load_bytes, parse, with_input_errors
from robust.cases.formats import MOST_SAMPLES
from robust.cases.stored_pixels import Stored
from robust.cases.volumes.grid import Grid

jpeg_decoder.register()

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
J2K = (*JPEG2000TransferSyntaxes, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
DECODERS = {
    RLELossless: "pydicom",
    **dict.fromkeys(jpeg_decoder.DECODER_DEPENDENCIES, jpeg_decoder.PLUGIN),
    **dict.fromkeys(J2K, "pylibjpeg"),
}
"""Of compressed pixels, by transfer syntax: named, so that the same file gives the same pixels
whatever else is installed. That of pylibjpeg for RLE panics on broken files."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of a case's pixels: file, frame and window."""

    path: Path
    index: int = 0
    window: int | None = None
    """Which of the file's views is shown, from 1; None: the first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape and type of the pixels, from the header."""

    rows: int
    columns: int
    samples: int
    frames: int
    allocated: int
    bits: int
    signed: bool
    photometric: str


def read_dicom(frame: Frame) -> StoredImage:
    """The pixels of a frame; InputError names a file that is missing, broken or not an image."""
    data = load_bytes(frame.path)

    def work() -> StoredImage:
        dataset = parse(data)
        return dataclasses.replace(_picture(dataset, frame), grid=_grid(dataset))

    return with_input_errors(frame.path, work)


def layout(dataset: Dataset, size: int) -> Layout:
    """Raises Unreadable for what no image of a file of so many bytes can declare."""
    if "Rows" not in dataset or "Columns" not in dataset:
        raise Unreadable("holds no image")
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    wanted = 1 if photometric in (*GREY, PALETTE) else 3
    if photometric not in (*GREY, PALETTE, *COLOURS):
        raise Unreadable("has a photometric interpretation that robust does not read")
    found = Layout(
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        samples=_integer(dataset, "SamplesPerPixel", 1),
        frames=_integer(dataset, "NumberOfFrames", 1) or 1,
        allocated=_integer(dataset, "BitsAllocated"),
        bits=_integer(dataset, "BitsStored"),
        signed=_integer(dataset, "PixelRepresentation", 0) == 1,
        photometric=photometric,
    )
    if found.samples != wanted:
        raise Unreadable(f"has {found.samples} samples per pixel where its colours need {wanted}")
    if not 1 <= found.bits <= min(found.allocated, 16):
        raise Unreadable(f"has pixels of {found.bits} bits; up to 16 are read")
    if wanted == 3 and found.signed:
        raise Unreadable("has signed colours, which cannot be displayed")
    if found.rows < 1 or found.columns < 1 or found.frames < 1:
        raise Unreadable("has an image without pixels")
    samples = found.rows * found.columns * found.samples
    if samples > MOST_SAMPLES:
        raise Unreadable(
            f"declares {found.rows} x {found.columns} pixels of {found.samples} channels; at most "
            f"{MOST_SAMPLES // 1_000_000} million values are read (downsample it first)"
        )
    # A frame takes an item header in compressed files, and its pixels in others.
    least = 8
    if not UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        least = samples * found.allocated // 8
        if photometric == "YBR_FULL_422":
            least = least * 2 // 3
    if found.frames * max(least, 1) > size:
        raise Unreadable("declares more pixels than it holds")
    return found


def _grid(dataset: Dataset) -> Grid | None:
    """From the distance between pixels in the patient; None where the file does not say it."""
    value = dataset.get("PixelSpacing")
    try:
        high, wide = (float(n) for n in value or ())
    except (TypeError, ValueError):
        return None
    return Grid((high, wide)) if 0 < high < math.inf and 0 < wide < math.inf else None


def _integer(dataset: Dataset, name: str, default: int | None = None) -> int:
    value = dataset.get(name)
    if value is None or value == "":
        if default is None:
            raise Unreadable("lacks header fields that describe the pixels")
        return default
    return int(value)


def _picture(dataset: Dataset, frame: Frame) -> StoredImage:
    if "PixelData" not in dataset:
        float_ = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
        raise Unreadable("holds floating-point pixels" if float_ else "holds no image")
    pixel_layout = layout(dataset, len(dataset.PixelData))
    if frame.index >= pixel_layout.frames:
        raise Unreadable(f"holds {pixel_layout.frames} frames, not number {frame.index + 1}")
    array = stored_values(dataset, frame.index, pixel_layout)
    if pixel_layout.photometric == PALETTE:
        return _through_palette(array, dataset)
    if pixel_layout.photometric not in GREY:
        stored = Stored(bits=pixel_layout.bits, native=pixel_layout.photometric == "RGB")
        return StoredImage(_fitting(array, stored), stored)
    stored, viewed = grey_view(
        dataset, frame.index, pixel_layout.bits, pixel_layout.signed, frame.window
    )
    pixels = _fitting(array, stored)
    if not viewed:
        stored = dataclasses.replace(stored, view=by_range(stored, pixels, dataset))
    return StoredImage(pixels, stored)


def stored_values(dataset: Dataset, index: int, pixel_layout: Layout) -> np.ndarray[Any, Any]:
    """The stored values of a frame `(h, w)` or `(h, w, 3)`; raises Unreadable."""
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        known = "" if syntax.is_private or syntax.name == syntax else f" ({syntax.name})"
        decoder = None
    if decoder is None:
        raise Unreadable(f"is compressed in a way that robust does not read{known}")
    if syntax.is_encapsulated:
        code = get_frame(dataset.PixelData, index, number_of_frames=pixel_layout.frames)
        if syntax == RLELossless:
            check_rle(code, pixel_layout.rows * pixel_layout.columns)
        else:
            check_codestream(code, pixel_layout.rows, pixel_layout.columns, pixel_layout.samples)
    array, _ = decoder.as_array(dataset, index=index, decoding_plugin=DECODERS.get(syntax, ""))
    shape = (pixel_layout.rows, pixel_layout.columns, pixel_layout.samples)[
        : 2 + (pixel_layout.samples > 1)
    ]
    if array.shape != shape:
        raise Unreadable("holds an image of another size than its header says")
    return np.asarray(array)


def _fitting(array: np.ndarray[Any, Any], stored: Stored) -> Pixels:
    if array.min() < stored.low or array.max() > stored.low + stored.levels:
        raise Unreadable(f"holds values that do not fit its {stored.bits} bits")
    return stored.cast(array)


def _through_palette(array: np.ndarray[Any, Any], dataset: Dataset) -> StoredImage:
    name = "RedPaletteColorLookupTable"
    if "SegmentedRedPaletteColorLookupTableData" in dataset or f"{name}Data" not in dataset:
        raise Unreadable("has no palette, or a segmented one, which robust does not read")
    bits = int(dataset[f"{name}Descriptor"].value[2])
    colours = apply_color_lut(array, dataset)[:, :, :3]
    stored = Stored(bits=16 if bits > 8 else 8, native=False)
    return StoredImage(stored.cast(colours), stored)
