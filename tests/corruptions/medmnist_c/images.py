"""Synthetic images for tests of MedMNIST-C's corruptions."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.streams import Streams
from robust.cases.phantoms.draw import phantom
from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.definitions import MEDMNIST_C

IN_COLOUR = ("pathmnist", "bloodmnist", "dermamnist", "retinamnist")

DISTINCT: dict[str, tuple[str, Corruption]] = {}
"""By the first data set and the kind: data set and corruption, of equal severities the first."""
for data_set, corruptions in MEDMNIST_C.items():
    for one in corruptions:
        colour = data_set in IN_COLOUR
        same = [c for s, c in DISTINCT.values() if (s in IN_COLOUR) == colour]
        if not any((c.name, c.levels) == (one.name, one.levels) for c in same):
            DISTINCT[f"{data_set}-{one.name}"] = data_set, one


@functools.cache
def stored(data_set: str, size: int, count: int = 2) -> NDArray[np.uint8]:
    """Phantoms as files hold them: `(n, h, w, 3)` for a set in colour, else `(n, h, w)`."""
    modality = "fundus" if data_set in IN_COLOUR else "chest_xray"
    drawn = [phantom(modality, number % 2 == 1, number, size) for number in range(count)]
    return np.stack(drawn)


def images(pixels: NDArray[np.uint8]) -> Tensor:
    """As tensors `(n, c, h, w)` in [0, 1]."""
    layers = pixels if pixels.ndim == 4 else pixels[..., None]
    return torch.from_numpy(layers).movedim(-1, 1).contiguous().float().div_(255)


def streams(count: int, *labels: object) -> Streams:
    return Streams.of(0, range(count), *labels)
