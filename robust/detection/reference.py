"""Reads the reference: clean images of the training split that detectors learn from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from detectors import Extractor, Features, Reference
from robust.cases.case import Cases, sample_rows
from robust.cases.consistency import check_no_shared_groups
from robust.cases.duplicates.fingerprints import Fingerprints, fingerprint_of
from robust.cases.duplicates.merging import named_pairs
from robust.cases.duplicates.search import partners
from robust.detection.feature_log import REFERENCE, FeatureLog
from robust.engine.batch import read_batches
from robust.engine.identity.images import contents_of, require_unchanged
from robust.engine.run_memory import REFERENCE_COPIES
from robust.engine.run_store import RunStore
from robust.engine.runner import Runner
from robust.errors import InputError
from robust.metrics.arrays import Places
from robust.metrics.groups import group_codes
from robust.records import ReferenceSet

MOST_COPIES = 0.5
"""Share of the reference that may be copies of audited images; they are left out."""


def check_reference(reference: Cases, cases: Cases) -> None:
    """InputError where a patient of the reference is audited too, or the classes differ."""
    if reference.classes != cases.classes:
        raise InputError(
            f"the reference has the classes {', '.join(reference.classes)}, the audited cases "
            f"{', '.join(cases.classes)}; they must be the same, in the same order"
        )
    if reference.grouped and cases.grouped:
        names = f"the split {reference.split!r} that detectors learn from", "the audited cases"
        check_no_shared_groups(reference, cases, names)


def read_reference(
    cases: Cases,
    limit: int,
    chunk: int,
    extract: Extractor,
    log: FeatureLog,
    runner: Runner,
    seed: int,
) -> ReferenceImages:
    """At most `limit` images, drawn by seed, without copies and near copies of audited ones.

    They are read in chunks of `chunk`; chunks in the store are not read again. InputError where
    too few are left, or a class is missing.
    """
    rows = sample_rows(cases.entries, range(len(cases)), limit, seed)
    done = log.store.done()
    require_unchanged(cases, log.store.contents(REFERENCE), runner.progress)
    for number, start in enumerate(range(0, len(rows), chunk)):
        if (REFERENCE, number) not in done:
            runner.progress(start, len(rows), "reference images")
            _record_chunk(cases, number, rows[start : start + chunk], extract, log, runner)
    copies = log.store.memo(REFERENCE_COPIES, lambda: _copies(log.store))
    found, features = log.features(REFERENCE)
    images = ReferenceImages(cases, tuple(found), features, ())
    return images.without([(row, runner.cases.entries[other].id) for row, other in copies])


@dataclass(frozen=True)
class ReferenceImages:
    """The images that detectors may learn from."""

    cases: Cases
    """All of the split."""
    rows: tuple[int, ...]
    """Rows of those that may be learned from."""
    features: Features
    """Theirs, in this order."""
    left_out: tuple[tuple[int, str], ...]
    """Row of each image that was left out, and id of the audited image that it shows."""

    def without(self, copies: Sequence[tuple[int, str]]) -> ReferenceImages:
        """Leave out copies of audited images; InputError where more than half of all are copies."""
        out = {row for row, _ in copies}
        kept = [row not in out for row in self.rows]
        left_out = (*self.left_out, *copies)
        count, every = len({row for row, _ in left_out}), len(self.rows) + len(self.left_out)
        if count > MOST_COPIES * every:
            raise InputError(
                f"{count} of {every} images of the split {self.cases.split!r} that detectors learn "
                f"from are copies or near copies of audited ones; keep the splits apart, or name "
                f"another with reference in [detection]"
            )
        return dataclasses.replace(
            self,
            rows=tuple(row for row, keep in zip(self.rows, kept, strict=True) if keep),
            features=self.features.take(torch.tensor(kept, dtype=torch.bool)),
            left_out=left_out,
        )

    @property
    def groups(self) -> Places:
        """Group of each image as a number `(n,)`."""
        return group_codes([self.cases.entries[row].group for row in self.rows])

    def read(self, runner: Runner) -> Iterator[Tensor]:
        """The images again `(n, c, h, w)`, batches of one shape, on the runner's device."""
        for _, _, x in read_batches(self.cases, self.rows, runner.template):
            yield x

    def reference(self, runner: Runner) -> Reference:
        """What detectors learn from; InputError where a class is missing."""
        cases = self.cases
        labels = [cases.entries[row].label for row in self.rows]
        missing = set(range(len(cases.classes))) - set(labels)
        if missing:
            raise InputError(
                f"the split {cases.split!r} that detectors learn from holds no case of "
                f"{cases.classes[min(missing)]!r}; name another with reference in [detection]"
            )
        groups = torch.from_numpy(self.groups)
        images = partial(self.read, runner)
        return Reference(self.features, torch.tensor(labels), groups, images)

    def described(self) -> ReferenceSet:
        """Their description for the report."""
        entries = self.cases.entries
        return ReferenceSet(
            split=self.cases.split,
            cases=len(self.rows),
            groups=len(np.unique(self.groups)),
            left_out=len({row for row, _ in self.left_out}),
            source=self.cases.source,
            copies=named_pairs([(entries[row].id, other) for row, other in self.left_out]),
        )


def _copies(store: RunStore) -> list[list[int]]:
    """Rows of reference images, each with the row of an audited image that shows the same."""
    own, audited = store.fingerprints(REFERENCE), store.fingerprints("clean")
    rows, others = list(own), list(audited)
    found = partners(Fingerprints(list(own.values())), Fingerprints(list(audited.values())))
    return [[rows[a], others[b]] for a, b in found.items()]


def _record_chunk(
    cases: Cases, number: int, rows: list[int], extract: Extractor, log: FeatureLog, runner: Runner
) -> None:
    """Read one chunk of rows into the store."""
    began, kept = time.perf_counter(), []
    contents = contents_of(cases, rows)
    fingerprints: dict[int, bytes] = {}
    for found, images, x in read_batches(
        cases, rows, runner.template, skip_broken=runner.skip_broken
    ):
        with torch.no_grad():
            kept += log.pack(REFERENCE, found, extract(x))
        fingerprints |= {r: fingerprint_of(case.image) for r, case in zip(found, images)}
    seconds = time.perf_counter() - began
    log.store.add_features(REFERENCE, number, kept, seconds, contents, fingerprints)
