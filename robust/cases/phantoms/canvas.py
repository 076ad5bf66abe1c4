"""Drawing tools for synthetic images: soft edges, smooth noise, strokes and discs at any size.

Coordinates are relative to the image's side: x runs right and y down, both in [0, 1]. Whatever is
random is drawn in these units and never in pixels, so that a seed shows the same anatomy at every
size; what is thinner than a pixel fades instead of breaking up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]

CELL_BLUR = 0.6
"""Width of the kernel that turns a noise lattice into a smooth field, in lattice cells."""

DAB = 0.6
"""Distance between two dabs of a brush, in pixels; above 1 a stroke would show gaps."""


class Drawing(NamedTuple):
    """An image in [0, 1] and what is outlined in it."""

    image: Field
    """`(h, w)` grey, `(h, w, 3)` RGB, or a volume `(d, h, w)`."""
    structures: Mapping[str, Field]
    """How much of each pixel a structure covers, `(h, w)` or `(d, h, w)`, by its name."""
    spacing: tuple[float, ...] | None = None
    """Millimetres between pixels along each axis; None where the picture has no scale."""


def grid(size: int) -> tuple[Field, Field]:
    """Pixel centres as x, shape (1, size), and y, shape (size, 1)."""
    centres = (np.arange(size) + 0.5) / size
    return centres[None, :], centres[:, None]


def inside(depth: Field, softness: Field | float) -> Field:
    """From 0 outside (depth < 0) to 1 inside, over about `softness` to either side of the edge."""
    # Never sharper than half a pixel, so that edges are antialiased at every size.
    blur = np.maximum(softness, 0.5 / max(depth.shape))
    return np.asarray(0.5 + 0.5 * np.tanh(depth / blur))


def ellipse(x: Field, y: Field, cx: float, cy: float, rx: float, ry: float) -> Field:
    """Depth below the rim of an ellipse: positive inside, near to a distance close to the rim."""
    return (1.0 - np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)) * min(rx, ry)


def bump(x: Field, y: Field, cx: float, cy: float, sx: float, sy: float) -> Field:
    """A Gaussian hill of height 1 at (cx, cy)."""
    return np.exp(-0.5 * ((x - cx) / sx) ** 2) * np.exp(-0.5 * ((y - cy) / sy) ** 2)


def noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """A smooth field (size, size) of mean 0 and variance 1 whose features are 1 / cells wide."""
    lattice = rng.standard_normal((cells + 4, cells + 4))
    weights = lattice_weights(size, cells)
    return weights @ lattice @ weights.T


def lattice_weights(size: int, cells: int) -> Field:
    """What each node of a noise lattice contributes along an axis, `(size, cells + 4)`."""
    # Two cells of margin on each side keep the variance the same up to the border.
    nodes = np.arange(cells + 4) - 1.5
    blur = max(CELL_BLUR, 0.5 * cells / size)
    at = (np.arange(size) + 0.5) / size * cells
    weights = np.exp(-0.5 * ((at[:, None] - nodes[None, :]) / blur) ** 2)
    # The scale gives variance 1 at the natural blur; a wider one (few pixels) rightly fades.
    weights *= math.sqrt(2.0 * math.sqrt(math.pi) * CELL_BLUR) / weights.sum(1, keepdims=True)
    return weights


def clouds(rng: np.random.Generator, size: int, cells: int, octaves: int) -> Field:
    """Noise over several scales, each twice as fine and half as strong; variance about 1."""
    total = np.zeros((size, size))
    for k in range(octaves):
        total += noise(rng, size, cells * 2**k) * 0.5**k
    return total / math.sqrt(sum(0.25**k for k in range(octaves)))


def mix(under: Field, over: Field, share: Field) -> Field:
    """Lay `over` on `under` (h, w, 3) with opacity `share` (h, w) in [0, 1]."""
    return under + (over - under) * share[..., None]


def absorb(image: Field, density: Field, strength: Field) -> Field:
    """Dim an image (h, w, 3), or a colour (3,), by a pigment of `density` (h, w).

    `strength` (3,) is how much of red, green and blue one unit of it absorbs, as a logarithm.
    """
    return np.asarray(image * np.exp(-density[..., None] * strength))


def wander(
    rng: np.random.Generator,
    starts: Field,
    headings: Field,
    lengths: Field,
    bends: Field,
    wobble: float,
    steps: int = 24,
) -> Field:
    """Paths (n, steps, 2) that leave `starts` (n, 2), turn by `bends` radians and wobble."""
    along = np.linspace(0.0, 1.0, steps)
    drift = rng.standard_normal((len(starts), steps)).cumsum(1) * (wobble / math.sqrt(steps))
    angle = headings[:, None] + bends[:, None] * along + drift
    stride = np.stack([np.cos(angle), np.sin(angle)], axis=2) * (lengths / steps)[:, None, None]
    stride[:, 0] = 0.0
    return np.asarray(starts[:, None] + stride.cumsum(1))


def sprout(
    rng: np.random.Generator, paths: Field, widths: Field, each: int, spread: float
) -> tuple[Field, Field, Field]:
    """Where `each` branches leave each path: starts (m, 2), headings (m,), parents' widths (m,)."""
    n, steps, _ = paths.shape
    parent = np.repeat(np.arange(n), each)
    # Stratified along the path, so that branches do not bunch.
    slot = (np.tile(np.arange(each), n) + rng.uniform(0.15, 0.85, n * each)) / each
    joint = (slot**0.8 * (steps - 2)).astype(int)
    ahead = paths[parent, joint + 1] - paths[parent, joint]
    side = np.where((np.arange(n * each) + rng.integers(0, 2, n * each)) % 2, 1.0, -1.0)
    turn = side * spread * rng.uniform(0.6, 1.4, n * each)
    headings = np.arctan2(ahead[:, 1], ahead[:, 0]) + turn
    return paths[parent, joint], headings, widths[parent, joint]


def brush(size: int, paths: Field, widths: Field, rim: float = 0.0) -> Field:
    """Coverage (size, size) by strokes along `paths` (n, steps, 2) of `widths` (n, steps).

    1 within one stroke and more where strokes cross; `rim` > 0 makes a stroke denser at its edges
    than along its middle, as the cortex makes a bone, and -1.5 rounds it off, as in a full tube.
    """
    a, b = paths[:, :-1].reshape(-1, 2), paths[:, 1:].reshape(-1, 2)
    wide = 0.5 * (widths[:, :-1] + widths[:, 1:]).ravel()
    step = b - a
    length = np.hypot(step[:, 0], step[:, 1])
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / np.maximum(length, 1e-9)[:, None]
    n_along = max(1, math.ceil(float(length.max()) * size / DAB))
    n_across = max(1, math.ceil(float(wide.max()) * size / DAB))
    along = (np.arange(n_along) + 0.5) / n_along
    across = (np.arange(n_across) + 0.5) / n_across * 2.0 - 1.0
    spine = a[:, None] + step[:, None] * along[:, None]
    flank = normal[:, None] * (0.5 * wide)[:, None, None] * across[:, None]
    dabs = (spine[:, :, None] + flank[:, None]).reshape(-1, 2)
    profile = 1.0 + rim * (across**2 - np.mean(across**2))
    ink = (length * wide)[:, None, None] * (profile / n_across) / n_along
    return _splat(size, dabs, np.broadcast_to(ink, (len(a), n_along, n_across)).ravel())


def _splat(size: int, at: Field, area: Field) -> Field:
    """Share each dab's area, relative to the image, among its four nearest pixels."""
    # One pixel of border takes what falls half outside, and is cut off at the end.
    place = at * size + 0.5
    seen = np.all((place >= 0.0) & (place < size + 1), axis=1)
    place, ink = place[seen], area[seen] * float(size * size)
    corner = place.astype(np.int64)
    part = place - corner
    canvas = np.zeros((size + 2) * (size + 2))
    for dx, px in ((0, 1.0 - part[:, 0]), (1, part[:, 0])):
        for dy, py in ((0, 1.0 - part[:, 1]), (1, part[:, 1])):
            cell = (corner[:, 1] + dy) * (size + 2) + corner[:, 0] + dx
            canvas += np.bincount(cell, ink * px * py, minlength=len(canvas))
    return canvas.reshape(size + 2, size + 2)[1:-1, 1:-1]


def discs(size: int, centres: Field, radii: Field, ragged: Field) -> Field:
    """Coverage (size, size) in [0, 1] by discs whose edges `ragged`, (size, size), pushes about.

    ragged is in units of the radius: 0.3 moves an edge by a third of the radius.
    """
    canvas = np.zeros((size, size))
    x, y = grid(size)
    for (cx, cy), true_radius in zip(centres, radii, strict=True):
        # A disc smaller than a pixel is drawn as large as one, and fainter by the areas' ratio.
        radius = max(true_radius, 0.56 / size)
        reach = 1.8 * radius + 1.0 / size
        rows = slice(max(0, int((cy - reach) * size)), max(0, math.ceil((cy + reach) * size)))
        columns = slice(max(0, int((cx - reach) * size)), max(0, math.ceil((cx + reach) * size)))
        away = np.hypot(x[:, columns] - cx, y[rows] - cy)
        depth = radius * (1.0 + ragged[rows, columns]) - away
        cover = np.clip(depth * size + 0.5, 0.0, 1.0) * (true_radius / radius) ** 2
        canvas[rows, columns] += (1.0 - canvas[rows, columns]) * cover
    return canvas
