"""Masks in memory: class numbers of each pixel, or 0 and 1 of structures that may overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from robust.cases.masks.form import MOST_STRUCTURES
from robust.cases.masks.stored import BACKGROUND, NOT_OUTLINED, StoredMask
from robust.cases.stored_pixels import Pixels
from robust.errors import InputError

_IGNORED = -1
"""Of a pixel that does not count, as attacks write it."""


@dataclass(frozen=True)
class HeldMasks:
    """The masks of images in memory."""

    masks: tuple[StoredMask, ...]
    classes: tuple[str, ...]
    outlines: Literal["exclusive", "overlapping"]


def are_masks(y: Any) -> bool:
    """Whether what should be labels has a value for each pixel."""
    if isinstance(y, Tensor | np.ndarray):
        return y.ndim > 2
    first = next(iter(y), None) if isinstance(y, Sequence) and not isinstance(y, str) else None
    return isinstance(first, Image.Image) or getattr(first, "ndim", 0) > 1


def as_masks(
    y: Iterable[Any], images: Sequence[Pixels], classes: Sequence[str] | None
) -> HeldMasks:
    """Masks `(n, *space)` or `(n, k, *space)`, of the size of the images; InputError.

    `classes` name the structures, perhaps the background before those that do not overlap.
    """
    arrays = [_array(mask) for mask in y]
    if len(arrays) != len(images):
        raise InputError(f"there are {len(images)} images and {len(arrays)} masks; give one each")
    spaces = [image.shape[: 3 if image.ndim == 4 else 2] for image in images]
    overlapping = arrays[0].ndim == len(spaces[0]) + 1
    for place, (array, space) in enumerate(zip(arrays, spaces)):
        if array.shape[overlapping:] != space or array.ndim != len(space) + overlapping:
            raise InputError(
                f"mask {place} has the shape {array.shape}, its image {space}; give class numbers "
                f"of this shape, or (k, ...) with 0 and 1 for k structures"
            )
    values = [_numbers(array, place, overlapping) for place, array in enumerate(arrays)]
    counted = (one[one != NOT_OUTLINED] for one in values)
    highest = max(int(one.max(initial=0)) for one in counted)
    if not highest:
        raise InputError("no mask holds a structure: every pixel is 0; give other masks")
    if overlapping and len({len(one) for one in values}) > 1:
        raise InputError("the masks have other numbers of structures; give each the same")
    found = len(values[0]) if overlapping else highest
    names = _names(found, classes, overlapping)
    outlines: Literal["exclusive", "overlapping"] = "overlapping" if overlapping else "exclusive"
    return HeldMasks(tuple(map(StoredMask, values)), names, outlines)


def read_held_mask(location: StoredMask, shape: tuple[int, ...]) -> StoredMask:
    """`Cases.read_mask` of masks that are their own location."""
    return location


def _names(found: int, classes: Sequence[str] | None, overlapping: bool) -> tuple[str, ...]:
    names = tuple(map(str, classes or (f"structure {i + 1}" for i in range(found))))
    if not overlapping and names[0].casefold() == BACKGROUND:
        names = names[1:]
    if len(names) < found or (overlapping and len(names) > found):
        raise InputError(
            f"the masks hold {found} structures, classes names {len(names)}; name each"
        )
    return names if overlapping else (BACKGROUND, *names)


def _array(mask: Any) -> npt.NDArray[Any]:
    return mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)


def _numbers(array: npt.NDArray[Any], place: int, overlapping: bool) -> npt.NDArray[np.uint8]:
    if array.dtype.kind not in "biuf":
        raise InputError(f"mask {place} holds {array.dtype}; give whole numbers")
    most = 1 if overlapping else MOST_STRUCTURES
    ignored = (array == NOT_OUTLINED) | (array == _IGNORED)
    wrong = ~ignored & ((array < 0) | (array > most) | (array != np.rint(array)))
    if wrong.any():
        raise InputError(
            f"mask {place} holds {array[wrong][0]:g}; give "
            f"{'0 and 1' if overlapping else 'class numbers from 0'}, and "
            f"{NOT_OUTLINED} where a pixel does not count"
        )
    return np.ascontiguousarray(np.where(ignored, NOT_OUTLINED, array), np.uint8)
