"""Reads NIfTI-1 and NIfTI-2 files (.nii, .nii.gz): voxels, grid and rescaling, nothing else.

Voxels are neither reoriented nor resampled. Of the header only what describes them is read: its
texts (descrip, intent_name, extensions) may name a patient.
"""

from __future__ import annotations

import functools
import gzip
import io
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from robust.cases.formats import image_bytes
from robust.cases.volumes.grid import Affine, Grid
from robust.errors import InputError
from robust.files import open_regular

MOST_BYTES = 1 << 30
"""Of a file."""
MOST_VOXELS = 1 << 28
"""Voxels times channels of one volume: 512 x 512 x 1024."""
FREE_BYTES, MOST_RATIO = 1 << 29, 200
"""A gzipped volume may unpack to so many bytes, and to so many more for each in the file."""
SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
"""Bytes of a header, and its class in nibabel."""
MAGIC = {348: (slice(344, 348), b"n+1\0", b"ni1\0"), 540: (slice(4, 8), b"n+2\0", b"ni2\0")}
"""Where the kind of file stands: voxels behind the header, or in a file of their own."""
MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Of a unit of length (bits 0 to 2 of xyzt_units); 0 is not known and taken as millimetres."""
MOST_APART = 0.01
"""Share by which the spacing and the affine may differ."""
T = TypeVar("T")


@dataclass(frozen=True)
class NiftiLayout:
    """What the header says of the voxels."""

    shape: tuple[int, int, int, int]
    """(d, h, w, c), the axes in the order of the file."""
    dtype: np.dtype[Any]
    start: int
    """Bytes before the first voxel."""
    slope: float
    intercept: float
    grid: Grid

    @property
    def end(self) -> int:
        """Bytes up to the last voxel."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class NiftiVolume:
    """The voxels of a file."""

    layout: NiftiLayout
    values: npt.NDArray[Any]
    """(d, h, w, c) as stored, before rescaling, in the byte order of the machine."""

    def measured(self) -> npt.NDArray[np.float64]:
        """The values after rescaling."""
        return self.values * self.layout.slope + self.layout.intercept


class _Wrong(Exception):
    """What is wrong with a file."""


def read_nifti(path: Path) -> NiftiVolume:
    """The volume in a file; InputError where it is missing, broken, too large or no volume."""
    return _with_input_errors(path, lambda: _read(path))


def nifti_layout(path: Path) -> NiftiLayout:
    """The layout alone, from the first bytes of a file; InputError as `read_nifti`."""

    def work() -> NiftiLayout:
        with open_regular(path) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with _unpacked(file) if packed else file as stream:
                return _layout(stream.read(max(SIZES)))

    return _with_input_errors(path, work)


def _with_input_errors(path: Path, work: Callable[[], T]) -> T:
    """The result of `work`; any error in it becomes an InputError in our words."""
    try:
        return work()
    except InputError:
        raise
    except _Wrong as error:
        wrong = str(error)
    except MemoryError:
        wrong = "needs more memory than there is"
    except Exception:  # noqa: BLE001  (a broken file fails in any way; its words may name a patient)
        wrong = "is broken or is not a NIfTI file"
    raise InputError(f"{path} {wrong}; replace or remove it")


def _read(path: Path) -> NiftiVolume:
    data = image_bytes(path, MOST_BYTES)
    if data[:2] == b"\x1f\x8b":
        with _unpacked(io.BytesIO(data)) as stream:
            head = stream.read(max(SIZES))
            layout = _layout(head)
            if layout.end > FREE_BYTES + MOST_RATIO * len(data):
                raise _Wrong(f"would unpack to {layout.end >> 20} MiB, as no image does")
            data = head + stream.read(max(0, layout.end - len(head)))
    else:
        layout = _layout(data)
    if len(data) < layout.end:
        raise _Wrong(f"holds {len(data)} bytes of the {layout.end} that its header says")
    count = math.prod(layout.shape)
    flat = np.frombuffer(data, layout.dtype, count, layout.start)
    values = flat.reshape(layout.shape, order="F")
    values = np.ascontiguousarray(values, layout.dtype.newbyteorder("="))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise _Wrong("holds NaN or infinite values; fix them")
    return NiftiVolume(layout, values)


def _unpacked(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file)


def _layout(data: bytes) -> NiftiLayout:
    length, order = _header_length(data)
    nibabel = _nibabel()
    header = getattr(nibabel, SIZES[length])(data[:length], order, check=False)
    shape = _shape(header)
    dtype = _dtype(header, nibabel)
    start = int(header["vox_offset"])
    if not length <= start <= MOST_BYTES:
        raise _Wrong("has a header that does not say where its voxels begin")
    slope, intercept = header.get_slope_inter()
    slope, intercept = (1.0 if slope is None else slope, 0.0 if intercept is None else intercept)
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise _Wrong("has a rescaling that is not a finite number")
    return NiftiLayout(shape, dtype, start, float(slope), float(intercept), _grid(header, nibabel))


def _header_length(data: bytes) -> tuple[int, str]:
    """Bytes of the header, and its byte order."""
    for order in "<>":
        (length,) = struct.unpack(f"{order}i", data[:4])
        if length in SIZES and len(data) >= length:
            place, whole, apart = MAGIC[length]
            if data[place] == apart:
                raise _Wrong("is one of two files (.hdr and .img); save it as one .nii")
            if data[place] == whole:
                return length, order
    raise _Wrong("is not a NIfTI file")


def _shape(header: Any) -> tuple[int, int, int, int]:
    axes = [int(n) for n in header["dim"]]
    if not 1 <= axes[0] <= 7:
        raise _Wrong(f"has {axes[0]} dimensions")
    sizes = axes[1 : axes[0] + 1]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) not in (3, 4):
        shown = " x ".join(map(str, sizes))
        raise _Wrong(f"has {len(sizes)} dimensions ({shown}); a volume has 3, or 4 with channels")
    if min(sizes) < 1:
        raise _Wrong("has a side of no voxels")
    if math.prod(sizes) > MOST_VOXELS:
        shown = " x ".join(map(str, sizes))
        raise _Wrong(f"has {shown} voxels; at most {MOST_VOXELS >> 20} million are read")
    d, h, w, c = (*sizes, 1)[:4]
    return d, h, w, c


def _dtype(header: Any, nibabel: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (nibabel.spatialimages.HeaderDataError, KeyError):
        raise _Wrong("has voxels of an unknown type") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        kind = "complex numbers" if dtype.kind == "c" else f"the type {dtype}"
        kind = "colours" if dtype.names else kind
        raise _Wrong(f"has voxels of {kind}; whole numbers and floats of up to 64 bits are read")
    return dtype


def _grid(header: Any, nibabel: Any) -> Grid:
    unit = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    spacing = np.array(header["pixdim"][1:4], np.float64) * unit
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        shown = " x ".join(f"{n:g}" for n in spacing)
        raise _Wrong(f"has a spacing of {shown} mm between its voxels; fix pixdim in its header")
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= unit
    sizes = nibabel.affines.voxel_sizes(affine)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise _Wrong("has an affine that lays all voxels in one plane; fix it")
    if np.abs(sizes / spacing - 1).max() > MOST_APART:
        here, there = (" x ".join(f"{n:g}" for n in one) for one in (spacing, sizes))
        raise _Wrong(f"has voxels of {here} mm in pixdim and of {there} mm in its affine; fix one")
    rows: Affine = tuple(tuple(float(n) for n in row) for row in affine)
    return Grid(tuple(float(n) for n in spacing), rows)


@functools.cache
def _nibabel() -> Any:
    try:
        import nibabel
        import nibabel.affines
        import nibabel.spatialimages
    except ImportError:
        raise InputError(
            "NIfTI files need nibabel: pip install 'robust-audit[segmentation]'"
        ) from None
    return nibabel
