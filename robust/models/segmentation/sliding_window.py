"""Sliding-window inference as `monai.inferers` does it, with gradients window by window.

Positions of windows and their weights are MONAI's own functions; sums and gradients are ours, so
that a gradient keeps one window at a time in memory and not all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from robust.errors import InputError
from robust.models.formats.libraries import import_library

BLENDS = ("gaussian", "constant")
EXTRA = "segmentation"
AT_ONCE = 64**3
"""Pixels of the windows of one image that a network is shown at once, or one window if larger."""


@dataclass(frozen=True)
class SlidingWindow:
    """How windows lie over an image and how their outputs are blended."""

    sides: tuple[int, ...]
    """In pixels, one for all axes or one for each."""
    overlap: float
    """Share of a side by which neighbours overlap."""
    blend: str


@dataclass(frozen=True)
class _Layout:
    """Windows over padded images of one shape."""

    padding: tuple[int, ...]
    """As `F.pad` takes it."""
    inside: tuple[slice, ...]
    """Where the image lies in the padded one."""
    places: list[tuple[slice, ...]]
    weight: Tensor
    """Of each pixel of a window, `(*sides)`."""
    total: Tensor
    """Of each pixel of the padded image: the weights of all windows over it."""

    def batches(self) -> list[list[tuple[slice, ...]]]:
        """The places of the windows that are shown at once."""
        count = max(1, AT_ONCE // self.weight.numel())
        return [self.places[i : i + count] for i in range(0, len(self.places), count)]


def slide(
    predict: Callable[[Tensor], Tensor], network: nn.Module, x: Tensor, window: SlidingWindow
) -> Tensor:
    """Outputs `(n, outputs, *space)` for `x (n, c, *space)`, blended over windows.

    `predict` runs `network` on windows `(m, c, *sides)`. An image that is smaller than a window is
    padded with zeros. Each window is computed once more for a gradient, which reaches `x` and
    those parameters of the network that require one; there is no second derivative.
    """
    layout = _lay_out(x, window)
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    padded = F.pad(x, layout.padding) if any(layout.padding) else x
    out: Tensor = _Slide.apply(padded, predict, layout, *learned)  # type: ignore[no-untyped-call]
    return out[(slice(None), slice(None), *layout.inside)]


def first_window(x: Tensor, window: SlidingWindow) -> Tensor:
    """The first of the windows `(n, c, *sides)` that images `x (n, c, *space)` are shown by."""
    layout = _lay_out(x, window)
    return F.pad(x, layout.padding)[(slice(None), slice(None), *layout.places[0])]


class _Slide(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, predict: Callable[[Tensor], Tensor], layout: _Layout, *learned: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, *learned)
        ctx.predict, ctx.layout = predict, layout
        sums: Tensor | None = None
        for row, image in enumerate(x):
            for places in layout.batches():
                outputs = predict(_cut(image, places))
                if sums is None:
                    sums = outputs.new_zeros(len(x), outputs.shape[1], *x.shape[2:])
                for place, output in zip(places, outputs, strict=True):
                    sums[row][(slice(None), *place)] += output * layout.weight
        assert sums is not None  # there is a window
        return sums / layout.total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, *learned = ctx.saved_tensors
        predict, layout = ctx.predict, ctx.layout
        slope = slope / layout.total
        gradient, of_learned = torch.zeros_like(x), [torch.zeros_like(p) for p in learned]
        for row, image in enumerate(x):
            for places in layout.batches():
                with torch.enable_grad():
                    shown = _cut(image, places).requires_grad_(True)
                    outputs = predict(shown)
                weighted = _cut(slope[row], places) * layout.weight
                found, *others = torch.autograd.grad(
                    outputs, [shown, *learned], weighted, allow_unused=True
                )
                for place, part in zip(places, found, strict=True):
                    gradient[row][(slice(None), *place)] += part
                for total, part in zip(of_learned, others, strict=True):
                    if part is not None:
                        total += part
        return gradient, None, None, *of_learned


def _cut(image: Tensor, places: list[tuple[slice, ...]]) -> Tensor:
    """Windows `(m, c, *sides)` of an image `(c, *space)`."""
    return torch.stack([image[(slice(None), *place)] for place in places])


def _lay_out(x: Tensor, window: SlidingWindow) -> _Layout:
    """Windows over images like `x (n, c, *space)`; InputError for a window of other axes."""
    space = tuple(x.shape[2:])
    sides = sides_for("window", window.sides, len(space))
    padded = tuple(max(side, extent) for side, extent in zip(sides, space, strict=True))
    before = [(p - s) // 2 for p, s in zip(padded, space, strict=True)]
    after = [p - s - b for p, s, b in zip(padded, space, before, strict=True)]
    padding = [v for b, a in reversed(list(zip(before, after, strict=True))) for v in (b, a)]
    utils = import_library("monai.data.utils", EXTRA)
    places = utils.dense_patch_slices(padded, sides, _intervals(padded, sides, window.overlap))
    weight = utils.compute_importance_map(
        sides, mode=window.blend, sigma_scale=0.125, device=x.device, dtype=x.dtype
    )
    total = torch.zeros(padded, dtype=x.dtype, device=x.device)
    for place in places:
        total[place] += weight
    inside = tuple(slice(b, b + s) for b, s in zip(before, space, strict=True))
    return _Layout(tuple(padding), inside, places, weight, total)


def _intervals(padded: tuple[int, ...], sides: tuple[int, ...], overlap: float) -> tuple[int, ...]:
    """From one window to the next, as MONAI rounds it: down, and at least a pixel."""
    return tuple(
        side if side == extent else max(1, int(side * (1 - overlap)))
        for side, extent in zip(sides, padded, strict=True)
    )


def sides_for(name: str, sides: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A number of pixels for each axis; InputError that calls them `name`."""
    if len(sides) not in (1, axes):
        raise InputError(
            f"{name} has {len(sides)} numbers and the cases have {axes} axes; give one number, or "
            f"one for each axis"
        )
    return sides * axes if len(sides) == 1 else sides
