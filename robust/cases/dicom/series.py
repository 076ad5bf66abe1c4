"""A DICOM series as a volume: slices sorted by their position, with one orientation and spacing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from robust.cases.dicom.frame import GREY, Layout, layout, stored_values
from robust.cases.dicom.grayscale import is_inverted, modality_rescaling
from robust.cases.dicom.parse import Unreadable, load_bytes, parse, with_input_errors
from robust.cases.formats import is_dicom
from robust.cases.volumes.grid import Affine, Grid
from robust.cases.walk import list_folder

MOST_SLICES = 4096
MOST_VOXELS = 1 << 28
UNEVEN = 0.01
"""Share of the distance of two slices by which the next one may differ."""
TURNED = 1e-4
"""How much a component of the directions of two slices may differ."""
SHIFTED = 0.01
"""Millimetres by which slices may lie beside the line through the first."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slice:
    """One slice: where its pixels are, and where it lies."""

    uid: str
    """Of the SOP instance."""
    frame: int
    """Number from 0 of the frame in a file of several."""
    dataset: Dataset
    layout: Layout
    position: Floats
    """(3,), millimetres: the centre of the first pixel."""
    along: Floats
    """(2, 3): the directions in which columns and rows are counted."""
    spacing: tuple[float, float]
    """Millimetres between rows, and between columns."""


@dataclass(frozen=True)
class Series:
    """The slices of a volume in their order, and the grid of its voxels (d, h, w)."""

    slices: tuple[Slice, ...]
    grid: Grid

    @property
    def shape(self) -> tuple[int, int, int]:
        """(d, h, w): slices, rows, columns."""
        first = self.slices[0].layout
        return len(self.slices), first.rows, first.columns


@dataclass(frozen=True)
class SeriesVolume:
    """The voxels of a series, as stored."""

    values: npt.NDArray[Any]
    """(d, h, w, 1)."""
    bits: int
    signed: bool
    slope: float
    intercept: float
    inverted: bool
    grid: Grid


def read_series(path: Path) -> SeriesVolume:
    """The volume of a folder of slices, or of a file of several frames; InputError."""

    def work() -> SeriesVolume:
        series = _series(path, header=False)
        first = series.slices[0]
        ways = {
            (
                modality_rescaling(s.dataset, s.frame),
                is_inverted(s.dataset),
                s.layout.bits,
                s.layout.signed,
            )
            for s in series.slices
        }
        if len(ways) > 1:
            raise Unreadable("has slices of several rescalings or types, which are no one volume")
        ((slope, intercept), inverted, bits, signed) = ways.pop()
        values = np.stack([stored_values(s.dataset, s.frame, s.layout) for s in series.slices])
        low = -(1 << (bits - 1)) if signed else 0
        if values.min() < low or values.max() >= low + (1 << bits):
            raise Unreadable(f"holds values that do not fit its {first.layout.bits} bits")
        return SeriesVolume(
            values[..., None], bits, signed, slope, intercept, inverted, series.grid
        )

    return with_input_errors(path, work)


def series_of(path: Path) -> Series:
    """The slices without their pixels; InputError."""
    return with_input_errors(path, lambda: _series(path, header=True))


def _series(path: Path, header: bool) -> Series:
    """The slices in their order; Unreadable where they are no one even stack."""
    slices = [one for file in _files(path) for one in _slices(file, header)]
    if not slices:
        raise Unreadable("holds no DICOM image")
    first = slices[0]
    if len({str(one.dataset.get("SeriesInstanceUID")) for one in slices}) > 1:
        raise Unreadable("holds slices of several series; give each a folder")
    for one in slices:
        sizes = (one.layout.rows, one.layout.columns) == (first.layout.rows, first.layout.columns)
        alike = np.allclose(one.along, first.along, atol=TURNED)
        if not sizes or not alike or not np.allclose(one.spacing, first.spacing, rtol=UNEVEN):
            raise Unreadable("has slices of several sizes, directions or spacings")
    if len(slices) * first.layout.rows * first.layout.columns > MOST_VOXELS:
        raise Unreadable(f"has more than {MOST_VOXELS >> 20} million voxels")
    normal = np.cross(first.along[0], first.along[1])
    slices.sort(key=lambda one: float(one.position @ normal))
    return Series(tuple(slices), Grid(*_grid(slices, normal)))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [one.path for one in list_folder(path) if not one.is_folder and is_dicom(one.path)]
    if len(found) > MOST_SLICES:
        raise Unreadable(f"holds more than {MOST_SLICES} slices")
    return found


def _slices(path: Path, header: bool) -> list[Slice]:
    data = load_bytes(path)
    dataset = parse(data, header=header)
    found = layout(dataset, 1032 * len(data))
    if found.photometric not in GREY:
        raise Unreadable("has slices in colour")
    if found.frames > MOST_SLICES:
        raise Unreadable(f"holds more than {MOST_SLICES} slices")
    uid = str(dataset.get("SOPInstanceUID") or "")
    return [
        Slice(uid, frame, dataset, found, *frame_place(dataset, frame))
        for frame in range(found.frames)
    ]


def frame_place(dataset: Dataset, frame: int) -> tuple[Floats, Floats, tuple[float, float]]:
    """Position, directions and spacing of a frame; Unreadable where the file does not say them."""
    position = _functional(dataset, frame, "PlanePositionSequence", "ImagePositionPatient", 3)
    along = _functional(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = _functional(dataset, frame, "PixelMeasuresSequence", "PixelSpacing", 2)
    directions = along.reshape(2, 3)
    if not np.allclose(directions @ directions.T, np.eye(2), atol=0.01):
        raise Unreadable("has directions of rows and columns that are not at right angles")
    if spacing.min() <= 0:
        raise Unreadable("has a spacing of 0 mm between its pixels")
    return position, directions, (float(spacing[0]), float(spacing[1]))


def _functional(dataset: Dataset, frame: int, group: str, name: str, count: int) -> Floats:
    """Numbers of a functional group: of the frame, shared by all, or of the data set itself."""
    for sequence, index in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = dataset.get(sequence) or []
        if index < len(items) and items[index].get(group):
            dataset = items[index][group].value[0]
            break
    value = dataset.get(name)
    numbers = np.array([float(n) for n in value] if value is not None else [], np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise Unreadable(f"does not say where its slices lie ({name})")
    return numbers


def _grid(slices: Sequence[Slice], normal: Floats) -> tuple[tuple[float, ...], Affine]:
    """Spacing (d, h, w) and the affine in DICOM's own directions (left, posterior, superior)."""
    first = slices[0]
    heights = np.array([float(one.position @ normal) for one in slices])
    steps = np.diff(heights)
    thickness = float(np.median(steps)) if len(steps) else _thickness(first)
    if len(steps) and steps.min() <= 0:
        raise Unreadable("has two slices at one place")
    if len(steps) and np.abs(steps / thickness - 1).max() > UNEVEN:
        at = int(np.abs(steps / thickness - 1).argmax())
        raise Unreadable(
            f"has uneven gaps: {steps[at]:g} mm between slices {at + 1} and {at + 2}, else "
            f"{thickness:g} mm; is one missing?"
        )
    moved = np.array([one.position - first.position for one in slices])
    beside = moved - np.outer(heights - heights[0], normal)
    if np.abs(beside).max() > SHIFTED:
        raise Unreadable("has slices that do not lie above each other (a tilted gantry)")
    affine = np.eye(4)
    affine[:3, 0] = normal * thickness
    affine[:3, 1] = first.along[1] * first.spacing[0]
    affine[:3, 2] = first.along[0] * first.spacing[1]
    affine[:3, 3] = first.position
    rows: Affine = tuple(tuple(float(n) for n in row) for row in affine)
    return (thickness, *first.spacing), rows


def _thickness(one: Slice) -> float:
    try:
        found = float(one.dataset.get("SliceThickness") or 0)
    except (TypeError, ValueError):
        found = 0.0
    if found <= 0:
        raise Unreadable("has one slice and does not say how thick it is")
    return found
