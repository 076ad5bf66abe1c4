"""Images chosen one after another, where each choice changes the value of the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from robust.metrics.arrays import Array
from robust.ranking.contract import Pool, LabelOrder, by_id, by_value

BLOCK = 256
"""Labelled images whose distances are held at once."""


def distances_to(features: Array, others: Array) -> Array:
    """Euclidean distances `(n, m)`."""
    found: Array = cdist(features, others)
    return found


def choose_one_by_one(
    pool: Pool, count: int, values: Array, after: Callable[[int], Array]
) -> LabelOrder:
    """Choose `count` images, each the one of the highest value; ties by id.

    `after(row)` gives the values `(n,)` once that row is chosen. The images that are not chosen
    follow by the last of them. The value of a chosen image is that at its choice.
    """
    places = by_id(pool)
    kept, left = values.copy(), np.ones(len(pool), bool)
    chosen: list[int] = []
    for _ in range(min(count, len(pool))):
        best = np.flatnonzero(left & (values == values[left].max()))
        row = int(best[places[best].argmin()])
        chosen.append(row)
        kept[row], left[row] = values[row], False
        values = after(row)
    kept[left] = values[left]
    others = by_value(pool, kept, highest_first=True).order
    order = np.concatenate([np.array(chosen, np.int64), others[left[others]]])
    return LabelOrder(kept, order)
