"""Where the pixels of an image lie: their spacing in millimetres, and the affine of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robust.errors import InputError

MOST_APART = 1e-3
"""Millimetres (or shares, of directions) by which two affines may differ and still be one."""

Affine = tuple[tuple[float, ...], ...]
"""Four rows of four: from the indices of a voxel to millimetres in the patient."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of an image's pixels."""

    spacing: tuple[float, ...]
    """Millimetres from pixel to pixel along each axis of space."""
    affine: Affine | None = None
    """None where only the spacing is known."""


def check_same_grid(image: Grid | None, mask: Grid | None, where: object) -> None:
    """InputError, which names the mask, where both have an affine and they differ."""
    if image is None or mask is None or image.affine is None or mask.affine is None:
        return
    apart = np.abs(np.array(image.affine) - np.array(mask.affine))
    row, column = np.unravel_index(int(apart.argmax()), apart.shape)
    if apart[row, column] <= MOST_APART:
        return
    here, there = mask.affine[row][column], image.affine[row][column]
    raise InputError(
        f"{where} lies elsewhere than its image: row {row + 1}, column {column + 1} of the affine "
        f"is {here:g}, that of the image {there:g}; resample one onto the other"
    )
