"""Outlines drawn over an image: the true one, the model's without attack, and under attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from robust.gallery.png import SIDES, Picture, picture
from robust.metrics.arrays import Mask

Layers = npt.NDArray[np.bool_]
"""Where each structure is, `(S, h, w)`, of a volume `(S, d, h, w)`."""
DASH = 11, 6
"""Pixels of a dashed line that are drawn, and that are left out."""


@dataclass(frozen=True)
class Stroke:
    """How one outline is drawn: colour-blind readers tell it by colour, width and dashes."""

    colour: tuple[int, int, int]
    """Red, green, blue, of Okabe and Ito's palette."""
    width: int
    dashed: bool = False


TRUE = Stroke((240, 228, 66), 7)
CLEAN = Stroke((86, 180, 233), 3)
ATTACKED = Stroke((213, 94, 0), 3, dashed=True)
"""In the order in which they are drawn: where all agree, each is seen beside the next."""


def outlined(image: Tensor, outlines: Sequence[tuple[Layers, Stroke]]) -> Picture:
    """A displayed image `(c, h, w)` with the outlines of layers `(S, h, w)`, as pixels in colour.

    Small images are enlarged by a whole factor, so that a line is thinner than a pixel of them.
    """
    shown = picture(image)
    factor = max(1, SIDES[0] // max(shown.shape[:2]))
    canvas = np.repeat(np.repeat(shown, factor, 0), factor, 1)
    if canvas.ndim == 2:
        canvas = cv2.cvtColor(canvas, cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    canvas = np.ascontiguousarray(canvas)
    for layers, stroke in outlines:
        for layer in layers:
            _draw(canvas, layer, stroke)
    return canvas


def largest_disagreement(predicted: Layers, true: Layers) -> int:
    """The slice of volumes `(S, d, h, w)` in which most voxels differ."""
    return int((predicted != true).sum((0, 2, 3)).argmax())


def _draw(canvas: Picture, layer: Mask, stroke: Stroke) -> None:
    height, width = canvas.shape[:2]
    mask = cv2.resize(layer.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for line in lines:
        closed = np.concatenate([line, line[:1]])
        drawn, gap = DASH if stroke.dashed else (len(closed), 0)
        for start in range(0, len(closed), drawn + gap):
            part = [closed[start : start + drawn + 1]]
            cv2.polylines(canvas, part, False, stroke.colour, stroke.width, cv2.LINE_AA)
