"""NIfTI files for tests, written by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

AFFINE = np.diag([2.0, 1.0, 3.0, 1.0])
"""Spacing 2 x 1 x 3 mm."""
SHAPE = (5, 4, 6)
NAME = "Doe^Jane"


def save_nifti(
    path: Path,
    values: np.ndarray[Any, Any],
    affine: np.ndarray[Any, Any] = AFFINE,
    rescaling: tuple[float, float] | None = None,
) -> Path:
    """Values `(d, h, w)` or `(d, h, w, c)` as stored, with texts that name a patient."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nib.Nifti2Image if path.name.startswith("two") else nib.Nifti1Image
    image = kind(values, affine, dtype=values.dtype)
    for field in ("descrip", "intent_name", "aux_file"):
        image.header[field] = NAME
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", NAME.encode()))
    image.header.set_xyzt_units("mm")
    if rescaling is not None:
        image.header.set_slope_inter(*rescaling)
    nib.save(image, path)
    return path


def ramp(dtype: Any = np.int16, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    """Each voxel another value."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)
