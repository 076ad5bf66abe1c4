"""Reads the class numbers that a mask file holds, as they are written there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robust.cases.formats import SMALL_HEAD, format_name, is_dicom, is_nifti
from robust.cases.images import read_numbers
from robust.cases.masks.stored import StoredMask
from robust.errors import InputError
from robust.files import open_regular

MOST_NUMBER = 65535
_LOSSY = ("JPEG", "WebP")


def read_mask_file(path: Path, image: Path | None = None) -> StoredMask:
    """Whole numbers `(h, w)` or `(d, h, w)`, as the file holds them; InputError names the file.

    `image` is where the image lies, to whose slices those of a DICOM segmentation belong.
    A palette of greys is read as grey, since its order says nothing; another palette by its
    indices, which are the class numbers there.
    """
    if is_nifti(path):
        return _read_labels(path)
    if is_dicom(path):
        from robust.cases.dicom.segmentation import read_segmentation

        if image is None:
            raise InputError(f"{path} is DICOM; a DICOM segmentation needs a DICOM image")
        return StoredMask(read_segmentation(path, image))
    with open_regular(path) as file:
        kind = format_name(file.read(SMALL_HEAD))
    if kind in _LOSSY:
        raise InputError(
            f"{path} is a {kind} file, which blurs class numbers; give the mask as PNG, TIFF or GIF"
        )
    pixels = read_numbers(path)
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            raise InputError(
                f"{path} is a mask in colour; save the class number of each pixel as grey"
            )
        pixels = pixels[:, :, 0]
    return StoredMask(np.ascontiguousarray(pixels))


def _read_labels(path: Path) -> StoredMask:
    from robust.cases.volumes.nifti import read_nifti

    volume = read_nifti(path)
    values = volume.measured()
    if values.shape[3] > 1:
        raise InputError(
            f"{path} is a mask of {values.shape[3]} channels; save the class number of each voxel, "
            f"or one file for each structure"
        )
    wrong = (values != np.rint(values)) | (values < 0) | (values > MOST_NUMBER)
    if wrong.any():
        raise InputError(
            f"{path} holds {values[wrong][0]:g}, which is no class number; these are whole numbers "
            f"from 0 to {MOST_NUMBER}"
        )
    kind = np.uint8 if values.max() <= np.iinfo(np.uint8).max else np.uint16
    return StoredMask(values[..., 0].astype(kind), volume.layout.grid)
