"""Images in memory to stored pixels: layouts, ranges and depths, or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from robust.cases.stored_pixels import Pixels
from robust.errors import InputError

Array = npt.NDArray[Any]
SLACK = 1e-4
"""How far a float may lie beside a level, in levels of 255, to be that level."""
ROUNDING = 1e-5
"""How far a float may lie outside [0, 1], as resizing leaves it."""
_CHANNELS = (1, 3)


def split_images(x: Any) -> list[Any]:
    """The images of a batch: of an array along its first axis, of a list its members."""
    if isinstance(x, Tensor | np.ndarray):
        if x.ndim not in (3, 4, 5):
            raise InputError(
                f"images have the shape {tuple(x.shape)}; give (n, c, h, w), (n, h, w, c) or "
                f"(n, h, w), with 1 or 3 channels, or volumes (n, c, d, h, w)"
            )
        return list(x)
    if isinstance(x, Iterable) and not isinstance(x, str | bytes | dict):
        return list(x)
    raise InputError(
        f"images are a {type(x).__name__}; give a tensor, an array, or a list of images"
    )


def as_pixels(images: Sequence[Any]) -> list[Pixels]:
    """Images in [0, 1], uint8 or uint16 as `(h, w)`, `(h, w, 3)` or, of volumes, `(d, h, w, c)`.

    Floats are kept at 8 bits where every image is exact there, else at 16. InputError for values
    out of range, NaN, other types and other shapes, naming the first image.
    """
    arrays = [_channels_last(_array(image, i), i) for i, image in enumerate(images)]
    floats = [array for array in arrays if array.dtype.kind == "f"]
    for i, array in enumerate(arrays):
        if array.dtype.kind == "f":
            _check_range(array, i, arrays)
        elif array.dtype not in (np.uint8, np.uint16):
            arrays[i] = _whole_numbers(array, i)
    levels = 255 if all(_is_exact(array) for array in floats) else 65535
    kind = np.uint8 if levels == 255 else np.uint16
    return [
        np.ascontiguousarray(
            (array.astype(np.float64).clip(0, 1) * levels).round().astype(kind)
            if array.dtype.kind == "f"
            else array
        )
        for array in arrays
    ]


def _array(image: Any, place: int) -> Array:
    if isinstance(image, Tensor):
        if image.dtype in (torch.bfloat16, torch.float16):
            image = image.float()
        return np.asarray(image.detach().cpu().numpy())
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "RGB"):
            raise InputError(f"image {place} has the mode {image.mode}; convert it to L or RGB")
        return np.asarray(image)
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, list | tuple):
        try:
            return np.asarray(image)
        except ValueError:
            pass
    raise InputError(f"image {place} is a {type(image).__name__}; give a tensor or an array")


def _channels_last(array: Array, place: int) -> Array:
    """`(h, w)` or `(h, w, 3)` of `(h, w)`, `(c, h, w)` or `(h, w, c)`; volumes `(d, h, w, c)`."""
    if array.ndim == 4 and 0 not in array.shape:
        return np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[0] in _CHANNELS:
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or 0 in array.shape:
        raise InputError(
            f"image {place} has the shape {array.shape}; give (c, h, w), (h, w, c) or (h, w), with "
            f"1 or 3 channels"
        )
    return array


def _check_range(array: Array, place: int, every: Sequence[Array]) -> None:
    if not np.isfinite(array).all():
        raise InputError(f"image {place} holds NaN or infinite values; fix or remove it")
    low, high = float(array.min()), float(array.max())
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return
    highest = max(float(one.max()) for one in every)
    if low < 0:
        remedy = "undo the normalisation, and give mean and std to the classifier"
    elif highest <= 255:
        remedy = "divide by 255, or give them as uint8"
    else:
        remedy = "divide by the largest value that their format has"
    raise InputError(
        f"image {place} has values from {low:.4g} to {high:.4g}, not in [0, 1] as displayed; "
        f"{remedy}"
    )


def _whole_numbers(array: Array, place: int) -> Array:
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iu":
        raise InputError(f"image {place} holds {array.dtype}; give uint8, uint16 or floats")
    if int(array.min()) < 0 or int(array.max()) > 255:
        raise InputError(
            f"image {place} holds {array.dtype} from {int(array.min())} to {int(array.max())}; "
            f"give uint8, uint16, or floats in [0, 1] as displayed"
        )
    return array.astype(np.uint8)


def _is_exact(array: Array) -> bool:
    scaled = array.astype(np.float64) * 255
    return bool(np.abs(scaled - scaled.round()).max(initial=0) < SLACK)
