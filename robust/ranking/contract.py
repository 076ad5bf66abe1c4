"""The contract of a ranking criterion: from what a model says of unlabelled images to an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from robust.metrics.arrays import Array, Places

Need = Literal["features", "labelled", "distances"]
"""What a criterion reads beside the probabilities."""


@dataclass(frozen=True)
class Pool:
    """What a model says of n unlabelled images."""

    ids: tuple[str, ...]
    """Unique; they break ties."""
    probabilities: Array
    """Of the classes `(n, k)`, in [0, 1]."""
    features: Array | None = None
    """Of one layer `(n, d)`."""
    labelled: Array | None = None
    """Of the same layer, of the m images that are labelled already `(m, d)`."""
    distances: Array | None = None
    """To the nearest adversarial image `(n,)`; NaN where none was found."""

    def __post_init__(self) -> None:
        if len(set(self.ids)) < len(self.ids):
            raise ValueError("two images of a pool have the same id")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Places) -> Pool:
        """These images, in this order; the labelled ones stay."""
        return Pool(
            tuple(self.ids[row] for row in rows),
            self.probabilities[rows],
            None if self.features is None else self.features[rows],
            self.labelled,
            None if self.distances is None else self.distances[rows],
        )


@dataclass(frozen=True)
class LabelOrder:
    """An order of n images, with what it rests on."""

    values: Array
    """`(n,)` in the criterion's unit; NaN where the criterion says nothing of an image."""
    order: Places
    """Rows `(n,)`: the image to label first comes first, those without a value last."""


class Criterion(Protocol):
    """A frozen dataclass that orders the images of a pool: `criterion(pool, count) -> LabelOrder`.

    The first `count` places are what the user asks for: where images are chosen one after another,
    only these need to be. The result depends neither on the order of the rows nor on chance; equal
    images are ordered by id. `needs` must be there in the pool.
    """

    @property
    def name(self) -> str:
        """As the command line and the table name it."""

    @property
    def unit(self) -> str:
        """Of the values."""

    @property
    def needs(self) -> frozenset[Need]:
        """What must be in the pool beside the probabilities."""

    def __call__(self, pool: Pool, count: int) -> LabelOrder:
        """Order the images of a pool."""


def by_value(pool: Pool, values: Array, *, highest_first: bool) -> LabelOrder:
    """The ranking by a value of each image; ties by id, NaN last."""
    key = -values if highest_first else values
    # lexsort takes the last key first, and NaN counts as the largest.
    return LabelOrder(values, np.lexsort((by_id(pool), key)))


def by_id(pool: Pool) -> Places:
    """The place of each image in the order of the ids `(n,)`."""
    places = np.empty(len(pool), np.int64)
    places[np.argsort(np.array(pool.ids, dtype=object), kind="stable")] = np.arange(len(pool))
    return places
