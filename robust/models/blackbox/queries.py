"""Query counter of a black box: images that it has answered, by purpose, under a budget."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from robust.errors import BlackBoxFailure, InputError

SAVED_EVERY = 1.0
"""Seconds between two savings of the count: a process that is killed loses no more."""

Keep = Callable[[Mapping[str, int]], None]
"""Saves the number of answered images by purpose."""


class QueryCounter:
    """Counts the images that a black box has answered; a request that fails counts nothing.

    It belongs to the black box and not to a copy of its classifier: copies share it.
    """

    def __init__(self, budget: int | None = None) -> None:
        """`budget`: most images that may be asked in a whole run; None: any number."""
        self.budget = budget
        self.purpose = "before the run"
        """What the next queries are for."""
        self._answered: Counter[str] = Counter()
        self._keep: Keep | None = None
        self._saved = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> QueryCounter:
        return self

    @property
    def answered(self) -> dict[str, int]:
        """Number of answered images by purpose."""
        return dict(self._answered)

    def resume(self, known: Mapping[str, int], keep: Keep) -> None:
        """Go on from what earlier calls of the same run have asked, and save the count from now."""
        self._answered.update(known)
        self._keep = keep
        self.save()

    def stop(self) -> None:
        """Save the count a last time; the next run of this black box counts from nothing."""
        with contextlib.suppress(InputError):  # of a disk, which ends the run with its own line
            self.save()
        self._keep = None
        self._answered.clear()
        self.purpose = "before the run"

    def save(self) -> None:
        """Save the count, if there is a place for it."""
        if self._keep is not None:
            self._keep(self.answered)
            self._saved = time.monotonic()

    def require(self, images: int) -> None:
        """BlackBoxFailure where so many more images would exceed the budget."""
        done = self._answered.total()
        if self.budget is not None and done + images > self.budget:
            raise BlackBoxFailure(
                f"the budget of {self.budget:,} queries is used up: {done:,} images are answered "
                f"and {images} more are needed; raise queries in [model] and give the same command "
                f"again, which continues from here"
            )

    def add(self, images: int) -> None:
        """Note that so many images have been answered."""
        self._answered[self.purpose] += images
        if time.monotonic() - self._saved > SAVED_EVERY:
            self.save()
