"""Search for near duplicates: another exposure, a small shift or crop, a file that was saved again.

The coarse detail of two fingerprints makes them candidates. One is then moved onto the other
(Lucas and Kanade 1981, "An iterative image registration technique") and the fine detail decides.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from robust.cases.duplicates.fingerprints import SIDE, Fingerprints, Floats, detail
from robust.metrics.arrays import Mask, Places

CANDIDATES, CANDIDATE_CORRELATION = 8, 0.65
"""Most candidates of an image, and the least correlation of the coarse detail of a candidate."""
SAME_IN_PLACE, SAME_MOVED = 0.84, 0.88
"""Least correlation of the fine detail of two near duplicates as they are, and once aligned.

No pair of 22 million of other patients reaches them, among chest X-rays, fundus photographs and
dermoscopy images; synthetic chest X-rays come near, with 0.81 and 0.86.
"""
ALIGNED_CORRELATION = 0.8
"""Least correlation at half the resolution, where they are aligned, for a look at the whole."""
STEPS, MOST_SHIFT, MOST_STRETCH = 3, 0.1, 0.12
"""Steps of the alignment, and the most it moves, stretches or turns, in halves of the width."""
NO_DETAIL = 1e-3
"""Length below which a detail is none."""
_COMPARED, _ALIGNED = 1 << 21, 512
"""Pairs that are compared at once, and pairs that are aligned at once."""

Pairs = npt.NDArray[np.int64]
"""Places of two images in each row `(m, 2)`, ascending. One array: of many images that show one
picture there are millions."""


def near_duplicates(images: Fingerprints, others: Fingerprints | None = None) -> Pairs:
    """Pairs of near duplicates among `images`, or of one of them and one of `others`.

    Of many images that show one picture not every pair is named, but enough to join them all.
    """
    target = images if others is None else others
    within = others is None
    found = _ascending([_equal(images, target)], within)
    candidates = _without(_ascending(_candidates(images, target, within), within), found)
    parts = [found]
    for start in range(0, len(candidates), _ALIGNED):
        part = candidates[start : start + _ALIGNED]
        first, second = _Looks.of(images, part[:, 0]), _Looks.of(target, part[:, 1])
        parts.append(part[_same_picture(first, second)])
    return _ascending(parts, within)


def partners(images: Fingerprints, others: Fingerprints) -> dict[int, int]:
    """Place of each image that has a near duplicate among `others`, and of the first of these."""
    pairs = near_duplicates(images, others)
    places, first = np.unique(pairs[:, 0], return_index=True)
    return dict(zip(places.tolist(), pairs[first, 1].tolist(), strict=True))


def _ascending(parts: Iterable[Pairs], within: bool) -> Pairs:
    """Each pair once; among the images themselves the lower place first, and none with itself."""
    every = np.concatenate([np.zeros((0, 2), np.int64), *parts])
    if within:
        every = np.sort(every, axis=1)
        every = every[every[:, 0] < every[:, 1]]
    return np.unique(every, axis=0)


def _without(pairs: Pairs, known: Pairs) -> Pairs:
    """The pairs that are not among the known ones."""
    width = 1 + max((int(one.max()) for one in (pairs, known) if len(one)), default=0)
    left: Pairs = pairs[~np.isin(pairs @ [width, 1], known @ [width, 1])]
    return left


@dataclass(frozen=True)
class _Looks:
    """What is compared of each image, computed once an image: one is in many pairs."""

    places: npt.NDArray[np.intp]
    """`(m,)`: in the other arrays, the place of each image of m pairs."""
    thumbnails: Floats
    """`(n, SIDE, SIDE)`."""
    fine: Floats
    """Their detail."""
    halved: Floats
    """The thumbnails at half the resolution."""
    coarse: Floats
    """The detail of those."""
    smooth: Floats
    """The same, smoothed for the alignment."""

    @classmethod
    def of(cls, images: Fingerprints, rows: Places) -> _Looks:
        """Of the images of these rows `(m,)`, some of them repeated."""
        own, places = np.unique(rows, return_inverse=True)
        thumbnails = images.thumbnails(own)
        halved = _halved(thumbnails)
        coarse = detail(halved)
        return cls(places, thumbnails, detail(thumbnails), halved, coarse, _smoothed(coarse))

    def take(self, pairs: npt.NDArray[np.intp]) -> _Looks:
        """Of some of the pairs alone."""
        return replace(self, places=self.places[pairs])


def _same_picture(first: _Looks, second: _Looks) -> Mask:
    """Which pairs show one picture."""
    wanted = second.fine[second.places]
    same: Mask = _agreement(first.fine[first.places], wanted) >= SAME_IN_PLACE
    left = np.flatnonzero(~same)
    if not len(left):
        return same
    maps, alike = _align(first.take(left), second.take(left))
    near = alike >= ALIGNED_CORRELATION
    rows = left[near]
    if not len(rows):
        return same
    moved = detail(_moved(first.thumbnails[first.places[rows]], maps[near]))
    same[rows] = _agreement(moved, wanted[rows]) >= SAME_MOVED
    return same


def _equal(images: Fingerprints, others: Fingerprints) -> Pairs:
    """Pairs with equal thumbnails, and of blank images: each with the first of its kind."""
    first: dict[bytes, int] = {}
    for place, (key, blank) in enumerate(zip(others.keys, others.blank, strict=True)):
        first.setdefault(b"" if blank else key, place)
    pairs = [
        (place, first[kind])
        for place, (key, blank) in enumerate(zip(images.keys, images.blank, strict=True))
        if (kind := b"" if blank else key) in first
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _candidates(images: Fingerprints, others: Fingerprints, within: bool) -> Iterator[Pairs]:
    """Each image with those of the others that resemble it most."""
    count = min(CANDIDATES, len(others) - within)
    if count < 1:
        return
    step = max(1, _COMPARED // len(others))
    for start in range(0, len(images), step):
        part = images.coarse[start : start + step]
        alike = part @ others.coarse.T
        places = np.arange(len(part))
        if within:
            alike[places, start + places] = -1
        # Where most images resemble each other, only the best are worth sorting.
        least = np.partition(alike, -count, axis=1)[:, -count, None]
        rows, found = np.nonzero(alike >= np.maximum(least, CANDIDATE_CORRELATION))
        order = np.lexsort((-alike[rows, found], rows))
        rows, found = rows[order], found[order]
        best = np.arange(len(rows)) - np.searchsorted(rows, rows) < count
        yield np.stack([rows[best] + start, found[best]], 1)


def _agreement(first: Floats, second: Floats) -> Floats:
    """The lower one of the correlations of the whole and of its central half `(m,)`.

    The outline of a field of view, which all images of a camera share, lies outside of that.
    """
    quarter = SIDE // 4
    inner = (slice(None), slice(quarter, -quarter), slice(quarter, -quarter))
    lower: Floats = np.minimum(
        _correlation(first, second), _correlation(first[inner], second[inner])
    )
    return lower


def _correlation(first: Floats, second: Floats) -> Floats:
    """`(m,)`; 1 where neither has any detail."""
    a, b = first.reshape(len(first), -1), second.reshape(len(second), -1)
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    neither = np.maximum(length_a, length_b) < NO_DETAIL
    found: Floats = (a * b).sum(1) / np.maximum(length_a * length_b, NO_DETAIL**2)
    return np.where(neither, np.float32(1), found)


def _align(first: _Looks, second: _Looks) -> tuple[Floats, Floats]:
    """The affine maps `(m, 6)` that bring the detail of first thumbnails nearest to the second.

    With them the correlation `(m,)` of the details once they are aligned.
    """
    thumbnails, smooth = first.halved[first.places], first.smooth[first.places]
    wanted, target = second.coarse[second.places], second.smooth[second.places]
    side = thumbnails.shape[1]
    x, y = _grid(side)
    limits = np.array([MOST_STRETCH, MOST_STRETCH, MOST_SHIFT] * 2, np.float32)
    maps = np.zeros((len(thumbnails), 6), np.float32)
    shown = first.coarse[first.places]
    for number in range(STEPS):
        if number:
            smooth = _smoothed(shown)
        dy, dx = np.gradient(smooth, 2 / side, axis=(1, 2))
        slopes = np.stack([dx * x, dx * y, dx, dy * x, dy * y, dy], 1)
        slopes = slopes.reshape(len(thumbnails), 6, side * side)
        missing = (target - smooth).reshape(len(thumbnails), side * side, 1)
        square = slopes @ slopes.transpose(0, 2, 1)
        ridge = 1e-3 * (1 + np.trace(square, axis1=1, axis2=2))[:, None, None]
        step = np.linalg.solve(square + ridge * np.eye(6), slopes @ missing)[..., 0]
        maps = np.clip(maps + step, -limits, limits).astype(np.float32)
        shown = detail(_moved(thumbnails, maps))
    return maps, _correlation(shown, wanted)


def _smoothed(details: Floats) -> Floats:
    found: Floats = gaussian_filter(details, (0, 0.7, 0.7))
    return found


def _moved(thumbnails: Floats, maps: Floats) -> Floats:
    source = torch.from_numpy(thumbnails)[:, None]
    affine = torch.from_numpy(maps.reshape(-1, 2, 3)) + torch.eye(2, 3)
    grid = F.affine_grid(affine, list(source.shape), align_corners=False)
    warped = F.grid_sample(source, grid, padding_mode="border", align_corners=False)
    found: Floats = warped[:, 0].numpy()
    return found


def _halved(thumbnails: Floats) -> Floats:
    half = thumbnails.shape[1] // 2
    found: Floats = thumbnails.reshape(len(thumbnails), half, 2, half, 2).mean((2, 4))
    return found


@functools.cache
def _grid(side: int) -> tuple[Floats, Floats]:
    """Coordinates x and y of the pixels of a thumbnail, in [-1, 1]."""
    line = ((np.arange(side) + 0.5) * 2 / side - 1).astype(np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    return x, y
