"""Grayscale display of a DICOM frame: modality LUT, windows, VOI LUT, inversion (PS3.3 C.11)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from robust.cases.dicom.parse import Unreadable
from robust.cases.stored_pixels import Lut, Pixels, Stored, Window, whole_range

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def grey_view(
    dataset: Dataset, frame: int, bits: int, signed: bool, window: int | None
) -> tuple[Stored, bool]:
    """The display of a grey frame by its `window`-th view, and whether the file has any view.

    Views are the file's VOI tables and then its windows, counted from 1; None is the first. Without
    a view, `by_range` finds one. Raises Unreadable.
    """
    parts = list(_macros(dataset, frame))
    slope, intercept, modality = _modality(parts, signed, bits)
    views = _views(parts, signed if modality is None else False, dataset)
    wanted = 1 if window is None else window
    if window is not None and not 1 <= window <= len(views):
        has = f"{len(views)} windows" if len(views) != 1 else "1 window"
        raise Unreadable(f"has {has}, but window = {window} is set")
    stored = Stored(
        bits=bits,
        signed=signed,
        slope=slope,
        intercept=intercept,
        modality=modality,
        view=views[wanted - 1] if views else None,
        inverted=is_inverted(dataset),
    )
    return stored, bool(views)


def modality_rescaling(dataset: Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame; Unreadable where a table stands in their place."""
    slope, intercept, table = _modality(list(_macros(dataset, frame)), False, 16)
    if table is not None:
        raise Unreadable("rescales its values through a table, as no volume does")
    return slope, intercept


def by_range(stored: Stored, pixels: Pixels, dataset: Dataset) -> Window | None:
    """The view of a frame whose file has none: the range of its values, without padding.

    Up to 8 unsigned bits the whole stored range, as for PNG: deeper values hardly ever fill it.
    """
    if stored.bits <= 8 and not stored.signed and stored.modality is None and stored.slope > 0:
        return None
    padding, limit = _number(dataset, "PixelPaddingValue"), None
    if padding is not None:
        limit = _number(dataset, "PixelPaddingRangeLimit")
        ends = sorted((padding, padding if limit is None else limit))
        kept = pixels[(pixels < ends[0]) | (pixels > ends[1])]
        pixels = kept if kept.size else pixels
    ends = [float(v) for v in stored.measured(np.array([pixels.min(), pixels.max()], np.float64))]
    if stored.modality is not None:
        values = stored.measured(np.unique(pixels).astype(np.float64))
        ends = [float(values.min()), float(values.max())]
    return whole_range(min(ends), max(ends))


def _macros(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    """The data sets that may hold a frame's attributes, the most specific first."""
    names = ("FrameVOILUTSequence", "PixelValueTransformationSequence")
    for sequence, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = dataset.get(sequence) or []
        if index < len(items):
            for name in names:
                yield from list(items[index].get(name) or [])[:1]
    yield dataset


def _modality(parts: Sequence[Dataset], signed: bool, bits: int) -> tuple[float, float, Lut | None]:
    for part in parts:
        if part.get("ModalityLUTSequence"):
            return 1.0, 0.0, _lut(part.ModalityLUTSequence[0], signed)
        slope, intercept = _number(part, "RescaleSlope"), _number(part, "RescaleIntercept")
        if slope is not None and intercept is not None:
            if slope == 0:
                raise Unreadable("has a rescale slope of 0, which displays nothing")
            return slope, intercept, None
    return 1.0, 0.0, None


def _views(parts: Sequence[Dataset], signed: bool, dataset: Dataset) -> list[Window | Lut]:
    for part in parts:
        found: list[Window | Lut] = [
            _lut(item, _signed_input(item, signed)) for item in part.get("VOILUTSequence") or []
        ]
        centres, widths = _numbers(part, "WindowCenter"), _numbers(part, "WindowWidth")
        if len(centres) != len(widths):
            raise Unreadable(f"has {len(centres)} window centres and {len(widths)} widths")
        function = str(part.get("VOILUTFunction") or "LINEAR").strip().upper()
        if centres and function not in FUNCTIONS:
            raise Unreadable("has a VOI LUT function that DICOM does not define")
        for centre, width in zip(centres, widths, strict=True):
            if width < 1 if function == "LINEAR" else width <= 0:
                raise Unreadable(f"has a window of width {width:g}, which displays nothing")
            found.append(Window(centre, width, function))
        if found:
            return found
    return []


def _signed_input(item: Dataset, signed: bool) -> bool:
    """Whether the table's first input is signed: by its pixels, or by the VR that was read."""
    return signed or item["LUTDescriptor"].VR == "SS"


def _lut(item: Dataset, signed: bool) -> Lut:
    """A lookup table (PS3.3 C.11); its first input is signed if its input values are."""
    count, first, bits = (int(v) for v in item.LUTDescriptor)
    count, first = count % 65536 or 65536, first % 65536
    if signed and first >= 32768:
        first -= 65536
    if not 1 <= bits <= 16:
        raise Unreadable(f"has a table of {bits} bits per entry")
    element = item["LUTData"]
    data = element.value
    if isinstance(data, bytes):
        if len(data) == count and bits == 8:
            entries = np.frombuffer(data, np.uint8).astype(np.int64)
        else:
            little = item.original_encoding[1] is not False
            entries = np.frombuffer(data, "<u2" if little else ">u2", count).astype(np.int64)
    else:
        listed = list(data) if isinstance(data, (MultiValue, list)) else [data]
        entries = np.array([int(v) for v in listed], dtype=np.int64) % 65536
    if bits <= 8 and len(entries) * 2 == count:  # two entries in each word
        entries = np.stack([entries % 256, entries // 256], 1).ravel()
    if len(entries) < count:
        raise Unreadable(f"has a table of {len(entries)} entries that should have {count}")
    # A table that declares fewer bits than it uses is scaled to what it uses.
    most = int(entries[:count].max())
    return Lut(first, max(bits, most.bit_length()), entries[:count].astype("<u2").tobytes())


def is_inverted(dataset: Dataset) -> bool:
    """Whether low values are bright."""
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    return dataset.PhotometricInterpretation.strip() == "MONOCHROME1" or shape == "INVERSE"


def _number(dataset: Dataset, name: str) -> float | None:
    found = _numbers(dataset, name)
    return found[0] if found else None


def _numbers(dataset: Dataset, name: str) -> list[float]:
    value: Any = dataset.get(name)
    if value is None or value == "":
        return []
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    found = [float(v) for v in values if v not in (None, "")]
    if not all(math.isfinite(v) and abs(v) < 1e12 for v in found):
        raise Unreadable("has a window or rescaling that is not a finite number")
    return found
