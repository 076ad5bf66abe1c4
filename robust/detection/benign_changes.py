"""Benign transformations (exposure, JPEG, shift, blur): negative controls for detectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.cases.jpeg import through_jpeg

JPEG_QUALITY = 75
BRIGHTNESS_FACTOR = 1.05
GAMMA = 0.95
CONTRAST_FACTOR = 1.05
ROTATION_DEGREES = 3.0


def jpeg(x: Tensor) -> Tensor:
    """JPEG at a usual quality, for images with 1 or 3 channels."""
    return through_jpeg(x, JPEG_QUALITY)


def brightness(x: Tensor) -> Tensor:
    """Every pixel brighter by the same factor."""
    return (x * BRIGHTNESS_FACTOR).clamp(0, 1)


def gamma(x: Tensor) -> Tensor:
    """Another exposure: dark parts brighter, black and white as they were."""
    return x.clamp(0, 1) ** GAMMA


def window(x: Tensor) -> Tensor:
    """A narrower window around the middle grey: more contrast, the extremes cut off."""
    return ((x - 0.5) * CONTRAST_FACTOR + 0.5).clamp(0, 1)


def shift(x: Tensor) -> Tensor:
    """One pixel down and to the right; the edge is repeated."""
    return torch.nn.functional.pad(x, (1, 0, 1, 0), mode="replicate")[..., :-1, :-1]


def rotation(x: Tensor) -> Tensor:
    """A slight turn around the centre; the corners become black."""
    from torchvision.transforms.v2 import functional as F  # seconds, so only where it is used

    turned: Tensor = F.rotate(x, ROTATION_DEGREES, F.InterpolationMode.BILINEAR)
    return turned.clamp(0, 1)


def blur(x: Tensor) -> Tensor:
    """Gaussian blur with a sigma of one pixel at 224 px, in proportion elsewhere, at least 0.5."""
    from torchvision.transforms.v2 import functional as F

    sigma = max(0.5, max(x.shape[2:]) / 224)
    size = 2 * round(3 * sigma) + 1
    blurred: Tensor = F.gaussian_blur(x, [size, size], [sigma, sigma])
    return blurred.clamp(0, 1)


BENIGN_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    f"JPEG at quality {JPEG_QUALITY}": jpeg,
    f"brightness + {100 * (BRIGHTNESS_FACTOR - 1):.0f} %": brightness,
    f"gamma {GAMMA:g}": gamma,
    f"contrast + {100 * (CONTRAST_FACTOR - 1):.0f} %": window,
    "shift by one pixel": shift,
    f"rotation by {ROTATION_DEGREES:g} degrees": rotation,
    "blur": blur,
}
"""By name, from `(n, c, h, w)` in [0, 1] to the same, each image by itself."""
