"""Mean feature distance to the labelled images: MedAL, Smailagic et al. 2018 (1809.09287)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robust.metrics.arrays import Array
from robust.ranking.contract import Need, Pool, LabelOrder
from robust.ranking.criteria._one_by_one import BLOCK, choose_one_by_one, distances_to


@dataclass(frozen=True)
class MeanDistance:
    """The image first whose average distance to all labelled images is largest.

    A chosen image counts as labelled from then on. The value is the average when it was chosen.
    On its own it prefers outliers; O-MedAL asks it of images of high entropy alone.
    """

    name: ClassVar[str] = "mean-distance"
    unit: ClassVar[str] = "Euclidean, averaged over the labelled and chosen images"
    needs: ClassVar[frozenset[Need]] = frozenset({"features", "labelled"})

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Largest average first; ValueError without labelled images."""
        features, labelled = pool.features, pool.labelled
        assert features is not None and labelled is not None
        if not len(labelled):
            raise ValueError("mean-distance needs at least one labelled image")
        total, members = np.zeros(len(pool)), len(labelled)
        for start in range(0, len(labelled), BLOCK):
            total = total + distances_to(features, labelled[start : start + BLOCK]).sum(1)

        def after(row: int) -> Array:
            nonlocal total, members
            total = total + distances_to(features, features[[row]])[:, 0]
            members += 1
            return total / members

        return choose_one_by_one(pool, count, total / members, after)
