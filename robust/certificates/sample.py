"""The sampled cases of one certificate: their rows, parts, labels, groups and random streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.repeated_passes import draws_begin_at
from attacks.streams import Streams, stream_seed
from robust.cases.case import Case, Entry
from robust.engine.session import Session
from robust.metrics.by_group import ByGroup

PART = 16
"""Cases that are certified or attacked as one unit, and stored as one."""


@dataclass(frozen=True)
class SampledCases:
    """The cases that one certificate of a plan is tried on."""

    session: Session
    label: str
    """The certificate's name in the plan."""
    stored_as: str
    """Names what is stored of it: the label, with the hash of the certificate's own weights."""
    rows: Sequence[int]
    seed: int
    progress: Callable[[float, str], None]
    """Told which share of the certificate is done, and what is being done."""

    @property
    def parts(self) -> list[range]:
        """Places of the cases that are one unit."""
        places = range(len(self.rows))
        return [places[i : i + PART] for i in range(0, len(places), PART)]

    @property
    def entries(self) -> list[Entry]:
        """The cases without their images."""
        return [self.session.cases.entries[row] for row in self.rows]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """`(n,)`."""
        return np.array([entry.label for entry in self.entries])

    @property
    def by_group(self) -> ByGroup:
        """Estimates by patient or lesion."""
        return ByGroup([entry.group for entry in self.entries])

    @property
    def values(self) -> npt.NDArray[np.int64]:
        """`(n,)`: number of values of each image."""
        known = {one.row: one.pixel_values for one in self.session.store.known_cases()}
        return np.array([known[row] for row in self.rows])

    def repeated(self, cases: Sequence[Case], *use: object) -> AbstractContextManager[None]:
        """Draws that a network makes itself, within this, are the same when a run is resumed."""
        seed = stream_seed(self.seed, [case.id for case in cases], "certificate", *use)
        return draws_begin_at(seed, self.session.classifier.mean.device)

    def streams(self, cases: Sequence[Case], *use: object) -> Streams:
        """One stream for each of some cases; `use` tells independent ones apart."""
        return Streams.of(self.seed, [case.id for case in cases], "certificate", *use)
