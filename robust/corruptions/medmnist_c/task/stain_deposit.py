"""Stain deposits: black blots on a slide (MedMNIST-C, 2406.17536).

MedMNIST-C copies ten drawn blots of 24 and ten of 32 px. Here each is drawn anew, with the mean
area of those: its outline is r(a) = R (1 + sum of four waves around the blot).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters, whole
from robust.corruptions.medmnist_c.task.canvas import brought_to, canvas_size

SMALL, LARGE = (24, 0.625), (32, 0.541)
"""Side of a blot's square in pixels and the mean share of it that is black: up to 4, and at 5."""
WAVES = (0.10, 0.07, 0.05, 0.04)
"""Root mean squares of the waves that go around 2, 3, 4 and 5 times, in units of the radius."""
MARGIN = 10
"""Pixels between a blot's square and the border, at least."""
POINTS = 48
"""Corners of an outline."""


@dataclass(frozen=True)
class StainDeposit:
    """From one blot to a largest number, anywhere but near the border."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[int, ...]
    """The largest number of blots at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "stain_deposit"
    family: ClassVar[Family] = "task"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        most = at_severity(self.levels, severity)
        blot = LARGE if severity == 5 else SMALL
        each = 2 + 2 * len(WAVES)
        drawn = parameters(streams, 1 + most * each).double().numpy()
        size = canvas_size(x)
        clear = [brought_to(x, _unstained(size, blot, row, most, each)) for row in drawn]
        return x * torch.stack(clear) if clear else x


def _unstained(
    size: tuple[int, int], blot: tuple[int, float], drawn: NDArray[np.float64], most: int, each: int
) -> NDArray[np.uint8]:
    """255 outside all blots, 0 inside."""
    clear = np.full(size, 255, np.uint8)
    side, share = blot
    for one in drawn[1:].reshape(most, each)[: whole(drawn[0], 1, most)]:
        top, left = (whole(u, MARGIN, length - side - MARGIN) for u, length in zip(one[:2], size))
        outline = _outline(one[2:], math.sqrt(share * side**2 / math.pi), side)
        cv2.fillPoly(clear, [outline + np.array((left, top), np.int32)], 0)
    return clear


def _outline(drawn: NDArray[np.float64], radius: float, side: int) -> NDArray[np.int32]:
    """Corners `(POINTS, 2)` of a blot, x first, within a square of a side."""
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    wave = np.zeros(POINTS)
    spread = sum(rms**2 for rms in WAVES)
    for number, rms in enumerate(WAVES):
        phase, height = (
            2 * np.pi * drawn[2 * number],
            2 * rms * math.sqrt(1.5) * drawn[2 * number + 1],
        )
        wave += height * np.cos((number + 2) * angle + phase)
    # The mean of r * r over the waves is 1 + spread; the filled polygon has half a pixel of rim.
    distance = (radius - 0.5) / math.sqrt(1 + spread) * (1 + wave)
    middle = (side - 1) / 2
    corners = np.stack([middle + distance * np.cos(angle), middle + distance * np.sin(angle)], 1)
    return np.clip(np.rint(corners), 0, side - 1).astype(np.int32)
