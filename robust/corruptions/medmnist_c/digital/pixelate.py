"""Pixelation: means over blocks, shown at the old size (MedMNIST-C, 2406.17536).

Blocks are those of Pillow's box filter: output pixel i of m averages the whole input pixels from
round(i * size / m) to round((i + 1) * size / m).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Pixelate:
    """Sides times a factor by means over blocks, then back by repetition."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[float, ...]
    """The factor on both sides at each severity."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "pixelate"
    family: ClassVar[Family] = "digital"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity."""
        if severity == 0:
            return x
        factor = at_severity(self.levels, severity)
        height, width = x.shape[-2:]
        small = _block_means(x, -2, max(1, int(height * factor)))
        small = _block_means(small, -1, max(1, int(width * factor)))
        planes = small.reshape(len(x), -1, *small.shape[-2:])
        large = F.interpolate(planes, (height, width), mode="nearest-exact")
        return large.reshape(x.shape).clamp(0, 1)


def _block_means(x: Tensor, dim: int, count: int) -> Tensor:
    """Means over `count` blocks along a dimension: of both ends, or as differences of sums."""
    size = x.shape[dim]
    ends = [math.floor(i * size / count + 0.5) for i in range(count + 1)]
    first = torch.tensor(ends[:-1], device=x.device)
    last = torch.tensor(ends[1:], device=x.device) - 1
    if int((last - first).max()) <= 1:
        return (x.index_select(dim, first) + x.index_select(dim, last)).mul_(0.5)
    sums = F.pad(x.cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))
    lengths = (last + 1 - first).to(x.dtype)
    total = sums.index_select(dim, last + 1) - sums.index_select(dim, first)
    return total / (lengths if dim == -1 else lengths[:, None])
