"""Smallest adversarial distance, as DFAL: Ducoffe and Precioso 2018 (arXiv 1802.09841)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robust.ranking.contract import Need, Pool, LabelOrder, by_value


@dataclass(frozen=True)
class AdversarialDistance:
    """The image first whose predicted class changes at the smallest distance.

    The distance to the nearest adversarial image estimates that to the decision boundary in the
    space of the images, where the margin of probabilities is measured in the space of the outputs.
    The paper finds it with DeepFool, robust with FMN. Images without one come last.
    """

    name: ClassVar[str] = "distance"
    needs: ClassVar[frozenset[Need]] = frozenset({"distances"})
    unit: str = "size of change"
    """With the norm, where it is known."""

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Nearest first."""
        assert pool.distances is not None
        return by_value(pool, pool.distances, highest_first=False)
