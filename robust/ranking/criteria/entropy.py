"""Entropy of the predicted probabilities: Shannon 1948; as a query, Settles and Craven 2008."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robust.ranking.contract import Need, Pool, LabelOrder, by_value


@dataclass(frozen=True)
class PredictiveEntropy:
    """The image first whose class the model knows least. With two classes: the order of margins."""

    name: ClassVar[str] = "entropy"
    unit: ClassVar[str] = "nats"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Highest entropy first."""
        p = pool.probabilities
        terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)
        return by_value(pool, -terms.sum(1), highest_first=True)
