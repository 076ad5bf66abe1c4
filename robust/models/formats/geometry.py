"""How a library makes an image as large as its network: resized, then perhaps cropped."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robust.models.formats.input_layers import CentreCrop


@dataclass(frozen=True)
class Geometry:
    """A resize and a crop, as libraries say them."""

    exact: tuple[int, int] | None = None
    """Resized to this (height, width), whatever the shape."""
    shortest: int | None = None
    """Resized so that the shorter side has so many pixels, if not `exact`."""
    crop: tuple[int, int] | None = None
    """Centre that is kept."""
    interpolation: str = "bilinear"
    half_to_even: bool = False
    """Whether half a pixel of the border is rounded as torchvision does; else it is left out."""

    @property
    def size(self) -> tuple[int, int] | None:
        """What `Classifier` resizes to: the shape of an image decides nothing then."""
        return self.exact

    def layers(self) -> list[nn.Module]:
        """What comes before the network for the rest."""
        if self.exact is None and self.shortest is not None and self.crop is not None:
            return [_ShortestSide(self.shortest, self.interpolation), self._crop(self.crop)]
        return [] if self.crop in (None, self.exact) else [self._crop(self.crop)]

    def _crop(self, size: tuple[int, int] | None) -> CentreCrop:
        assert size is not None
        return CentreCrop(size, half_to_even=self.half_to_even)


class _ShortestSide(nn.Module):
    """Images resized so that their shorter side has a number of pixels."""

    def __init__(self, side: int, interpolation: str) -> None:
        super().__init__()
        self.side = side
        self.interpolation = interpolation

    def forward(self, x: Tensor) -> Tensor:
        """Images of the same shape, up to the rounding of the longer side."""
        height, width = x.shape[2:]
        longer = int(self.side * max(height, width) / min(height, width))
        size = (self.side, longer) if height <= width else (longer, self.side)
        if size == (height, width):
            return x
        if self.interpolation == "nearest":
            return F.interpolate(x, size, mode="nearest")
        return F.interpolate(x, size, mode=self.interpolation, antialias=True, align_corners=False)
