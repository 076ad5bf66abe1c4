"""Letters burnt into the image (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import through_rgb
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters, whole
from robust.corruptions.medmnist_c.task.canvas import brought_to, canvas_size
from robust.errors import InputError

FEWEST = 3
"""Letters of a word, at least."""
SMALLEST = 14
"""Size of the font, in hundredths of OpenCV's Hershey duplex, at least."""
PITCH = 8
"""Pixels kept for a letter."""
MARGIN = 10
"""Pixels between a word and the border, at least."""


@dataclass(frozen=True)
class Characters:
    """Words of random small letters in random colours."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[tuple[int, int, float], ...]
    """Most words, most letters of a word, and the largest font at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "characters"
    family: ClassVar[Family] = "task"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity; InputError unless they have 1 or 3 channels."""
        if severity == 0:
            return x
        words, letters, font = at_severity(self.levels, severity)
        if x.shape[1] not in (1, 3):
            raise InputError(f"{self.name} needs images of 1 or 3 channels, not {x.shape[1]}")
        each = 7 + letters
        drawn = parameters(streams, 1 + words * each).double().numpy()
        size = canvas_size(x)
        layers = []
        for row in drawn:
            own = row[1:].reshape(words, each)[: whole(row[0], 1, words)]
            layers.append(_written(size, own, letters, round(100 * font)))
        if not layers:
            return x
        clear = torch.stack([brought_to(x, one) for one, _ in layers])

        def overwritten(rgb: Tensor) -> Tensor:
            return (rgb * clear + torch.stack([brought_to(x, ink) for _, ink in layers])).clamp(
                0, 1
            )

        return through_rgb(x, overwritten)


def _written(
    size: tuple[int, int], words: NDArray[np.float64], letters: int, font: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """How clear the image stays, `(h, w)`, and the colour that is added, `(h, w, 3)`."""
    clear, ink = np.full(size, 255, np.uint8), np.zeros((*size, 3), np.uint8)
    for word in words:
        count = whole(word[0], FEWEST, letters)
        scale = whole(word[1], SMALLEST, font) / 100
        place = (
            whole(word[2], MARGIN, size[1] - PITCH * count),
            whole(word[3], MARGIN, size[0] - MARGIN),
        )
        colour = tuple(whole(u, 0, 255) for u in word[4:7])
        text = "".join(string.ascii_lowercase[whole(u, 0, 25)] for u in word[7 : 7 + count])
        for canvas, value in ((clear, (0,)), (ink, colour)):
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, value, 1, cv2.LINE_AA)
    return clear, ink
