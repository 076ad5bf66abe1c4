"""JPEG compression at a low quality (MedMNIST-C, 2406.17536)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from attacks.streams import Streams
from robust.cases.jpeg import through_jpeg
from robust.corruptions.contract import Family, at_severity
from robust.errors import InputError


@dataclass(frozen=True)
class JPEGCompression:
    """The image saved as 8-bit JPEG and read back; colour has half the resolution (4:2:0)."""

    definition: str
    """The data set whose severities these are."""
    levels: tuple[int, ...]
    """The quality at each severity, from 1 to 100, as libjpeg counts it."""
    note: str = ""
    """What a reader must know."""

    name: ClassVar[str] = "jpeg_compression"
    family: ClassVar[Family] = "digital"
    differentiable: ClassVar[bool] = False
    random: ClassVar[bool] = False

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity; InputError unless they have 1 or 3 channels."""
        if severity == 0:
            return x
        quality = at_severity(self.levels, severity)
        if x.shape[1] not in (1, 3):
            raise InputError(f"{self.name} needs images of 1 or 3 channels, not {x.shape[1]}")
        if x.dim() == 4:
            return through_jpeg(x, quality)
        slices = x.movedim(2, 1)
        spoiled = through_jpeg(slices.flatten(0, 1), quality)
        return spoiled.reshape(slices.shape).movedim(1, 2)
