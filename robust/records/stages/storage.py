"""Attack success after quantisation to the file's bit depth and after JPEG."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Survival:
    """Share of cases that any attack within eps (L-infinity) still fools once images are files.

    Every share is of the cases that are correct without attack.
    """

    eps: float
    """In [0, 1] units of the displayed image."""
    eps_levels: float | None
    """eps in grey levels of the files; None where files differ."""
    file_levels: int | None
    """Number of grey levels that a file has (256 for 8 bits); None where files differ."""
    computed: Estimate
    """Fooled by the images as the attacks computed them, which no file holds exactly."""
    quantised: Estimate
    """Fooled after each pixel is rounded to the nearest level of its file that keeps within eps."""
    adversarially_rounded: Estimate | None
    """Fooled by those images, or else by images whose rounding the attacker chose; None where the
    model gives no gradients to choose it by."""
    jpeg: Estimate | None
    """Fooled after JPEG at quality 95; None where images have neither 1 nor 3 channels."""
    jpeg_clean: Estimate | None
    """Clean images that JPEG at quality 95 alone makes the model misread; None as for `jpeg`."""
