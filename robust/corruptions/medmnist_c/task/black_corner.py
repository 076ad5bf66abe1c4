"""Black corners: the round field of a dermatoscope (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class BlackCorner:
    """Black outside a disk around the middle."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """The disk's radius at each severity, in units of half the shorter side."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "black_corner"
    family: ClassVar[Family] = "task"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        radius = at_severity(self.levels, severity)
        return x * _field(x.shape[-2], x.shape[-1], radius).to(x.device, x.dtype)


@functools.lru_cache(maxsize=16)
def _field(height: int, width: int, radius: float) -> Tensor:
    disk = np.zeros((height, width), np.uint8)
    pixels = int(min(width // 2, height // 2) * radius)
    cv2.circle(disk, (width // 2, height // 2), pixels, 1, thickness=-1)
    return torch.from_numpy(disk)
