"""k-centre greedy on features: the core-set of Sener and Savarese 2018 (arXiv 1708.00489)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robust.metrics.arrays import Array
from robust.ranking.contract import Need, Pool, LabelOrder
from robust.ranking.criteria._one_by_one import BLOCK, choose_one_by_one, distances_to


@dataclass(frozen=True)
class FeatureDistance:
    """The image first that lies furthest from its nearest labelled or already chosen image.

    The images that are chosen so cover the features: no image lies further from the nearest centre
    than twice what the best choice of as many centres reaches (Gonzalez 1985). The value is that
    distance when the image was chosen. Without labelled images the first is the one nearest to the
    mean of the pool, and its value the distance to that mean.
    """

    name: ClassVar[str] = "feature-distance"
    unit: ClassVar[str] = "Euclidean, to the nearest labelled or chosen image"
    needs: ClassVar[frozenset[Need]] = frozenset({"features"})

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Furthest first."""
        features, labelled = pool.features, pool.labelled
        assert features is not None
        nearest: Array = np.full(len(pool), np.inf)
        if labelled is not None:
            for start in range(0, len(labelled), BLOCK):
                part = labelled[start : start + BLOCK]
                nearest = np.minimum(nearest, distances_to(features, part).min(1))

        def after(row: int) -> Array:
            nonlocal nearest
            nearest = np.minimum(nearest, distances_to(features, features[[row]])[:, 0])
            return nearest

        if labelled is not None and len(labelled):
            return choose_one_by_one(pool, count, nearest, after)
        to_mean = distances_to(features, features.mean(0, keepdims=True))[:, 0]
        found = choose_one_by_one(pool, count, -to_mean, after)
        first = found.order[:1]
        found.values[first] = to_mean[first]
        return found
