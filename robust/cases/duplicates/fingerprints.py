"""Fingerprint of an image: a small grey thumbnail, whose detail is a perceptual hash.

The detail is a difference of Gaussians divided by its local strength. A change of exposure alters
it little, and two patients whose images share a layout differ in it. Perceptual hashes of this kind
keep its signs alone (Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions"); here the values are kept, since images of one organ differ in little else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from robust.metrics.arrays import Mask, Places

Floats = npt.NDArray[np.float32]

SIDE = 48
"""Height and width of a thumbnail."""
COARSE = SIDE // 4
"""Height and width at which similar images are looked for."""
BLANK = 0.5 / 255
"""An image whose thumbnail has no difference as large as this shows nothing."""
_RANGE_BYTES = 8
_AT_ONCE = 1024


def fingerprint_of(image: Tensor) -> bytes:
    """The thumbnail of an image `(c, h, w)` in [0, 1]: its range, then `SIDE` x `SIDE` levels.

    Of a volume `(c, d, h, w)` that of its middle slice.
    """
    grey = image.float().mean(0)
    grey = grey[len(grey) // 2] if grey.ndim == 3 else grey
    small = F.interpolate(
        grey[None, None], (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
    )
    values: Floats = small[0, 0].cpu().numpy()
    low, high = values.min(), values.max()
    levels = np.rint((values - low) * (255 / max(float(high - low), 1e-9))).astype(np.uint8)
    limits = np.array([low, high], "<f4")
    return bytes(limits.tobytes() + levels.tobytes())


class Fingerprints:
    """The thumbnails of n images, ready to be compared."""

    def __init__(self, fingerprints: Sequence[bytes]) -> None:
        raw = np.frombuffer(b"".join(fingerprints), np.uint8)
        raw = raw.reshape(len(fingerprints), _RANGE_BYTES + SIDE * SIDE)
        limits = raw[:, :_RANGE_BYTES].copy().view("<f4")
        self.blank: Mask = limits[:, 1] - limits[:, 0] < BLANK
        """`(n,)`, which images show nothing."""
        self.keys = list(fingerprints)
        """Equal for images whose thumbnails are equal."""
        self._levels = raw[:, _RANGE_BYTES:].reshape(-1, SIDE, SIDE)
        self.coarse = self._coarse_detail()
        """`(n, COARSE * COARSE)`, rows of length 1; 0 where there is no detail."""

    def __len__(self) -> int:
        return len(self.keys)

    def thumbnails(self, rows: Places) -> Floats:
        """`(m, SIDE, SIDE)`, from 0 for the darkest to 1 for the brightest pixel of each."""
        return np.asarray(self._levels[rows] / 255, np.float32)

    def _coarse_detail(self) -> Floats:
        found = np.zeros((len(self), COARSE * COARSE), np.float32)
        step = SIDE // COARSE
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)))
            blocks = self.thumbnails(rows).reshape(len(rows), COARSE, step, COARSE, step)
            values = detail(blocks.mean((2, 4))).reshape(len(rows), -1)
            length = np.linalg.norm(values, axis=1, keepdims=True)
            found[rows] = values / np.maximum(length, 1e-6)
        found[self.blank] = 0
        return found


def detail(thumbnails: Floats) -> Floats:
    """Difference of Gaussians over its local strength, `(n, h, w)`; 0 where there is no detail."""
    spread = thumbnails.reshape(len(thumbnails), -1).std(1)
    scaled = thumbnails / np.maximum(spread, 1e-3)[:, None, None]
    fine = gaussian_filter(scaled, (0, 0.5, 0.5)) - gaussian_filter(scaled, (0, 1.2, 1.2))
    strength = np.sqrt(gaussian_filter(fine * fine, (0, 1.5, 1.5)) + 0.004**2)
    return np.asarray(fine / strength, np.float32)
