"""`Segmenter`: adapter from displayed pixels to a logit of each structure at each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.adapter import MOST_PIXELS, Adapter, odds, require_one_of
from robust.models.formats.contract import ModelOrigin
from robust.models.forward import checked_dense
from robust.models.segmentation.sliding_window import (
    BLENDS,
    SlidingWindow,
    first_window,
    sides_for,
    slide,
)

OVERLAP = 0.25
"""Of neighbouring windows, as MONAI's default."""
_ADD_UP = 1e-3
"""How far the probabilities of a pixel may be from adding up to 1."""


class Segmenter(Adapter):
    """Displayed pixels `(n, c, *space)` in [0, 1], c = 1 or 3, to logits `(n, k, *space)`.

    In this order: grey to RGB or back, resize, normalise, pad, the network as a whole or window by
    window, and its outputs cropped and resized back to the image; then its head. Every step is
    differentiable, so that an attack works on what a reader sees.

    Heads: `softmax` logits, k >= 2, of which class 0 is the background; one `sigmoid` logit z, read
    as (0, z); `multilabel`, a sigmoid logit for each of k >= 1 structures, which may overlap;
    `probabilities`, read as their logarithms, or as logits where structures overlap (they saturate:
    attacks on logits are stronger). `auto` leaves the choice to `recognise_dense_head`.
    """

    size: tuple[int, ...] | None

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        channels: int | None = None,
        size: int | Sequence[int] | None = None,
        multiple_of: int | None = None,
        window: int | Sequence[int] | None = None,
        overlap: float = OVERLAP,
        blend: str = "gaussian",
        head: str = "auto",
        overlapping: bool = False,
        output_key: str | int | None = None,
        threshold: float = 0.5,
        origin: ModelOrigin | None = None,
        output_names: Sequence[str] | None = None,
        spatial_dims: int | None = None,
        straight_through: Sequence[str] = (),
    ) -> None:
        """Set `channels` of the network (None: as in the image) and what it does with sizes.

        Images are resized to `size`, one number or one for each axis, and logits back to the
        image, bilinearly; or padded around with zeros, after normalising, to the next `multiple_of`
        pixels, and logits cropped; or shown to the network `window` by window (pixels: one number,
        or one for each axis) with an `overlap` in [0, 1), blended `gaussian` or `constant`, as
        `monai.inferers` does. With `overlapping` structures, the probabilities of a pixel are
        independent; head `multilabel` implies it. A structure is predicted where its probability
        exceeds `threshold`, for exclusive classes where there are two; the shift is part of the
        logits, so that attacks aim at the decision that is made. `spatial_dims` is 2 for images,
        3 for volumes. `straight_through` is that of a `Classifier`. Raises InputError for values
        out of range.
        """
        super().__init__(
            network,
            mean=mean,
            std=std,
            channels=channels,
            head=head,
            output_key=output_key,
            threshold=threshold,
            origin=origin,
            output_names=output_names,
            spatial_dims=spatial_dims,
            straight_through=straight_through,
        )
        require_one_of("blend", blend, BLENDS)
        if multiple_of is not None and window is not None:
            raise InputError(
                "multiple_of has no meaning with a window, which small images are padded to; "
                "remove one of them"
            )
        if not 0 <= overlap < 1:
            raise InputError(f"overlap must be 0 or more and below 1, not {overlap}")
        if overlapping and head in ("softmax", "sigmoid"):
            raise InputError(
                f"structures that overlap have a logit each, which head = {head!r} does not read; "
                f"set head to multilabel"
            )
        self.size = None if size is None else _as_sides("size", size)
        if multiple_of is not None:
            _as_sides("multiple_of", multiple_of)
        self.multiple_of = multiple_of
        sides = None if window is None else _as_sides("window", window)
        self.window = None if sides is None else SlidingWindow(sides, overlap, blend)
        self.tiled = window is not None
        self.overlapping = overlapping or head == "multilabel"

    def outputs(self, x: Tensor) -> Tensor:
        """The network's outputs `(n, outputs, *space)` at each pixel of `x`; InputError."""
        given = self._prepared(x)
        if self.window is None:
            out = self.network_outputs(given)
        else:
            out = slide(self.network_outputs, self.network, given, self.window)
        space = tuple(x.shape[2:])
        shown = space if self.size is None else sides_for("size", self.size, len(space))
        inside = (slice(b, b + side) for b, side in zip(self._before(shown), shown, strict=True))
        return _interpolated(out[(slice(None), slice(None), *inside)], space, antialias=False)

    def network_input(self, x: Tensor) -> Tensor:
        """What the network itself is given; with a window, the first of them."""
        given = self._prepared(x)
        return given if self.window is None else first_window(given, self.window)

    def _prepared(self, x: Tensor) -> Tensor:
        """Images with the channels, size, normalisation and padding that the network wants."""
        self._require_dimensions(x)
        x = self._channels(x)
        if self.size is not None:
            size = sides_for("size", self.size, x.ndim - 2)
            # As images are resized for classifiers; torch has no such filter for volumes.
            x = _interpolated(x, size, antialias=x.ndim == 4)
        return self._padded(self._normalised(x))

    def from_outputs(self, out: Tensor) -> Tensor:
        """Logits `(n, k, *space)` at the threshold, of the network's outputs at each pixel."""
        logits = self.to_logits(out)
        if self.threshold == 0.5:
            return logits
        if self.overlapping:
            return logits - odds(self.threshold)
        if logits.shape[1] == 2:
            return torch.stack([logits[:, 0], logits[:, 1] - odds(self.threshold)], 1)
        raise InputError(
            f"a threshold applies to two classes, or to structures that may overlap, and the model "
            f"has {logits.shape[1]} classes; leave threshold out"
        )

    def to_logits(self, out: Tensor) -> Tensor:
        """Interpret the network's outputs `(n, outputs, *space)` as logits `(n, k, *space)`."""
        if out.dtype in (torch.float16, torch.bfloat16):
            out = out.float()
        if self.head == "auto":
            raise InputError("the head is still auto: call settle_head(segmenter, x) first")
        if self.head == "probabilities":
            if not self.overlapping and out.shape[1] == 1:
                out = torch.cat([1 - out, out], 1)
            logs = _log(out) - _log(1 - out) if self.overlapping else _log(out)
            return self._ordered(logs)
        if self.head == "sigmoid":
            if out.shape[1] != 1:
                raise InputError(f"a sigmoid head has 1 output, this one has {out.shape[1]}")
            return torch.cat([torch.zeros_like(out), out], 1)
        if self.head == "softmax" and out.shape[1] < 2:
            raise InputError(
                "a softmax head needs 2 outputs or more, the background's among them; this one has "
                "1, so use sigmoid"
            )
        return self._ordered(out)

    def recognise(self, outputs: Tensor) -> str:
        """The head that `auto` stands for, from outputs `(n, outputs, *space)` on real images."""
        return recognise_dense_head(outputs, self.overlapping)

    def describe(self) -> dict[str, Any]:
        """Preprocessing and head as plain values, for the report."""
        return {
            "head": self.head,
            "overlapping": self.overlapping,
            "threshold": self.threshold,
            "channels": self.channels,
            "output_key": self.output_key,
            "class_order": None if self.class_order is None else list(self.class_order),
            "spatial_dims": self.spatial_dims,
            **self._sizes(),
            "mean": [round(float(v), 6) for v in self.mean.flatten()],
            "std": [round(float(v), 6) for v in self.std.flatten()],
            **self._replaced(),
        }

    def preprocessing(self) -> dict[str, Any]:
        """What is done to images before the network, as arguments of a segmenter."""
        return {
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "channels": self.channels,
            **self._sizes(),
        }

    def _sizes(self) -> dict[str, Any]:
        sizes: dict[str, Any] = {
            "size": None if self.size is None else list(self.size),
            "multiple_of": self.multiple_of,
            "window": None,
        }
        if self.window is not None:
            sizes["window"] = list(self.window.sides)
            sizes |= {"overlap": self.window.overlap, "blend": self.window.blend}
        return sizes

    def _checked(self, out: object, given: Tensor) -> Tensor:
        return checked_dense(out, given, self.output_key)

    def _before(self, space: Sequence[int]) -> list[int]:
        """Pixels of padding before each axis; as many or one more lie behind."""
        return [-side % (self.multiple_of or 1) // 2 for side in space]

    def _padded(self, x: Tensor) -> Tensor:
        if self.multiple_of is None:
            return x
        space = x.shape[2:]
        padding: list[int] = []
        for side, before in zip(reversed(space), reversed(self._before(space)), strict=True):
            padding += [before, -side % self.multiple_of - before]
        return F.pad(x, padding)


def recognise_dense_head(outputs: Tensor, overlapping: bool = False) -> str:
    """The head that `auto` stands for, from outputs `(n, outputs, *space)` on real images.

    Outputs in [0, 1] are probabilities: one of them, those of overlapping structures, or several
    that add up to 1 at every pixel. Raises InputError where several are in [0, 1] and do not.
    """
    several = outputs.shape[1] > 1
    if not bool(((outputs >= 0) & (outputs <= 1)).all()):
        return "multilabel" if overlapping else "softmax" if several else "sigmoid"
    if several and not overlapping:
        off = (outputs.double().sum(1) - 1).abs().max()
        if float(off) > _ADD_UP:
            raise InputError(
                "all outputs lie in [0, 1] and those of a pixel do not add up to 1: they are the "
                "probabilities of structures that overlap, or logits; set head and, where they "
                "overlap, the data's masks one column a structure"
            )
    return "probabilities"


def _log(p: Tensor) -> Tensor:
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()


def _interpolated(x: Tensor, space: Sequence[int], *, antialias: bool) -> Tensor:
    """Images or volumes at another size, linearly along every axis."""
    if tuple(x.shape[2:]) == tuple(space):
        return x
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(x, tuple(space), mode=mode, align_corners=False, antialias=antialias)


def _as_sides(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    sides = (value,) if isinstance(value, int) else tuple(value)
    if len(sides) not in (1, 2, 3) or not 1 <= min(sides) <= max(sides) <= MOST_PIXELS:
        raise InputError(f"{name} must be 1 or more pixels and at most {MOST_PIXELS}, not {value}")
    return sides
