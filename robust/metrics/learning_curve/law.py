"""The law error = a + b n^-c, fitted by weighted least squares, with its region of 95 %.

The region holds all laws that fit nearly as well (Beale 1960, "Confidence regions in non-linear
estimation"), and among them those with a plateau, a + b (n + m)^-c: few sizes do not tell where an
error that has hardly begun to fall will end.

For given c and m the law is linear in a and in the drop of the error from the smallest number of
images to infinitely many, so that the sum of squares is a paraboloid: its least value under
0 <= a <= 1 and b >= 0, and the range of any linear function over the region, are closed forms. c
and m run over a grid. So there is no search that could stop early.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats as scipy_stats

from robust.metrics.arrays import Array
from robust.metrics.intervals import LEVEL

LEAST_EXPONENT, MOST_EXPONENT = 0.02, 5.0
"""Of the grid. An interval that reaches either end is open there."""
_WIDER = 1.35
"""Times the room of the F distribution: weights and bounds are estimated or bent, and the law is no
straight line. By simulation (`experiments/learning_curve`) intervals without it hold in 0.91."""
PLATEAUS = 2.0 ** np.arange(-1, 8)
"""m of laws with a plateau, in units of the smallest number of images."""
_FINE = np.geomspace(LEAST_EXPONENT, MOST_EXPONENT, 600)
_COARSE = _FINE[::5]
"""With a plateau, where a law is in the region but never the fit that is shown."""
_GRID = np.concatenate([_FINE, np.tile(_COARSE, len(PLATEAUS))])
_SHIFT = np.repeat([0.0, *PLATEAUS], [len(_FINE)] + [len(_COARSE)] * len(PLATEAUS))
_POWER_LAWS = slice(len(_FINE))
"""Of the grid: the laws without a plateau."""


@dataclass(frozen=True)
class FittedLaw:
    """The law fitted to errors; `images`, `errors` and `weights` are `(n,)`."""

    images: Array
    errors: Array
    weights: Array
    """Inverse variances, up to a factor."""

    @cached_property
    def unit(self) -> float:
        """The smallest number of images."""
        return float(self.images.min())

    def _steps(self, images: Array) -> Array:
        """What is left of the drop at `(n,)` numbers of images: `(grid, n)`."""
        shifted = (images / self.unit + _SHIFT[:, None]) / (1 + _SHIFT[:, None])
        return np.asarray(shifted ** -_GRID[:, None])

    @cached_property
    def _moments(self) -> tuple[Array, Array, float]:
        """For each law: the Hessian `(grid, 2, 2)`, the slope `(grid, 2)`, and the squares."""
        x = self._steps(self.images)
        w, y = self.weights, self.errors
        s, sx, sxx = np.full(len(_GRID), w.sum()), (w * x).sum(1), (w * x * x).sum(1)
        hessian = np.stack([np.stack([s, sx], 1), np.stack([sx, sxx], 1)], 1)
        slope = np.stack([np.full(len(_GRID), (w * y).sum()), (w * x * y).sum(1)], 1)
        return hessian, slope, float((w * y * y).sum())

    @cached_property
    def _free(self) -> Array:
        """For each law the best `(a, drop)` without bounds."""
        hessian, slope, _ = self._moments
        return np.asarray(np.linalg.solve(hessian, slope[..., None])[..., 0], np.float64)

    def _squares(self, at: Array) -> Array:
        """Weighted sum of squares of `(a, drop)`, `(grid, 2)`, for each law."""
        hessian, slope, total = self._moments
        inner = np.einsum("gi,gij,gj->g", at, hessian, at)
        return np.asarray(inner - 2 * (slope * at).sum(1) + total)

    @cached_property
    def _best(self) -> tuple[Array, Array]:
        """For each law the best `(a, drop)` that the bounds allow, and its squares."""
        hessian, slope, _ = self._moments
        candidates = [np.where(_inside(self._free)[:, None], self._free, np.nan)]
        for held in (0.0, 1.0):
            drop = (slope[:, 1] - hessian[:, 0, 1] * held) / hessian[:, 1, 1]
            candidates.append(np.stack([np.full(len(_GRID), held), np.maximum(drop, 0.0)], 1))
        level = np.clip(slope[:, 0] / hessian[:, 0, 0], 0.0, 1.0)
        candidates.append(np.stack([level, np.zeros(len(_GRID))], 1))
        squares = np.stack([self._squares(one) for one in candidates])
        squares = np.where(np.isnan(squares), np.inf, squares)
        chosen = squares.argmin(0)
        rows = np.arange(len(_GRID))
        return np.stack(candidates)[chosen, rows], squares[chosen, rows]

    @cached_property
    def place(self) -> int:
        """Of the best power law in the grid."""
        return int(self._best[1][_POWER_LAWS].argmin())

    @cached_property
    def constants(self) -> tuple[float, float, float]:
        """a, b and c of the best power law."""
        a, drop = self._best[0][self.place].tolist()
        c = float(_GRID[self.place])
        return a, drop * self.unit**c, c

    @property
    def free_constants(self) -> int:
        """Constants that no bound holds; where b is 0, the exponent is none."""
        a, b, _ = self.constants
        return (2 if b > 0 else 0) + int(0 < a < 1)

    @property
    def least(self) -> float:
        """Weighted sum of squares of the best power law."""
        return float(self._best[1][self.place])

    @property
    def degrees(self) -> int:
        """Numbers less constants."""
        return len(self.errors) - 3

    def value(self, images: float) -> float:
        """The fitted error."""
        a, b, c = self.constants
        return float(a + b * images**-c)

    @cached_property
    def slack(self) -> float:
        """How much above the least a sum of squares may lie inside the region of 95 %."""
        mean = self.least / self.degrees
        return _WIDER * mean * float(scipy_stats.f.ppf(LEVEL, 1, self.degrees))

    @cached_property
    def _within(self) -> Array:
        """For each law how far above its own least the sum of squares may lie; < 0: not in."""
        return np.asarray(self.least + self.slack - self._best[1])

    def exponents(self) -> tuple[float, float]:
        """Range of the exponent over power laws in the region; 0 and infinity where it is open."""
        kept = _FINE[self._within[_POWER_LAWS] >= 0]
        low, high = float(kept.min()), float(kept.max())
        return (0.0 if low <= LEAST_EXPONENT else low), (np.inf if high >= MOST_EXPONENT else high)

    def values(self, images: float, *, plateaus: bool = True) -> tuple[float, float]:
        """Range of the error at a number of images over the region; `inf` is the asymptote.

        Without `plateaus`, over its power laws alone: what that hides is for simulations to say.
        """
        at = self._steps(np.array([images]))[:, 0] if np.isfinite(images) else np.zeros(len(_GRID))
        low, high = self._range(np.stack([np.ones(len(_GRID)), at], 1))
        kept = slice(None) if plateaus else _POWER_LAWS
        return float(np.nanmin(low[kept])), float(np.nanmax(high[kept]))

    def scales(self) -> tuple[float, float]:
        """Range of b over power laws in the region; the upper end is infinite if c is open."""
        ends = self._range(np.tile([0.0, 1.0], (len(_GRID), 1)))
        low, high = (end[_POWER_LAWS] * self.unit**_FINE for end in ends)
        return float(np.nanmin(low)), (
            np.inf if self.exponents()[1] == np.inf else float(np.nanmax(high))
        )

    def _range(self, along: Array) -> tuple[Array, Array]:
        """Least and most of `along . (a, drop)` over the region, by law; NaN outside it.

        A linear function is extreme on a convex set where the ellipse alone would have it, if the
        bounds allow, else on an edge of the bounds.
        """
        turned = np.linalg.solve(self._moments[0], along[..., None])[..., 0]
        length = np.sqrt((along * turned).sum(1))
        with np.errstate(invalid="ignore", divide="ignore"):
            step = turned * (self._reach / length)[:, None]
        on_ellipse = np.stack([self._free + step, self._free - step])
        on_ellipse[np.logical_not(_inside(on_ellipse))] = np.nan
        inside = (np.concatenate([self._on_bounds, on_ellipse]) * along).sum(-1)
        outside = self._within < 0
        low = np.where(np.isnan(inside), np.inf, inside).min(0)
        high = np.where(np.isnan(inside), -np.inf, inside).max(0)
        return np.where(outside, np.nan, low), np.where(outside, np.nan, high)

    @cached_property
    def _reach(self) -> Array:
        """Root of how far above the least without bounds the region goes; NaN outside it."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(self.least + self.slack - self._squares(self._free)))

    @cached_property
    def _on_bounds(self) -> Array:
        """Best `(a, drop)` of each law, and where the region ends on the bounds: `(k, grid, 2)`."""
        found = [self._best[0]]
        with np.errstate(invalid="ignore", divide="ignore"):
            for start, way in _EDGES:
                found += self._edge(np.array(start), np.array(way))
        return np.stack(found)

    def _edge(self, start: Array, way: Array) -> list[Array]:
        """Both ends of the part of the region that lies on an edge of the bounds; NaN for none."""
        hessian, slope, _ = self._moments
        rows = np.tile(start, (len(_GRID), 1))
        second = np.einsum("i,gij,j->g", way, hessian, way)
        first = np.einsum("gi,gij,j->g", rows, hessian, way) - slope @ way
        rest = self._squares(rows) - self.least - self.slack
        root = np.sqrt(first**2 - second * rest)
        most = 1.0 if way[0] else np.inf
        ends = [np.clip((-first + sign * root) / second, 0.0, most) for sign in (-1, 1)]
        limit = self.least + self.slack + 1e-9 * abs(self.least)
        at = [rows + end[:, None] * way for end in ends]
        return [np.where((self._squares(one) <= limit)[:, None], one, np.nan) for one in at]


_EDGES = (((0.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (0.0, 1.0)), ((0.0, 0.0), (1.0, 0.0)))
"""Of the bounds 0 <= a <= 1, drop >= 0: a point and a direction."""


def _inside(at: Array) -> Array:
    return np.asarray((at[..., 0] >= 0) & (at[..., 0] <= 1) & (at[..., 1] >= 0))
