"""Gaussian noise whose sum with an image lies on a grid: Voracek and Hein 2022 (arXiv 2207.07209).

A float32 sum of image and noise keeps traces of the image in its last digits. A network can read
them, and then a radius is certified that is false: the theory is one of real numbers. Here the
smoothed network is f(round(x + noise)), where `round` goes to the nearest of the values k / 65535,
in which displayed images of 8 and of 16 bits are written too. That is a function of a real sum, so
that the theory holds for it, around any image and towards any image. What is left to floating point
is to draw round(x + noise) with the right probabilities, and how wrong these can be is bounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 65535
"""The grid: multiples of 1 / 65535. Those of 1 / 255 are among them."""
_STEP = 2.0**-53
"""Uniform draws are multiples of it."""
_ULPS = 64
"""Largest relative error of the inverse normal distribution function, in units of 2^-52."""


def generators_of(seeds: list[int]) -> list[torch.Generator]:
    """A generator for each seed."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noisy_images(x: Tensor, sigma: float, generator: torch.Generator, count: int) -> Tensor:
    """So many noisy images `(count, c, *space)` of one image `(c, *space)`, on the grid, unclipped.

    Noise is drawn by inversion from 53 random bits a value, on the CPU; the draws go on where the
    call before ended, however many each call takes.
    """
    u = torch.rand((count, *x.shape), generator=generator, dtype=torch.float64)
    u = (u + _STEP / 2).clamp_max(1 - _STEP).to(x.device)
    noise = torch.special.ndtri(u).mul_(sigma * LEVELS)
    images: Tensor = noise.add_(x.double() * LEVELS).round_().div_(LEVELS)
    return images.to(x.dtype)


def deviation(sigma: float, values: int) -> float:
    """By how much the probability of any event can differ from that of exact Gaussian noise.

    For an image of so many values in [0, 1], and given fair random bits. A draw ends on the wrong
    side of a boundary between two neighbours of the grid only if rounding moves it across: that of
    the uniform draw, at most 2^-53, or that of its inverse, product and sum, their error times the
    density there. It is summed over all boundaries, and over all values of the image.
    """
    boundaries = 17 * sigma * LEVELS * _STEP
    arithmetic = 2 * _STEP * LEVELS * (0.8 * (_ULPS + 1.5) * sigma + 1.5)
    return values * (boundaries + arithmetic + 2 * _STEP)
