"""Reads a DICOM segmentation (SEG, PS3.3 A.51) as the class number of each voxel of its image.

The common case: BINARY segments that do not overlap, on the very slices of the image. Anything else
is refused. Labels of segments are not read: they are free text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.utils import unpack_bits
from pydicom.uid import UID

from robust.cases.dicom.parse import Unreadable, load_bytes, parse, with_input_errors
from robust.cases.dicom.series import MOST_VOXELS, SHIFTED, TURNED, Series, frame_place, series_of
from robust.cases.volumes.kept import read_once

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
"""SOP class of segmentations of bitmaps."""
MOST_SEGMENTS = 200


def read_segmentation(path: Path, image: Path) -> npt.NDArray[np.uint8]:
    """The number of the segment of each voxel `(d, h, w)` of a series; InputError.

    `image` is the folder or the file that the segmentation belongs to.
    """
    series = read_once(series_of, image)
    return with_input_errors(path, lambda: _read(parse(load_bytes(path)), series))


def _read(dataset: Dataset, series: Series) -> npt.NDArray[np.uint8]:
    frames = _check(dataset, series)
    rows, columns = series.shape[1:]
    places = {(one.uid, one.frame): number for number, one in enumerate(series.slices)}
    found = np.zeros(series.shape, np.uint8)
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(groups) != frames:
        raise Unreadable("does not say to which slice each of its frames belongs")
    count = frames * rows * columns
    packed = bytes(dataset.PixelData[: -(-count // 8)])
    bits = np.asarray(unpack_bits(packed))[:count]
    for number, mask in enumerate(bits.reshape(frames, rows, columns).astype(bool)):
        segment = _segment(groups[number])
        place = _place(dataset, number, groups[number], series, places)
        if (found[place][mask] > 0).any():
            raise Unreadable("has segments that overlap; save each as a file of its own")
        found[place][mask] = segment
    return found


def _check(dataset: Dataset, series: Series) -> int:
    """The number of frames; Unreadable for what is not the common case."""
    if str(dataset.get("SOPClassUID")) != SEGMENTATION:
        raise Unreadable("is a DICOM file, but not a segmentation (SEG)")
    kind = str(dataset.get("SegmentationType") or "")
    if kind != "BINARY":
        raise Unreadable("is a segmentation of another type than BINARY; save it as BINARY")
    if UID(dataset.file_meta.TransferSyntaxUID).is_encapsulated:
        raise Unreadable("is a compressed segmentation; save it without compression")
    shape = (int(dataset.Rows), int(dataset.Columns))
    if shape != series.shape[1:]:
        here, there = (f"{h} x {w}" for h, w in (shape, series.shape[1:]))
        raise Unreadable(f"has frames of {here} pixels, its image slices of {there}")
    reference = dataset.get("FrameOfReferenceUID")
    if reference != series.slices[0].dataset.get("FrameOfReferenceUID"):
        raise Unreadable("has another frame of reference than its image")
    frames = int(dataset.get("NumberOfFrames") or 1)
    count = frames * shape[0] * shape[1]
    if frames < 1 or count > MOST_VOXELS or count > 8 * len(dataset.PixelData):
        raise Unreadable("declares more pixels than it holds")
    return frames


def _segment(group: Dataset) -> int:
    number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    if not 1 <= number <= MOST_SEGMENTS:
        raise Unreadable(f"has a segment number {number}; 1 to {MOST_SEGMENTS} are read")
    return number


def _place(
    dataset: Dataset,
    frame: int,
    group: Dataset,
    series: Series,
    places: Mapping[tuple[str, int], int],
) -> int:
    """The slice that a frame outlines: where it lies, which its reference must not contradict."""
    position, along, _ = frame_place(dataset, frame)
    apart = [float(np.abs(one.position - position).max()) for one in series.slices]
    nearest = int(np.argmin(apart))
    turned = np.abs(along - series.slices[nearest].along).max()
    if apart[nearest] > SHIFTED or turned > TURNED:
        raise Unreadable(
            f"lies on other slices than its image ({apart[nearest]:g} mm apart); resample it"
        )
    referenced = _referenced(group)
    if referenced is not None and places.get(referenced, nearest) != nearest:
        raise Unreadable("refers to other slices than those where it lies")
    return nearest


def _referenced(group: Dataset) -> tuple[str, int] | None:
    """Instance and frame that a frame was drawn on; None where it names none, or several."""
    items: list[Any] = []
    for derivation in group.get("DerivationImageSequence") or []:
        items += derivation.get("SourceImageSequence") or []
    if len(items) != 1:
        return None
    frame = items[0].get("ReferencedFrameNumber") or 1
    return str(items[0].get("ReferencedSOPInstanceUID") or ""), int(frame) - 1
