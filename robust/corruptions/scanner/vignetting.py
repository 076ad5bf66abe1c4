"""Vignetting of a camera: light falls off as the fourth power of the cosine of the angle.

The law of natural vignetting (Kingslake 1992, Optics in Photography, chapter 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Vignetting:
    """The image times cos^4 of the angle under which the lens sees a pixel; 1 at the centre."""

    name: ClassVar[str] = "vignetting"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False
    definition: str = "cos^4 law, corners at 80 to 20 % of the light"
    note: str = ""
    corners: tuple[float, ...] = (0.8, 0.65, 0.5, 0.35, 0.2)
    """Light at the corners, in units of that at the centre."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The darkened image."""
        if severity == 0:
            return x
        height, width = x.shape[-2:]
        rows = torch.linspace(-1, 1, height, dtype=x.dtype, device=x.device)[:, None] * height
        columns = torch.linspace(-1, 1, width, dtype=x.dtype, device=x.device) * width
        square = (rows**2 + columns**2) / (height**2 + width**2)
        # cos^4 = (1 + tan^2)^-2, where tan^2 is proportional to the square of the distance.
        corner = at_severity(self.corners, severity) ** -0.5 - 1
        light: Tensor = 1 / (1 + corner * square).square()
        return x * light
