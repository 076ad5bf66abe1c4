"""Images as small PNG files for a page: reduced, differences magnified, within a budget."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from robust.cases.case import Stored
from robust.cases.images import as_png
from robust.files import make_private_folder, write_atomically

BUDGET = 3_000_000
"""Most bytes of all images together: as text in a page a third more, which is below 5 MB."""
SIDES = (448, 320, 256, 224, 192, 160, 128, 112, 96, 80, 64, 48)
"""Longest sides tried in turn until the pictures fit the budget."""

Picture = npt.NDArray[np.uint8]
_PICTURE = re.compile(r"\d+-(clean|eps\d+)(-difference|-outlined)?\.png")


def picture(image: Tensor) -> Picture:
    """A displayed image `(c, h, w)` in [0, 1] as pixels; averaged where it must be reduced."""
    return _reduced(_pixels(image), SIDES[0], cv2.INTER_AREA)


def difference(x_adv: Tensor, x: Tensor) -> tuple[Picture | None, float]:
    """The change between two images magnified around mid-grey, and by how much; None without one.

    It is computed before any rounding to 8 bits. The factor is the largest of 1, 2, 5, 10, 20, ...
    at which no change is clipped. Large images are subsampled: averaging would hide the change.
    """
    change = x_adv.double() - x.double()
    most = float(change.abs().max())
    if most == 0:
        return None, 0.0
    factor = round_down(0.5 / most)
    shown = _pixels(0.5 + factor * change)
    return _reduced(shown, SIDES[0], cv2.INTER_NEAREST), factor


def round_down(value: float) -> float:
    """The largest of ... 0.5, 1, 2, 5, 10, 20 ... that is not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-12)
    return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))


def write_pictures(folder: Path, pictures: Mapping[str, tuple[Picture, bool]]) -> int:
    """Write PNG files by name, each (pixels, whether it shows a difference); returns the side.

    All are reduced to the largest of `SIDES` at which together they stay within `BUDGET`.
    """
    for side in SIDES:
        files = {
            name: as_png(_reduced(pixels, side, cv2.INTER_NEAREST if exact else cv2.INTER_AREA))
            for name, (pixels, exact) in pictures.items()
        }
        if sum(map(len, files.values())) <= BUDGET:
            break
    make_private_folder(folder)
    for name, data in files.items():
        write_atomically(folder / name, data)
    return side


def remove_pictures(folder: Path) -> None:
    """Remove the pictures of an earlier gallery, and the folder where nothing else lies in it."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _PICTURE.fullmatch(path.name):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def reduced_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(h, w) with its longest side at most `side`, in the same proportions."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _pixels(image: Tensor) -> Picture:
    return Stored(8).pixels(image).astype(np.uint8)


def _reduced(pixels: Picture, side: int, how: int) -> Picture:
    height, width = reduced_size((pixels.shape[0], pixels.shape[1]), side)
    if (height, width) == pixels.shape[:2]:
        return pixels
    smaller: Picture = cv2.resize(pixels, (width, height), interpolation=how)  # type: ignore[assignment]
    return smaller
