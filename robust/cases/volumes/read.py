"""Volumes as cases: whole or slice by slice, with intensities scaled to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from robust.cases.case import Pixels, StoredImage
from robust.cases.formats import is_nifti
from robust.cases.stored_pixels import Stored, whole_range
from robust.cases.volumes.grid import Grid
from robust.cases.volumes.kept import read_once
from robust.cases.volumes.nifti import NiftiVolume, nifti_layout, read_nifti
from robust.errors import InputError, excerpt

PERCENTILES = (0.5, 99.5)
"""What is shown as 0 and as 1, of the values of a volume, where the plan does not say it."""
LAST_AXIS = 2


@dataclass(frozen=True)
class VolumeOptions:
    """What the plan says of volumes."""

    slices: bool = False
    """A case for each slice, in place of one for the volume."""
    frames_too: bool = False
    """Whether the frames of a DICOM file are slices of a volume; else each is an image."""
    axis: int = LAST_AXIS
    """Along which slices are cut."""
    intensities: tuple[float, float] | None = None
    """Values after rescaling that are shown as 0 and as 1; None: `PERCENTILES` of each volume."""

    @staticmethod
    def of(volumes: str | None, axis: int | None, intensities: object) -> VolumeOptions:
        """The options as a plan writes them; InputError for one that makes no sense."""
        if volumes not in (None, "whole", "slices"):
            raise InputError(f"[data] volumes must be whole or slices, not {excerpt(volumes)!r}")
        if axis is not None and (volumes != "slices" or axis not in range(3)):
            raise InputError(
                f'[data] axis = {axis} needs volumes = "slices", and must be 0, 1 or 2'
            )
        pair = None if intensities in (None, "percentiles") else _pair(intensities)
        return VolumeOptions(
            slices=volumes == "slices",
            frames_too=volumes is not None,
            axis=LAST_AXIS if axis is None else axis,
            intensities=pair,
        )


def _pair(value: Any) -> tuple[float, float]:
    try:
        low, high = (float(one) for one in value)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low < high:
        raise InputError(
            f"[data] intensities must be two ascending numbers, or percentiles, not "
            f"{excerpt(value)!r}"
        )
    return low, high


@dataclass(frozen=True, slots=True)
class VolumePlace:
    """The place of a case's voxels: a file, and of a slice its axis and number."""

    path: Path
    """Of a DICOM series its folder."""
    intensities: tuple[float, float] | None = None
    axis: int | None = None
    index: int = 0


def volume_places(path: Path, options: VolumeOptions) -> list[VolumePlace]:
    """The cases of a file: one, or one for each slice.

    A broken file counts as one: reading it says later what is wrong.
    """
    if not options.slices:
        return [VolumePlace(path, options.intensities)]
    try:
        count = _shape(path)[options.axis]
    except InputError:
        count = 1
    return [VolumePlace(path, options.intensities, options.axis, i) for i in range(count)]


def read_volume(place: VolumePlace) -> StoredImage:
    """The voxels at a place `(d, h, w, c)`, or those of a slice; InputError names the file."""
    if place.axis is None:
        return _whole(place.path, place.intensities)
    whole = read_once(_whole, place.path, place.intensities)
    if place.index >= whole.pixels.shape[place.axis]:
        raise InputError(f"{place.path} has fewer slices than when it was opened; put it back")
    assert whole.grid is not None  # every volume has one
    pixels = np.ascontiguousarray(np.take(whole.pixels, place.index, place.axis))
    spacing = tuple(n for axis, n in enumerate(whole.grid.spacing) if axis != place.axis)
    grid = Grid(spacing, whole.grid.affine)
    return StoredImage(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, whole.stored, grid)


def _whole(path: Path, intensities: tuple[float, float] | None) -> StoredImage:
    if is_nifti(path):
        return with_display(read_nifti(path), intensities)
    from robust.cases.dicom.series import read_series

    volume = read_series(path)
    stored = Stored(
        bits=volume.bits,
        signed=volume.signed,
        slope=volume.slope,
        intercept=volume.intercept,
        inverted=volume.inverted,
    )
    low, high = intensities or _percentiles(volume.values * volume.slope + volume.intercept)
    stored = replace(stored, view=whole_range(low, high))
    return StoredImage(stored.cast(volume.values), stored, volume.grid)


def _shape(path: Path) -> tuple[int, ...]:
    if is_nifti(path):
        return nifti_layout(path).shape
    from robust.cases.dicom.series import series_of

    return series_of(path).shape


def _percentiles(values: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


def with_display(volume: NiftiVolume, intensities: tuple[float, float] | None) -> StoredImage:
    """The voxels of a file with their display."""
    layout = volume.layout
    low, high = intensities or _percentiles(volume.measured())
    pixels, bits, signed, wide = _typed(volume.values)
    stored = Stored(
        bits=bits,
        signed=signed,
        slope=layout.slope,
        intercept=layout.intercept,
        view=whole_range(low, high),
        wide=wide,
    )
    return StoredImage(pixels, stored, layout.grid)


def _typed(
    values: npt.NDArray[Any],
) -> tuple[Pixels, int, bool, Literal["whole", "float"] | None]:
    """The values in a type of `Pixels`, with bits, sign and `Stored.wide`.

    Whole numbers of more than 16 bits that fit 16 are taken as such.
    """
    bits = 8 * values.dtype.itemsize
    if values.dtype.kind == "f":
        return values, bits, True, "float"
    signed = values.dtype.kind == "i"
    low, high = int(values.min()), int(values.max())
    if bits <= 8:
        return values.astype(np.int16) if signed else values.astype(np.uint8), bits, signed, None
    if low >= 0 and high < 1 << 16 and (bits > 16 or not signed):
        return values.astype(np.uint16), 16, False, None
    if low >= -(1 << 15) and high < 1 << 15:
        return values.astype(np.int16), 16, True, None
    if high >= 1 << 63:
        raise InputError("a volume holds whole numbers of more than 63 bits; save it as floats")
    return values.astype(np.int64), bits, True, "whole"
