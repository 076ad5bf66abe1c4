"""Saturation: a fixed amount added to that of HSV (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.channels import through_rgb
from robust.corruptions.contract import Family, at_severity
from robust.errors import InputError


@dataclass(frozen=True)
class Saturate:
    """More saturation at the same hue and value; grey has the hue of red, so that it turns red."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """What is added to the saturation, in [0, 1], at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "saturate"
    family: ClassVar[Family] = "colour"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity; InputError unless they have 1 or 3 channels."""
        if severity == 0:
            return x
        more = at_severity(self.levels, severity)
        if x.shape[1] not in (1, 3):
            raise InputError(f"{self.name} needs images of 1 or 3 channels, not {x.shape[1]}")
        return through_rgb(x, lambda rgb: _saturated(rgb, more))


def _saturated(rgb: Tensor, more: float) -> Tensor:
    """A channel is value * (1 - saturation * k); k is 0 of the largest and 1 of the least."""
    value, least = rgb.amax(1, keepdim=True), rgb.amin(1, keepdim=True)
    spread = value - least
    grey, black = spread == 0, value == 0
    red = torch.tensor([0.0, 1.0, 1.0], dtype=rgb.dtype, device=rgb.device)
    red = red.reshape(3, *[1] * (rgb.dim() - 2))
    k = torch.where(grey, red, (value - rgb) / spread.masked_fill(grey, 1))
    saturation = (spread / value.masked_fill(black, 1) + more).clamp(max=1)
    return value * (1 - saturation * k)
