"""Layers before a network for what its library does to images and `Classifier` does not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReversedChannels(nn.Module):
    """Blue, green, red in place of red, green, blue."""

    def forward(self, x: Tensor) -> Tensor:
        """The same images, their channels in reverse order."""
        return x.flip(1)


class Transposed(nn.Module):
    """Width before height, as libraries for volumes order the axes of an image."""

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, c, w, h)`."""
        return x.transpose(2, 3)


class Scaled(nn.Module):
    """Images times a factor, plus an offset."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor = factor
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        """The same images in other units."""
        return x * self.factor + self.offset


class Clipped(nn.Module):
    """Values cut at two bounds."""

    def __init__(self, lowest: float, highest: float) -> None:
        super().__init__()
        self.lowest = lowest
        self.highest = highest

    def forward(self, x: Tensor) -> Tensor:
        """Images within the bounds."""
        return x.clamp(self.lowest, self.highest)


class Stretched(nn.Module):
    """Each image stretched so that its values run from one number to another.

    Of an image with one value alone the library keeps `lowest` times that value.
    """

    def __init__(self, lowest: float, highest: float, *, by_channel: bool = False) -> None:
        super().__init__()
        self.lowest = lowest
        self.highest = highest
        self.axes = (2, 3) if by_channel else (1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Images whose smallest value is `lowest` and whose largest is `highest`."""
        least, most = x.amin(self.axes, keepdim=True), x.amax(self.axes, keepdim=True)
        flat = most == least
        shares = (x - least) / torch.where(flat, torch.ones_like(most), most - least)
        stretched = shares * (self.highest - self.lowest) + self.lowest
        return torch.where(flat, x * self.lowest, stretched)


class Resized(nn.Module):
    """Images resized without a filter against aliasing, or by means over areas."""

    def __init__(self, size: tuple[int, int], mode: str) -> None:
        super().__init__()
        self.size = size
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """Images `(n, c, *size)`."""
        return F.interpolate(x, self.size, mode=self.mode)
