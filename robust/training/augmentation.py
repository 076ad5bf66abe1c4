"""Augmentation: a random variant of an image and its mask, which depends on its generator alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from robust.cases.case import NOT_OUTLINED
from robust.training.modality import corrupted
from robust.training.recipe import AugmentationSpec

DRAWS = 16
"""Random numbers drawn for every image, so that no setting shifts the numbers of another."""
LEAST_ERASED, MOST_ERASED = 0.02, 0.15
"""The share of the image that an erased rectangle covers."""


class Sample(NamedTuple):
    """An image to learn from."""

    image: Tensor
    """`(c, h, w)` or `(c, d, h, w)` uint8."""
    mask: Tensor | None = None
    """As in `Case.mask`; None where the label is a class."""


def augment(sample: Sample, spec: AugmentationSpec, generator: torch.Generator) -> Sample:
    """A variant of a sample, of the same shape; the sample itself if all is off.

    A mask moves with its image, a volume in the plane of its slices. Pixels that rotation and
    shifts uncover take the colour of the image's edge: black around a fundus, skin around a lesion,
    so that a corner does not reveal the class. In a mask they do not count.
    """
    image, mask = sample
    u = torch.rand(DRAWS, generator=generator, dtype=torch.float64).tolist()
    if u[0] < spec.flip_horizontal:
        image, mask = image.flip(-1), None if mask is None else mask.flip(-1)
    if u[1] < spec.flip_vertical:
        image, mask = image.flip(-2), None if mask is None else mask.flip(-2)
    moves = spec.rotation or spec.translate or spec.scale or spec.shear
    colours = spec.brightness or spec.contrast or spec.saturation or spec.hue
    if moves or colours:
        x = image.float().div_(255)
        if moves:
            x = _move(x, spec, u[2:7])
            mask = None if mask is None else _move_mask(mask, spec, u[2:7])
        if colours:
            # The slices of a volume one below the other, so that all change alike.
            x = _colour(x.flatten(1, -2), spec, u[7:11]).view(x.shape)
        image = x.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    if u[11] < spec.erase:
        image = _erase(image, u[12:16])
    if spec.augment == "modality":
        x = corrupted(image.float().div_(255), spec, generator, has_mask=mask is not None)
        image = x.mul(255).round_().clamp_(0, 255).to(torch.uint8)
    return Sample(image, mask)


def random_crop(sample: Sample, sides: tuple[int, ...], generator: torch.Generator) -> Sample:
    """A part of a sample of so many pixels; every other one holds a pixel of a structure.

    A smaller image is padded with black, which does not count in the mask.
    """
    image, mask = _padded(sample, sides)
    space = tuple(image.shape[1:])
    u = torch.rand(2 + 2 * len(space), generator=generator, dtype=torch.float64).tolist()
    most = [extent - side for extent, side in zip(space, sides, strict=True)]
    corner = [int(share * (room + 1)) for share, room in zip(u[2:], most)]
    if mask is not None and u[0] < 0.5:
        inside = (mask != 0) & (mask != NOT_OUTLINED)
        inside = inside if mask.ndim == len(space) else inside.any(0)
        pixels = inside.nonzero()
        if len(pixels):
            pixel = pixels[int(u[1] * len(pixels))].tolist()
            ahead = [int(share * side) for share, side in zip(u[2 + len(space) :], sides)]
            corner = [
                min(max(p - a, 0), room) for p, a, room in zip(pixel, ahead, most, strict=True)
            ]
    part: Any = (..., *(slice(c, c + side) for c, side in zip(corner, sides, strict=True)))
    return Sample(image[part], None if mask is None else mask[part])


def pad_behind(x: Tensor, sides: tuple[int, ...], value: int) -> Tensor:
    """`x (..., *space)` with pixels of a value behind each axis, up to so many in all."""
    padding: list[int] = []
    for extent, side in zip(reversed(x.shape), reversed(sides)):
        padding += [0, max(0, side - extent)]
    return F.pad(x, padding, value=value) if any(padding) else x


def _padded(sample: Sample, sides: tuple[int, ...]) -> Sample:
    image, mask = sample
    return Sample(
        pad_behind(image, sides, 0),
        None if mask is None else pad_behind(mask, sides, NOT_OUTLINED),
    )


def _move(x: Tensor, spec: AugmentationSpec, u: list[float]) -> Tensor:
    """Rotation, shift, scale and shear as one affine map, so that pixels are blended once."""
    fill = _edge(x)
    moved: Tensor = tv.affine(
        x - fill, **_map(x, spec, u), interpolation=InterpolationMode.BILINEAR
    )
    return moved.add_(fill)


def _move_mask(mask: Tensor, spec: AugmentationSpec, u: list[float]) -> Tensor:
    """A mask by the same map: each pixel takes the value of the nearest one."""
    layers = mask.reshape(-1, *mask.shape[-2:])
    moved: Tensor = tv.affine(
        layers,
        **_map(mask, spec, u),
        interpolation=InterpolationMode.NEAREST,
        fill=[float(NOT_OUTLINED)],
    )
    return moved.view(mask.shape)


def _map(x: Tensor, spec: AugmentationSpec, u: list[float]) -> dict[str, Any]:
    """The affine map of five random numbers, for images `(..., h, w)`."""
    height, width = x.shape[-2:]
    return {
        "angle": _around(u[0], spec.rotation),
        "translate": [
            _around(u[1], spec.translate) * width,
            _around(u[2], spec.translate) * height,
        ],
        "scale": 1 + _around(u[3], spec.scale),
        "shear": [_around(u[4], spec.shear), 0.0],
    }


def _edge(x: Tensor) -> Tensor:
    """The median of the outermost pixels, a channel each: `(c, 1, 1)`, `(c, 1, 1, 1)`."""
    sides = [x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]]
    edge = torch.cat([side.flatten(1) for side in sides], 1)
    return edge.median(1).values.view(-1, *[1] * (x.ndim - 1))


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
    height, width = image.shape[-2:]
    share = LEAST_ERASED + u[0] * (MOST_ERASED - LEAST_ERASED)
    aspect = 0.5 * 4 ** u[1]
    h = min(height, max(1, round(height * (share * aspect) ** 0.5)))
    w = min(width, max(1, round(width * (share / aspect) ** 0.5)))
    top, left = int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1))
    mean = image.float().flatten(1).mean(1).round().to(torch.uint8)
    erased = image.clone()
    erased[..., top : top + h, left : left + w] = mean.view(-1, *[1] * (image.ndim - 1))
    return erased


def _around(u: float, reach: float) -> float:
    """From [0, 1) to [-reach, reach)."""
    return (2 * u - 1) * reach
