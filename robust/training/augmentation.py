"""Augmentation: a random variant of an image, which depends on its generator alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from robust.training.recipe import AugmentationSpec

DRAWS = 16
"""Random numbers drawn for every image, so that no setting shifts the numbers of another."""
LEAST_ERASED, MOST_ERASED = 0.02, 0.15
"""The share of the image that an erased rectangle covers."""


def augment(image: Tensor, spec: AugmentationSpec, generator: torch.Generator) -> Tensor:
    """A variant of `image (c, h, w)` uint8, of the same shape; the image itself if all is off.

    Pixels that rotation and shifts uncover take the colour of the image's edge: black around a
    fundus, skin around a lesion, so that a corner does not reveal the class.
    """
    u = torch.rand(DRAWS, generator=generator, dtype=torch.float64).tolist()
    if u[0] < spec.flip_horizontal:
        image = tv.horizontal_flip(image)
    if u[1] < spec.flip_vertical:
        image = tv.vertical_flip(image)
    moves = spec.rotation or spec.translate or spec.scale or spec.shear
    colours = spec.brightness or spec.contrast or spec.saturation or spec.hue
    if moves or colours:
        x = image.float().div_(255)
        if moves:
            x = _move(x, spec, u[2:7])
        if colours:
            x = _colour(x, spec, u[7:11])
        image = x.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    if u[11] < spec.erase:
        image = _erase(image, u[12:16])
    return image


def _move(x: Tensor, spec: AugmentationSpec, u: list[float]) -> Tensor:
    """Rotation, shift, scale and shear as one affine map, so that pixels are blended once."""
    height, width = x.shape[1:]
    fill = _edge(x)
    moved: Tensor = tv.affine(
        x - fill,
        angle=_around(u[0], spec.rotation),
        translate=[_around(u[1], spec.translate) * width, _around(u[2], spec.translate) * height],
        scale=1 + _around(u[3], spec.scale),
        shear=[_around(u[4], spec.shear), 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    return moved.add_(fill)


def _edge(x: Tensor) -> Tensor:
    """The median of the outermost pixels, a channel each: `(c, 1, 1)`."""
    sides = [x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]]
    return torch.cat(sides, 1).median(1).values.view(-1, 1, 1)


def _colour(x: Tensor, spec: AugmentationSpec, u: list[float]) -> Tensor:
    if spec.brightness:
        x = tv.adjust_brightness(x, 1 + _around(u[0], spec.brightness))
    if spec.contrast:
        x = tv.adjust_contrast(x, 1 + _around(u[1], spec.contrast))
    if spec.saturation and len(x) == 3:
        x = tv.adjust_saturation(x, 1 + _around(u[2], spec.saturation))
    if spec.hue and len(x) == 3:
        x = tv.adjust_hue(x, _around(u[3], spec.hue))
    return x


def _erase(image: Tensor, u: list[float]) -> Tensor:
    """Cover a rectangle with the mean colour, Zhong et al. 2020 (arXiv 1708.04896)."""
    height, width = image.shape[1:]
    share = LEAST_ERASED + u[0] * (MOST_ERASED - LEAST_ERASED)
    aspect = 0.5 * 4 ** u[1]
    h = min(height, max(1, round(height * (share * aspect) ** 0.5)))
    w = min(width, max(1, round(width * (share / aspect) ** 0.5)))
    top, left = int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1))
    mean = image.float().mean((1, 2), keepdim=True).round().to(torch.uint8)
    erased: Tensor = tv.erase(image, top, left, h, w, mean.expand(-1, h, w))
    return erased


def _around(u: float, reach: float) -> float:
    """From [0, 1) to [-reach, reach)."""
    return (2 * u - 1) * reach
