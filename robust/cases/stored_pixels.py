"""Display of stored pixel values (PS3.3 C.11: rescale, window, tables) and its exact inverse.

pydicom's apply_modality_lut and apply_voi_lut go from stored to displayed values only. An
adversarial image needs the way back, to stored values within eps, so both ways are here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Pixels = (
    npt.NDArray[np.uint8]
    | npt.NDArray[np.uint16]
    | npt.NDArray[np.int16]
    | npt.NDArray[np.int64]
    | npt.NDArray[np.float32]
    | npt.NDArray[np.float64]
)
Floats = npt.NDArray[np.float64]
SLACK = 1e-7
"""Displayed pixels are float32: an image within eps may seem this much further away."""


@dataclass(frozen=True)
class Lut:
    """A lookup table (LUT): inputs below `first` give its first entry, those above its last."""

    first: int
    bits: int
    """Of an entry."""
    data: bytes
    """Entries, little-endian at 16 bits."""

    def __call__(self, values: Floats) -> Floats:
        """The entries of input values."""
        entries = np.frombuffer(self.data, "<u2").astype(np.float64)
        places = np.clip(np.floor(values) - self.first, 0, len(entries) - 1).astype(np.int64)
        found: Floats = entries[places]
        return found

    @property
    def top(self) -> int:
        """The largest value that an entry can have."""
        return (1 << self.bits) - 1


@dataclass(frozen=True)
class Window:
    """A window, the range of values displayed from 0 to 1, with a DICOM function (PS3.3 C.11.2)."""

    centre: float
    width: float
    function: str = "LINEAR"
    """LINEAR, LINEAR_EXACT or SIGMOID."""

    def __call__(self, values: Floats) -> Floats:
        """Displayed values in [0, 1] of rescaled ones."""
        if self.function == "SIGMOID":
            power = np.clip(-4 * (values - self.centre) / self.width, -700, 700)
            shown: Floats = 1 / (1 + np.exp(power))
            return shown
        exact = self.function == "LINEAR_EXACT"
        centre, width = (self.centre, self.width) if exact else (self.centre - 0.5, self.width - 1)
        if width <= 0:
            return (values > centre).astype(np.float64)
        return np.clip((values - centre) / width + 0.5, 0, 1)


def whole_range(low: float, high: float) -> Window:
    """The window that displays `low` as 0 and `high` as 1."""
    width = high - low if high > low else 1.0
    return Window(low + width / 2, width, "LINEAR_EXACT")


@dataclass(frozen=True)
class Stored:
    """How stored values of a file are displayed in [0, 1], and the way back.

    Grey: rescaling or a table, then a window or a table, then perhaps inverted. Without any of
    them, and for colour, the stored range is shown evenly.
    """

    bits: int = 8
    """Of a stored value, 1 to 16; of those that are `wide` 32 or 64."""
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    """In place of slope and intercept."""
    view: Window | Lut | None = None
    """None: the whole stored range."""
    inverted: bool = False
    """Low values are bright, as in MONOCHROME1."""
    native: bool = True
    """False where the file holds colours in another form (a palette, YBR): `pixels` are RGB."""
    wide: Literal["whole", "float"] | None = None
    """Whole numbers of more than 16 bits, or floats, as volumes have them: rescaled, and shown
    through a window of the function LINEAR_EXACT."""

    @property
    def levels(self) -> int:
        """The largest stored value less the smallest; of floats what their digits tell apart."""
        if self.wide == "float":
            return (1 << (24 if self.bits == 32 else 53)) - 1
        return (1 << self.bits) - 1

    @property
    def depth(self) -> int:
        """Bits of a PNG that holds the displayed image: 8 or 16."""
        return 8 if self.bits <= 8 else 16

    @property
    def low(self) -> int:
        """The smallest stored value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def plain(self) -> bool:
        """Shown evenly, as PNG is."""
        return self.modality is None and self.view is None and not self.inverted and not self.signed

    @property
    def step(self) -> float:
        """One grey level in displayed units, where a level shows most: 1/255 for 8 bits.

        So eps in stored units is `2 * stored.step` for two grey levels.
        """
        if self.wide is not None:
            window = self._window
            if self.wide == "whole":
                return abs(self.slope) / window.width
            highest = np.abs([window.centre - window.width / 2, window.centre + window.width / 2])
            return float(np.spacing(self._floats(highest.max() / abs(self.slope)))) * (
                abs(self.slope) / window.width
            )
        return _shades_of(self).step

    @property
    def _window(self) -> Window:
        assert isinstance(self.view, Window)  # what is wide has one
        return self.view

    def _floats(self, values: Any) -> Any:
        return np.asarray(values, np.float32 if self.bits == 32 else np.float64)

    def measured(self, values: Floats) -> Floats:
        """Stored values after rescaling, in the units of windows."""
        if self.modality is not None:
            return self.modality(values)
        return values * self.slope + self.intercept

    def table(self) -> npt.NDArray[np.float32]:
        """What each stored value from `low` on is shown as; read-only."""
        return _shades_of(self).table

    def _shades(self) -> Floats:
        stored = np.arange(self.levels + 1, dtype=np.float64)
        if self.plain:
            return stored / self.levels
        values = self.measured(stored + self.low)
        if isinstance(self.view, Lut):
            shown = np.clip(self.view(values) / self.view.top, 0, 1)
        elif self.view is not None:
            shown = self.view(values)
        else:
            ends = (values.min(), values.max())
            if self.modality is not None:
                ends = (0.0, float(self.modality.top))
            shown = whole_range(*ends)(values)
        return 1 - shown if self.inverted else shown

    def image(self, pixels: Pixels) -> Tensor:
        """Stored `(h, w)`, `(h, w, c)` or `(d, h, w, c)` to displayed `(c, *space)`.

        It is float32 in [0, 1].
        """
        array = _channels_first(pixels)
        if self.wide is not None:
            shown = self._window(self.measured(array.astype(np.float64)))
            return torch.from_numpy(np.ascontiguousarray(shown, np.float32))
        if self.plain:
            even = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
            return even.div_(self.levels)  # in place: a large image takes enough once
        return torch.from_numpy(self.table()[array.astype(np.int32) - self.low])

    def pixels(
        self, image: Tensor, original: Pixels | None = None, eps: float | Floats = math.inf
    ) -> Pixels:
        """Displayed `(c, *space)` to stored pixels as `image` takes them: the nearest values.

        With the `original` a pixel that shows the same keeps its stored value, though the window
        clips many to one shade; no pixel is shown more than `eps` (one for all, or each its own)
        from the original, and of values that show alike the one nearest to the original is taken.
        """
        if self.plain and original is None:
            levels = (image.detach().cpu().double() * self.levels).round().clamp(0, self.levels)
            return self._shaped(levels.numpy())
        target = image.detach().cpu().double().numpy()
        if self.wide is not None:
            return self._shaped(self._wide_pixels(target, original, eps))
        if original is None:
            start = np.full(target.shape, self.levels // 2, np.int64)
            eps = math.inf
        else:
            start = _channels_first(original).astype(np.int64) - self.low
        clean = torch.from_numpy(self.table()[start])
        shown = self.nearest(torch.from_numpy(target), clean, eps).numpy()
        return self._shaped(_shades_of(self).values_of(shown, start) + self.low)

    def nearest(self, image: Tensor, original: Tensor, eps: float | Floats = math.inf) -> Tensor:
        """The nearest shades that the file can show to `image`, of any shape and on any device.

        None is more than `eps` from the same pixel of `original`, an image that the file shows. Of
        two as near the darker one is taken. Files that are `wide` have no table of shades.
        """
        reach = torch.from_numpy(eps).to(image.device) if isinstance(eps, np.ndarray) else eps
        origin = original.double()
        target = torch.clamp(image.detach().double(), origin - reach, origin + reach)
        low, high = self._around(target)
        reach = reach + SLACK

        def cost(shade: Tensor) -> Tensor:
            off = (shade - target).abs()
            return torch.where((shade - origin).abs() <= reach, off, torch.inf)

        of_low, of_high = cost(low), cost(high)
        best = torch.where(of_high < of_low, high, low)
        return torch.where(torch.minimum(of_low, of_high).isinf(), origin, best).to(image)

    def _around(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """The shade below each target and the one above, at float64."""
        if self.plain:
            # By arithmetic, many times as fast as a search. The shades round to float32.
            below = (target * self.levels).floor().clamp(0, self.levels)
            both = below, (below + 1).clamp(max=self.levels)
            low, high = ((place / self.levels).float().double() for place in both)
            return low, high
        shades = torch.from_numpy(_shades_of(self).inorder).to(target.device)
        above = torch.searchsorted(shades, target).clamp(max=len(shades) - 1)
        return shades[(above - 1).clamp(min=0)], shades[above]

    def _wide_pixels(
        self, target: Floats, original: Pixels | None, eps: float | Floats
    ) -> npt.NDArray[Any]:
        window = self._window
        start = None if original is None else _channels_first(original)
        shown = None if start is None else self.image(original).numpy().astype(np.float64)  # type: ignore[arg-type]
        if shown is not None:
            target = np.clip(target, shown - eps, shown + eps)
        measured = window.centre + (target - 0.5) * window.width
        values = (measured - self.intercept) / self.slope
        if self.wide == "float":
            found: npt.NDArray[Any] = self._floats(values)
            return found if start is None else np.where(target == shown, start, found)
        if start is None or shown is None:
            return np.rint(values)
        best, least = start.astype(np.float64), np.abs(shown - target)
        for tried in (np.floor(values), np.ceil(values)):
            there = window(self.measured(tried))
            off = np.where(np.abs(there - shown) <= eps + SLACK, np.abs(there - target), np.inf)
            best, least = np.where(off < least, tried, best), np.minimum(off, least)
        return best

    def cast(self, values: npt.NDArray[Any]) -> Pixels:
        """Stored values in the smallest type that holds them all."""
        if self.wide == "float":
            floats: Pixels = self._floats(values)
            return floats
        if self.wide == "whole":
            return values.astype(np.int64)
        if self.signed:
            return values.astype(np.int16)
        return values.astype(np.uint8) if self.bits <= 8 else values.astype(np.uint16)

    def _shaped(self, values: npt.NDArray[Any]) -> Pixels:
        if values.ndim == 4:
            return self.cast(np.moveaxis(values, 0, -1))
        return self.cast(values[0] if len(values) == 1 else np.moveaxis(values, 0, 2))


def _channels_first(pixels: Pixels) -> npt.NDArray[Any]:
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


@dataclass(frozen=True, eq=False)
class _Shades:
    """The shades of a file, and which stored values show each. They need not be monotonic."""

    table: npt.NDArray[np.float32]
    """By stored value, from the smallest on."""
    step: float
    inorder: Floats
    """Every shade once, rising."""
    keys: npt.NDArray[np.int64]
    """Stored values by shade and then by size: the place of the shade, times the length of the
    table, plus the value. So a search among equal shades is one search."""

    def values_of(self, shown: Floats, start: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """For each shade the stored value that shows it, of several the nearest to `start`."""
        count = len(self.table)
        rank = np.searchsorted(self.inorder, shown)
        found = np.searchsorted(self.keys, rank * count + start)
        right, left = found.clip(0, count - 1), (found - 1).clip(0)

        def distance(place: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
            far = np.iinfo(np.int64).max
            same = self.keys[place] // count == rank
            return np.where(same, np.abs(self.keys[place] % count - start), far)

        nearer = np.where(distance(right) <= distance(left), right, left)
        chosen: npt.NDArray[np.int64] = self.keys[nearer] % count
        return chosen


@lru_cache(maxsize=16)
def _shades_of(stored: Stored) -> _Shades:
    """They are asked for image by image, and of 16 bits they take longer than an image."""
    exact = stored._shades()
    table = exact.astype(np.float32)
    table.setflags(write=False)
    inorder, rank = np.unique(table, return_inverse=True)
    keys = np.sort(rank.astype(np.int64) * len(table) + np.arange(len(table)))
    step = float(np.abs(np.diff(exact)).max())
    return _Shades(table, step, inorder.astype(np.float64), keys)
