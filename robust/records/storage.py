"""The record of what is left of attacks once images are stored; standard library alone."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Survival:
    """Cases that any attack within eps (L-inf) fools, of those that are right when clean."""

    eps: float
    levels: float | None
    """eps in grey levels of the files; None where they differ."""
    of: int | None
    """Grey levels that a file has; None where they differ."""
    computed: Estimate
    """By the images as the attacks left them, which no file holds exactly."""
    stored: Estimate
    """Each pixel at the nearest level of its file that keeps within eps."""
    aware: Estimate
    """By those, or where they fail by levels chosen with the model in view."""
    jpeg: Estimate | None
    """After JPEG at quality 95; None where images have neither 1 nor 3 channels."""
    jpeg_clean: Estimate | None
    """Clean images that JPEG alone makes the model misread."""
