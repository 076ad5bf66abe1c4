r"""Scores of one outline against the truth: overlap, distance between borders, volume.

The border of a structure are its pixels that touch the background, or the edge of the image, with a
face (in 2-D a side). Distances are Euclidean, between centres of pixels, in mm where the spacing is
known. HD95 is the larger of two 95th percentiles: of the distances from the predicted border to the
true one, and of those the other way round, as in MONAI. (medpy pools both: a border of many right
pixels then hides that half of the truth is missed.) Surface Dice counts the pixels of both borders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from robust.metrics.arrays import Array, Mask
from robust.metrics.outlines.kept import NOT_OUTLINED, mean_of_structures

PERCENTILE = 95

Numbers = npt.NDArray[np.integer] | Mask
"""Class numbers `(*space)`, or 0 and 1 for each structure `(k, *space)`."""


def kept_scores(
    predicted: Numbers,
    mask: Numbers,
    *,
    structures: Sequence[int],
    overlapping: bool = False,
    spacing: Sequence[float] | None = None,
    tolerance: float = 1.0,
    target_mask: Numbers | None = None,
) -> Array:
    """What is kept of one predicted case `(a,)`, in the layout of `KeptScores`.

    `predicted`, `mask` and `target_mask` are class numbers `(*space)`, or 0 and 1 for each of the
    structures `(k, *space)` where these overlap. `structures` are the class numbers, or places in
    the stack, of those that count. Pixels that are 255 in a mask do not count. `spacing` (mm) has
    one entry for each axis of space; without, distances are in pixels, and `tolerance` too.
    """
    space = mask.shape[1:] if overlapping else mask.shape
    steps = np.ones(len(space)) if spacing is None else np.asarray(spacing, np.float64)
    counted = mask != NOT_OUTLINED

    def layer(outlines: Numbers, number: int) -> Mask:
        found: Mask = np.asarray(outlines[number] == 1 if overlapping else outlines == number)
        return found

    table = np.array(
        [
            outline_scores(
                layer(predicted, number) & (counted[number] if overlapping else counted),
                layer(mask, number),
                steps,
                tolerance,
            )
            for number in structures
        ]
    )
    case = [
        float(mean_of_structures(table[None, :, 0])[0]),
        _agreement(predicted, mask),
        math.hypot(*(np.array(space) * steps)),
        math.nan if target_mask is None else _agreement(predicted, target_mask),
    ]
    return np.concatenate([table.ravel(), case])


def outline_scores(predicted: Mask, true: Mask, spacing: Array, tolerance: float) -> Array:
    """Scores `(7,)` of one structure from two masks `(*space)`, in the order of `COLUMNS`.

    All but the volumes are NaN where both masks are empty. Where one is, the overlap is 0, HD95 is
    inf, and the error of the volume -1 (missed) or inf (invented).
    """
    box = _joint_box(predicted, true)
    if box is None:
        return np.array([math.nan] * 5 + [0.0, 0.0])
    predicted, true = predicted[box], true[box]
    found, there = int(predicted.sum()), int(true.sum())
    pixel = float(np.prod(spacing))
    volumes = there * pixel, found * pixel
    if not found or not there:
        return np.array([0.0, 0.0, 0.0, math.inf, math.inf if found else -1.0, *volumes])
    both = int((predicted & true).sum())
    to_true, to_predicted = border_distances(predicted, true, spacing)
    near = int((to_true <= tolerance).sum()) + int((to_predicted <= tolerance).sum())
    return np.array(
        [
            2 * both / (found + there),
            both / (found + there - both),
            near / (len(to_true) + len(to_predicted)),
            max(np.percentile(far, PERCENTILE) for far in (to_true, to_predicted)),
            (found - there) / there,
            *volumes,
        ]
    )


def border_distances(predicted: Mask, true: Mask, spacing: Array) -> tuple[Array, Array]:
    """Distances from each pixel of the predicted border to the true border, and the reverse.

    Neither mask is empty.
    """
    own, other = _border(predicted), _border(true)
    return _distances(own, other, spacing), _distances(other, own, spacing)


def _distances(start: Mask, end: Mask, spacing: Array) -> Array:
    """From every pixel in `start` to the nearest in `end`."""
    every: Array = ndimage.distance_transform_edt(~end, sampling=spacing)
    return every[start]


def _border(mask: Mask) -> Mask:
    inner: Mask = ndimage.binary_erosion(mask)
    return mask & ~inner


def _joint_box(predicted: Mask, true: Mask) -> tuple[slice, ...] | None:
    """The smallest box with both; None where both are empty."""
    found = ndimage.find_objects((predicted | true).astype(np.uint8))
    return found[0] if found else None


def _agreement(predicted: Numbers, wanted: Numbers) -> float:
    """Share of the pixels that count in `wanted` and are predicted so; NaN where none counts."""
    counted = wanted != NOT_OUTLINED
    total = int(counted.sum())
    return float((predicted == wanted)[counted].sum() / total) if total else math.nan
