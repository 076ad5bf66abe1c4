"""Changes that images meet in daily life: what a detector should not take for an attack."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

QUALITY = 75
BRIGHTER = 1.05
DEGREES = 3.0


def jpeg(x: Tensor) -> Tensor:
    levels = (x * 255).round().to(torch.uint8).cpu()
    return torch.stack([F.jpeg(image, QUALITY) for image in levels]).to(x) / 255


def brightness(x: Tensor) -> Tensor:
    return (x * BRIGHTER).clamp(0, 1)


def rotation(x: Tensor) -> Tensor:
    turned: Tensor = F.rotate(x, DEGREES, F.InterpolationMode.BILINEAR)
    return turned.clamp(0, 1)


def blur(x: Tensor) -> Tensor:
    """A Gaussian of one pixel at 224, less on smaller images, half a pixel at least."""
    sigma = max(0.5, max(x.shape[2:]) / 224)
    size = 2 * round(3 * sigma) + 1
    blurred: Tensor = F.gaussian_blur(x, [size, size], [sigma, sigma])
    return blurred.clamp(0, 1)


BENIGN_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    f"JPEG at quality {QUALITY}": jpeg,
    f"brightness + {100 * (BRIGHTER - 1):.0f} %": brightness,
    f"rotation by {DEGREES:g} degrees": rotation,
    "blur": blur,
}
"""From `(n, c, h, w)` in [0, 1] to the same, each image by itself."""
