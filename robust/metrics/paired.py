"""Paired difference of two rates on the same cases (after Bonett and Price 2012), by group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from robust.metrics.bootstrap import Bootstrap
from robust.metrics.intervals import LEVEL
from robust.records import Estimate

Side = tuple[npt.ArrayLike, npt.ArrayLike]
"""Values `(n,)` and the mask `(n,)` of the cases that their rate is taken over."""


class Paired:
    """Resamples groups once for both sides, so that what they share cancels.

    A plain bootstrap is too narrow where few groups differ: with none it gives [0, 0], and four
    groups that change in the same direction are enough to exclude 0. So two artificial groups of
    average size join the resampling, one in favour of each side, after Bonett and Price (2012,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data"). They widen the interval and leave the point estimate as it is.
    """

    def __init__(self, groups: Sequence[object], draws: int = 2000, seed: int = 0) -> None:
        _, codes = np.unique(np.asarray([str(g) for g in groups]), return_inverse=True)
        self.codes: npt.NDArray[np.int64] = codes.astype(np.int64)
        self.count = int(codes.max()) + 1
        self._bootstrap = Bootstrap(range(self.count + 2), draws, seed)

    def difference(self, old: Side, new: Side) -> Estimate | None:
        """Rate of `new` minus rate of `old`; None where either has no case.

        Each side has its own mask: other cases can be correct without attack in each run.
        """
        masks = [np.asarray(mask, bool) for _, mask in (old, new)]
        if not all(mask.any() for mask in masks):
            return None
        either = masks[0] | masks[1]
        cases, groups = int(either.sum()), len(np.unique(self.codes[either]))
        sums = np.zeros((self.count + 2, 4), dtype=np.float32)
        for i, ((values, _), mask) in enumerate(zip((old, new), masks, strict=True)):
            inside = np.where(mask, np.asarray(values, np.float64), 0.0)
            sums[: self.count, 2 * i] = np.bincount(self.codes, inside, self.count)
            sums[: self.count, 2 * i + 1] = np.bincount(self.codes, mask, self.count)
        hits, sizes = sums[:, ::2].sum(0, dtype=np.float64), sums[:, 1::2].sum(0, dtype=np.float64)
        value = float(hits[1] / sizes[1] - hits[0] / sizes[0])
        for i in (0, 1):
            mean = sizes[i] / groups
            sums[self.count :, 2 * i + 1] = mean
            sums[self.count + i, 2 * i] = mean
        drawn = self._bootstrap.draw(sums).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = drawn[:, 2] / drawn[:, 3] - drawn[:, 0] / drawn[:, 1]
        draws = draws[np.isfinite(draws)]
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(value, min(float(low), value), max(float(high), value), cases, groups)
