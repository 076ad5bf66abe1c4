"""What a run keeps of a predicted outline: the scores of its structures and of the case, a vector.

The vector has `COLUMNS` for the first structure, then for the second and so on, and ends with
`CASE_COLUMNS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robust.metrics.arrays import Array

NOT_OUTLINED = 255
"""Value of pixels in a mask that do not count."""
COLUMNS = (
    "dice",
    "iou",
    "surface_dice",
    "hd95",
    "volume_error",
    "true_volume",
    "predicted_volume",
)
"""Scores of one structure, in their order."""
CASE_COLUMNS = ("case_dice", "pixel_accuracy", "diagonal", "target_agreement")
"""Scores of the whole case, in their order."""


def kept_width(structures: int) -> int:
    """Number of values that are kept of a case with so many structures."""
    return structures * len(COLUMNS) + len(CASE_COLUMNS)


@dataclass(frozen=True)
class KeptScores:
    """The kept vectors of n cases, by name; distances and volumes in mm, or in pixels.

    A structure that is neither there nor predicted has no score: 0/0, NaN. One that is missed, or
    predicted where there is none, has Dice, IoU and surface Dice 0, and HD95 inf.
    """

    values: Array
    """`(n, a)`, a vector of `kept_width` for each case."""

    @property
    def structures(self) -> int:
        """Number of structures."""
        width: int = self.values.shape[1]
        return (width - len(CASE_COLUMNS)) // len(COLUMNS)

    @property
    def table(self) -> Array:
        """`(n, structures, 7)`, the last axis in the order of `COLUMNS`; a view."""
        width = self.structures * len(COLUMNS)
        return self.values[:, :width].reshape(len(self.values), self.structures, len(COLUMNS))

    @property
    def dice(self) -> Array:
        """`(n, structures)`: 2 |both| / (|true| + |predicted|), in [0, 1]."""
        return self._column("dice")

    @property
    def iou(self) -> Array:
        """`(n, structures)`: |both| / |either|, in [0, 1]."""
        return self._column("iou")

    @property
    def surface_dice(self) -> Array:
        """`(n, structures)`: share of both borders within the tolerance of the other, in [0, 1]."""
        return self._column("surface_dice")

    @property
    def hd95(self) -> Array:
        """`(n, structures)`: 95th percentile of the distances between the borders; may be inf."""
        return self._column("hd95")

    @property
    def volume_error(self) -> Array:
        """`(n, structures)`: (predicted - true) / true; -1 where missed, inf where invented."""
        return self._column("volume_error")

    @property
    def true_volume(self) -> Array:
        """`(n, structures)`: in cubic or square mm, or in pixels."""
        return self._column("true_volume")

    @property
    def predicted_volume(self) -> Array:
        """`(n, structures)`: in cubic or square mm, or in pixels."""
        return self._column("predicted_volume")

    @property
    def case_dice(self) -> Array:
        """`(n,)`: mean of the structures' Dice that are not NaN, in [0, 1]; 1 where all are."""
        return self._case_column("case_dice")

    @property
    def pixel_accuracy(self) -> Array:
        """`(n,)`: share of the pixels that are right, background included, in [0, 1]."""
        return self._case_column("pixel_accuracy")

    @property
    def diagonal(self) -> Array:
        """`(n,)`: of the image, in mm or pixels: farther apart than any two borders in it."""
        return self._case_column("diagonal")

    @property
    def target_agreement(self) -> Array:
        """`(n,)`: share of the target mask's pixels that are predicted so; NaN without target."""
        return self._case_column("target_agreement")

    def _column(self, name: str) -> Array:
        return self.table[:, :, COLUMNS.index(name)]

    def _case_column(self, name: str) -> Array:
        column: Array = self.values[:, CASE_COLUMNS.index(name) - len(CASE_COLUMNS)]
        return column


def mean_of_structures(dice: Array) -> Array:
    """Dice of a case `(n,)`: the mean over its structures `(n, structures)`, NaN left out.

    1 where all are: nothing is there, and nothing is predicted.
    """
    known = ~np.isnan(dice)
    total = np.where(known, dice, 0.0).sum(1)
    mean: Array = np.where(known.any(1), total / np.maximum(known.sum(1), 1), 1.0)
    return mean
