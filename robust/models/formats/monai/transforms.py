"""Transforms of a MONAI bundle, rebuilt as differentiable layers on displayed pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from robust.errors import InputError, excerpt
from robust.models.formats.input_layers import Clipped, Resized, Scaled, Stretched, Transposed

GREY_LEVELS = 255
"""Largest value of the files that such transforms were written for: of 8 bits."""
MODES = {"area": "area", "nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic"}
WITHOUT_EFFECT = {
    *("EnsureChannelFirst", "EnsureType", "ToTensor", "ToDevice", "CastToType", "SelectItems"),
    *("AddChannel", "DeleteItems"),
}
"""On the numbers that a network sees."""
Arguments = Mapping[str, Any]


def rebuild_transforms(transforms: Sequence[Arguments]) -> list[nn.Module]:
    """Layers that do to pixels in [0, 1] what the transforms of `preprocessing` do to a file.

    InputError that names a transform without a counterpart.
    """
    layers: list[nn.Module] = [Scaled(GREY_LEVELS)]
    for transform in transforms:
        name = short_name(transform)
        if transform.get("_disabled_") in (True, "true"):
            continue
        if name in WITHOUT_EFFECT:
            continue
        if name not in _BUILDERS:
            raise _unknown(name)
        layers += _BUILDERS[name](transform)
    return layers


def short_name(transform: Arguments) -> str:
    """The array version's name of a transform: `Resize` of `Resized` or `monai...ResizeDict`."""
    name = str(transform.get("_target_", "")).rpartition(".")[2]
    for ending in ("Dict", "D", "d"):
        if name.endswith(ending) and name != ending:
            return name.removesuffix(ending)
    return name


def _unknown(what: str) -> InputError:
    return InputError(
        f"the bundle's preprocessing uses {excerpt(what)}, which robust does not rebuild; give its "
        f"weights as weights of architecture = 'monai:NAME' and set size, mean and std in [model]"
    )


def _load(transform: Arguments) -> list[nn.Module]:
    if transform.get("reverse_indexing") is not None or transform.get("reader") not in _READERS:
        raise _unknown("LoadImage with a reader of its own")
    return [Transposed()]


def _transpose(transform: Arguments) -> list[nn.Module]:
    if list(transform.get("indices", ())) != [0, 2, 1]:
        raise _unknown("Transpose of other axes")
    return [Transposed()]


def _scale(transform: Arguments) -> list[nn.Module]:
    lowest, highest = transform.get("minv", 0.0), transform.get("maxv", 1.0)
    if transform.get("factor") is not None and lowest is None:
        return [Scaled(1 + float(transform["factor"]))]
    if lowest is None or highest is None or transform.get("factor") is not None:
        raise _unknown("ScaleIntensity without bounds")
    by_channel = bool(transform.get("channel_wise", False))
    return [Stretched(float(lowest), float(highest), by_channel=by_channel)]


def _scale_range(transform: Arguments) -> list[nn.Module]:
    a_min, a_max = float(transform["a_min"]), float(transform["a_max"])
    b_min, b_max = transform.get("b_min"), transform.get("b_max")
    if a_min == a_max:
        raise _unknown("ScaleIntensityRange of no range")
    layers: list[nn.Module] = [Scaled(1 / (a_max - a_min), -a_min / (a_max - a_min))]
    if b_min is not None and b_max is not None:
        layers.append(Scaled(float(b_max) - float(b_min), float(b_min)))
        if transform.get("clip"):
            layers.append(Clipped(float(b_min), float(b_max)))
    elif transform.get("clip"):
        raise _unknown("ScaleIntensityRange that clips without bounds")
    return layers


def _normalise(transform: Arguments) -> list[nn.Module]:
    mean, spread = transform.get("subtrahend"), transform.get("divisor")
    plain = isinstance(mean, int | float) and isinstance(spread, int | float) and spread
    if not plain or transform.get("nonzero"):
        raise _unknown("NormalizeIntensity by each image's own values, or by channel")
    return [Scaled(1 / float(spread), -float(mean) / float(spread))]  # type: ignore[arg-type]


def _resize(transform: Arguments) -> list[nn.Module]:
    size, mode = transform.get("spatial_size"), str(transform.get("mode", "area"))
    sides = [size, size] if isinstance(size, int) else list(size or ())
    odd = transform.get("size_mode", "all") != "all" or transform.get("anti_aliasing")
    if len(sides) != 2 or min(sides) < 1 or mode not in MODES or odd or transform.get("lazy"):
        raise _unknown(f"Resize to {excerpt(size)} with {excerpt(mode)}")
    if transform.get("align_corners"):
        raise _unknown("Resize with align_corners")
    return [Resized((int(sides[0]), int(sides[1])), MODES[mode])]


_READERS = (None, "PILReader", "ITKReader", "monai.data.PILReader", "monai.data.ITKReader")
_BUILDERS = {
    "LoadImage": _load,
    "Transpose": _transpose,
    "ScaleIntensity": _scale,
    "ScaleIntensityRange": _scale_range,
    "NormalizeIntensity": _normalise,
    "Resize": _resize,
}
