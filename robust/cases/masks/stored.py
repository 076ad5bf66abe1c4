"""A mask as it is handed over: numbers of classes, or 0 and 1 of structures, and its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from robust.cases.volumes.grid import Grid
from robust.metrics.outlines.kept import NOT_OUTLINED as NOT_OUTLINED

BACKGROUND = "background"
"""Class 0 of masks in which a pixel belongs to one class."""


@dataclass(frozen=True)
class StoredMask:
    """The mask of an image, in the form of `Case.mask`, or the numbers of one file."""

    values: npt.NDArray[Any]
    grid: Grid | None = None
    """None where the file does not say where its pixels lie."""
