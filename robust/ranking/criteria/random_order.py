"""Random order: the control that every other criterion must beat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robust.ranking.contract import Need, Pool, LabelOrder, by_value


@dataclass(frozen=True)
class RandomOrder:
    """A uniform draw for each image from its id and the seed; the lowest comes first."""

    name: ClassVar[str] = "random"
    unit: ClassVar[str] = "draw from 0 to 1"
    needs: ClassVar[frozenset[Need]] = frozenset()
    seed: int = 0
    """Other seeds give other orders."""

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Lowest draw first."""
        draws = np.array([self._draw(name) for name in pool.ids])
        return by_value(pool, draws, highest_first=False)

    def _draw(self, name: str) -> float:
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
