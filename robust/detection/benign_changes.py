"""Benign transformations (JPEG, brightness, rotation, blur): negative controls for detectors."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from robust.cases.jpeg import through_jpeg

JPEG_QUALITY = 75
BRIGHTNESS_FACTOR = 1.05
ROTATION_DEGREES = 3.0


def jpeg(x: Tensor) -> Tensor:
    """JPEG at a usual quality, for images with 1 or 3 channels."""
    return through_jpeg(x, JPEG_QUALITY)


def brightness(x: Tensor) -> Tensor:
    """Every pixel brighter by the same factor."""
    return (x * BRIGHTNESS_FACTOR).clamp(0, 1)


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
    f"rotation by {ROTATION_DEGREES:g} degrees": rotation,
    "blur": blur,
}
"""By name, from `(n, c, h, w)` in [0, 1] to the same, each image by itself."""
