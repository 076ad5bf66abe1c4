"""Margin between the two likeliest classes: Scheffer, Decomain and Wrobel 2001."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robust.ranking.contract import Need, Pool, LabelOrder, by_value


@dataclass(frozen=True)
class ProbabilityMargin:
    """The image first whose two likeliest classes have the nearest probabilities."""

    name: ClassVar[str] = "margin"
    unit: ClassVar[str] = "probability"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Smallest margin first."""
        highest = np.sort(pool.probabilities, axis=1)[:, -2:]
        return by_value(pool, highest[:, 1] - highest[:, 0], highest_first=False)
