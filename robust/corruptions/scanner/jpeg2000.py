"""JPEG 2000 as archives store images (ISO/IEC 15444-1), at a given loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity


@dataclass(frozen=True)
class Jpeg2000:
    """Saved with the wavelet 9/7 at a peak signal-to-noise ratio, and read back.

    A volume is saved slice by slice.
    """

    name: ClassVar[str] = "jpeg2000"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = False
    random: ClassVar[bool] = False
    definition: str = "ISO/IEC 15444-1 at a peak signal-to-noise ratio of 42 to 26 dB"
    note: str = "values are rounded to 256 grey levels"
    decibels: tuple[int, ...] = (42, 38, 34, 30, 26)
    """Peak signal-to-noise ratios that the encoder aims at."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image that comes back."""
        if severity == 0:
            return x
        slices = x.movedim(1, -1)  # channels last, as the codec has them
        levels = (slices.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        flat = levels.reshape(-1, *levels.shape[-3:])
        decibels = at_severity(self.decibels, severity)
        read = np.stack([_through(image, decibels) for image in flat]).reshape(levels.shape)
        return torch.from_numpy(read).movedim(-1, 1).to(x) / 255


def _through(image: np.ndarray, decibels: int) -> np.ndarray:
    """An image `(h, w, c)` uint8, saved and read back."""
    import imagecodecs  # a second, so only where it is used

    grey = image.shape[-1] == 1
    plane = np.ascontiguousarray(image[..., 0] if grey else image)
    stored = imagecodecs.jpeg2k_encode(plane, level=decibels, reversible=False)
    read: np.ndarray = imagecodecs.jpeg2k_decode(stored)
    return read.reshape(image.shape)
