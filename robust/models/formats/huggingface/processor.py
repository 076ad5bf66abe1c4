"""Image processors of transformers rebuilt as differentiable preprocessing, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.errors import InputError, type_and_line
from robust.models.architectures import Preprocessing
from robust.models.classifier import Classifier, resized_side
from robust.models.formats.huggingface.files import PROCESSOR, read_config
from robust.models.formats.input_layers import ReversedChannels
from robust.models.formats.libraries import in_silence

RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""By number in PIL; others have no counterpart here."""
WARPED_FROM = 384
"""Processors with `crop_pct` squash images without a crop at this size and above."""
MOST_OFF = 0.004
"""Of a pixel in [0, 1], on average over a smooth image: rounding to 8 bits stays below half of it,
a crop that is one pixel beside the library's lies far above."""


def rebuild_processor(
    library: Any, folder: Path, channels: int
) -> tuple[Preprocessing, list[nn.Module]]:
    """The preprocessing in a folder, and the layers that must come before its network.

    It is compared with the library's own processor on an image of odd shape. InputError where the
    processor does what robust does not rebuild, with the difference.
    """
    read_config(folder / PROCESSOR)
    try:
        with in_silence():
            processor = library.AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # noqa: BLE001  (of any file)
        raise InputError(f"{folder / PROCESSOR} cannot be read: {type_and_line(error)}") from None
    known, layers = _as_preprocessing(processor, folder, channels)
    _compare(processor, known, layers, folder)
    return known, layers


def _as_preprocessing(
    processor: Any, folder: Path, channels: int
) -> tuple[Preprocessing, list[nn.Module]]:
    number = int(_get(processor, "resample", 2))
    if _get(processor, "do_resize", False) and number not in RESAMPLING:
        raise _unlike(folder, f"it resizes in a way that robust does not have (resample {number})")
    size, fit, crop_pct = _geometry(processor, folder)
    mean, std = _normalisation(processor)
    layers: list[nn.Module] = []
    if _get(processor, "do_flip_channel_order", False):
        layers.append(ReversedChannels())
    known = Preprocessing(
        mean,
        std,
        size,
        RESAMPLING.get(number, "bilinear"),
        channels,
        fit=fit,
        crop_pct=crop_pct,
        half_pixel="down",
    )
    return known, layers


def _geometry(processor: Any, folder: Path) -> tuple[tuple[int, int] | None, str, float]:
    """Size, fit and crop_pct; InputError for a resize that no such three values say."""
    size, crop = _sides(processor, "size"), None
    if _get(processor, "do_center_crop", False):
        crop = _pair(_sides(processor, "crop_size"))
    if not _get(processor, "do_resize", False):
        if crop is not None:
            raise _unlike(folder, "it crops without a resize")
        return None, "squash", 1.0
    if (exact := _pair(size)) is not None:
        return _cropped(folder, exact, crop or exact, "squash")
    shortest = size.get("shortest_edge")
    if shortest is None or size.get("longest_edge"):
        raise _unlike(folder, f"it resizes to {size}")
    share = _get(processor, "crop_pct", None)
    if type(processor).__name__.startswith("Levit"):
        shortest = int(256 / 224 * shortest)  # its class does so, whatever the file says
    if share is not None and crop is None and shortest >= WARPED_FROM:
        return (shortest, shortest), "squash", 1.0
    if share is not None:
        crop = crop or (shortest, shortest)
        shortest = int(shortest / share)
    if crop is None or crop[0] != crop[1]:
        raise _unlike(folder, "it keeps the shape of each image, without a square crop")
    return _cropped(folder, (shortest, shortest), crop, "crop")


def _cropped(
    folder: Path, resized: tuple[int, int], crop: tuple[int, int], fit: str
) -> tuple[tuple[int, int], str, float]:
    """A crop from a resized image as a share of it; InputError where one share says not both."""
    share = crop[0] / resized[0]
    if tuple(resized_side(side, share) for side in crop) != resized:
        raise _unlike(folder, f"it crops {crop} from {resized}")
    return crop, fit, share


def _normalisation(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std that take [0, 1] where the processor takes 0 to 255."""
    rescale = _get(processor, "do_rescale", False)
    factor = 255 * float(_get(processor, "rescale_factor", 1 / 255)) if rescale else 255.0
    offset = -1.0 if rescale and _get(processor, "rescale_offset", False) else 0.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    if _get(processor, "do_normalize", False):
        mean, std = _values(processor.image_mean), _values(processor.image_std)
    spread = std
    if _get(processor, "include_top", False):
        spread = [value * value for value in std]  # they are divided by twice
    return (
        tuple((m - offset) / factor for m in mean),
        tuple(s / factor for s in spread),
    )


def _compare(processor: Any, known: Preprocessing, layers: list[nn.Module], folder: Path) -> None:
    """InputError where the library's processor gives other images than `known` and `layers`."""
    image = _smooth_image(known.size or (224, 224))
    try:
        with in_silence():
            wanted = processor((image[0] * 255).round().to(torch.uint8), return_tensors="pt")[
                "pixel_values"
            ]
    except Exception as error:  # noqa: BLE001  (of a processor of any kind)
        raise _unlike(folder, f"it fails on an image ({type_and_line(error)})") from None
    adapter = Classifier(
        nn.Identity(),
        mean=known.mean,
        std=known.std,
        size=known.size,
        interpolation=known.interpolation,
        fit=known.fit,
        crop_pct=known.crop_pct,
        half_pixel=known.half_pixel,
        channels=3,
    )
    found = nn.Sequential(*layers)(adapter.network_input(image))
    if found.shape != wanted.shape:
        raise _unlike(folder, f"it makes images {tuple(wanted.shape[2:])}")
    off = float(((found - wanted).abs() * adapter.std).mean())
    if not off <= MOST_OFF:
        raise _unlike(folder, f"its pixels differ by {off:.2g} from those that robust makes")


def _smooth_image(size: tuple[int, int]) -> Tensor:
    """A coloured image `(1, 3, h, w)` in [0, 1] of another shape than `size`."""
    shape = (size[0] + size[0] // 3 + 2, 2 * size[1] + 1)
    grid = (1, 3, shape[0] // 8, shape[1] // 8)
    coarse = torch.rand(grid, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, shape, mode="bilinear", align_corners=False)


def _unlike(folder: Path, what: str) -> InputError:
    return InputError(
        f"{folder / PROCESSOR} cannot be rebuilt: {what}; export the network with torch.export and "
        f"set size, mean and std in [model]"
    )


def _get(processor: Any, name: str, default: Any) -> Any:
    found = getattr(processor, name, default)
    return default if found is None else found


def _sides(processor: Any, name: str) -> dict[str, int]:
    """`size` or `crop_size` as a plain table, without empty entries."""
    found = _get(processor, name, {})
    if isinstance(found, int):
        return {"height": found, "width": found}
    pairs = found.items() if hasattr(found, "items") else vars(found).items()
    return {key: int(value) for key, value in pairs if value}


def _pair(sides: dict[str, int]) -> tuple[int, int] | None:
    return (sides["height"], sides["width"]) if {"height", "width"} <= set(sides) else None


def _values(values: Any) -> tuple[float, ...]:
    return (float(values),) if isinstance(values, int | float) else tuple(map(float, values))
