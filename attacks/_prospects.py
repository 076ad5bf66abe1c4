"""When a search may end: where its own progress, extended generously, would not reach its goal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FIRST = 16
"""Steps after which a search is judged first; then at every power of two."""
SAFETY = 2.0
"""How many times the progress of the last doubling of steps each further doubling may bring: a
search slows down, and one that goes on like the root of its steps still counts as promising."""
SHARE = 0.25
"""Share of all progress so far that may always be still to come: a search near its goal goes on,
also where it stands still until its steps become shorter."""


class Prospects:
    """The best values `(n,)` of one search so far, and whether they may still reach zero."""

    def __init__(self, budget: int, first: int = FIRST, share: float = SHARE) -> None:
        self._budget, self._first, self._share = budget, first, share
        self._values: tuple[Tensor, Tensor, Tensor] | None = None
        """At the start, at the last power of two, and the best."""

    def offer(self, steps: int, value: Tensor) -> Tensor:
        """The values after so many steps: `(n,)` bool, where to give up.

        A search that has no finite value yet goes on.
        """
        start, half, best = self._values or (value, value, value)
        best = torch.maximum(best, value)
        start = torch.where(start.isinf(), best, start)
        hopeless = torch.zeros_like(value, dtype=torch.bool)
        if steps & (steps - 1) == 0:
            if self._first <= steps < self._budget:
                ahead = SAFETY * math.log2(self._budget / steps) * (best - half)
                hopeless = best + torch.maximum(ahead, self._share * (best - start)) < 0
            half = best
        self._values = start, half, best
        return hopeless

    def take(self, mask: Tensor) -> None:
        """Go on with those of a mask `(n,)`."""
        if self._values is not None:
            start, half, best = self._values
            self._values = start[mask], half[mask], best[mask]
