"""Air bubbles under the cover slip: brighter disks with a rim (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.draws import parameters, whole
from robust.corruptions.medmnist_c.task.canvas import brought_to, canvas_size

FEWEST, SMALLEST = 7, 3
"""Bubbles in an image, and the radius of one in pixels, at least."""
INSIDE, RIM = 100, 130
"""How much white covers the image there, of 255."""
BORDER = 2
"""Width of the rim in pixels."""


@dataclass(frozen=True)
class Bubble:
    """Disks of half-transparent white with a brighter rim; a later one hides an earlier one."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[tuple[int, int], ...]
    """Largest radius, in pixels, and largest number at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "bubble"
    family: ClassVar[Family] = "task"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        largest, most = at_severity(self.levels, severity)
        drawn = parameters(streams, 1 + 3 * most).double().numpy()
        size = canvas_size(x)
        cover = [brought_to(x, _cover(size, largest, most, row)) for row in drawn]
        return torch.lerp(x, torch.ones_like(x), torch.stack(cover)) if cover else x


def _cover(
    size: tuple[int, int], largest: int, most: int, drawn: NDArray[np.float64]
) -> NDArray[np.uint8]:
    image = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(image)
    for u, v, w in drawn[1:].reshape(most, 3)[: whole(drawn[0], FEWEST, most)]:
        radius = whole(u, SMALLEST, largest)
        x, y = whole(v, radius, size[1] - radius), whole(w, radius, size[0] - radius)
        for reach, cover in ((radius + BORDER, RIM), (radius, INSIDE)):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=cover)
    return np.array(image)
