"""How visible a change is: PSNR, and structural similarity (SSIM; Wang et al. 2004)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from robust.engine.summary import Summary
from robust.records import Visibility

WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, in pixels."""
_K1, _K2 = 0.01, 0.03

Plane = npt.NDArray[np.float64]


def psnr(x_adv: Tensor, x: Tensor) -> float | None:
    """Peak signal-to-noise ratio in dB of images in [0, 1]; None where they are equal."""
    error = float((x_adv.double() - x.double()).square().mean())
    return -10 * math.log10(error) if error else None


def ssim(x_adv: Tensor, x: Tensor) -> float | None:
    """Mean SSIM of two images `(c, h, w)` in [0, 1]; None where they are equal or too small.

    Of each channel, and of each slice of volumes `(c, d, h, w)`, over all places at which the whole
    window lies in the image.
    """
    if min(x.shape[-2:]) < WINDOW or bool((x_adv == x).all()):
        return None
    both = (image.double().flatten(0, -3).numpy(force=True) for image in (x_adv, x))
    planes = zip(*both, strict=True)
    return float(np.mean([_ssim(one, other) for one, other in planes]))


def measure_visibility(
    summary: Summary, first_norm: str, values: Sequence[int]
) -> tuple[Visibility, ...]:
    """One for each threat at which an image fools; `values` is the size (c * h * w) of each case.

    PSNR comes from the L2 distances that the run keeps of every adversarial image.
    """
    found = []
    for threat in summary.threats(first_norm):
        condition = summary.worst(threat).condition
        fooled = condition.success & (condition.l2 > 0)
        if not fooled.any():
            continue
        errors = condition.l2[fooled] ** 2 / np.array(values)[fooled]
        ratios = -10 * np.log10(errors)
        found.append(
            Visibility(
                threat.norm,
                threat.eps if math.isfinite(threat.eps) else None,
                int(fooled.sum()),
                float(np.median(condition.linf[fooled])),
                float(np.median(ratios)),
                float(ratios.min()),
            )
        )
    return tuple(found)


def _ssim(one: Plane, other: Plane) -> float:
    mean_1, mean_2 = _smooth(one), _smooth(other)
    variances = _smooth(one * one) - mean_1**2 + _smooth(other * other) - mean_2**2
    covariance = _smooth(one * other) - mean_1 * mean_2
    means = (2 * mean_1 * mean_2 + _K1**2) / (mean_1**2 + mean_2**2 + _K1**2)
    return float((means * (2 * covariance + _K2**2) / (variances + _K2**2)).mean())


def _smooth(plane: Plane) -> Plane:
    """The Gaussian mean at each place at which the whole window lies in the plane."""
    edge = WINDOW // 2
    found = cv2.GaussianBlur(plane, (WINDOW, WINDOW), SIGMA)
    return np.asarray(found, np.float64)[edge:-edge, edge:-edge]
