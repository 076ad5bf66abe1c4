"""Reads the reference: clean images of the training split that detectors learn from."""

from __future__ import annotations

import time

import numpy as np
import torch

from detectors import Extractor, Reference
from robust.cases.case import Cases, pixel_hash, spread
from robust.cases.consistency import check_no_shared_groups
from robust.detection.feature_log import REFERENCE, FeatureLog
from robust.engine.batch import read_batches
from robust.engine.identity.images import contents_of, require_unchanged
from robust.engine.runner import Runner
from robust.errors import InputError
from robust.metrics.groups import group_codes
from robust.records import ReferenceSet


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
    cases: Cases, limit: int, chunk: int, extract: Extractor, log: FeatureLog, runner: Runner
) -> tuple[Reference, ReferenceSet]:
    """At most `limit` images without copies of audited ones, and their description for the report.

    They are read in chunks of `chunk`; chunks in the store are not read again. InputError where a
    class is missing.
    """
    rows, done = spread(range(len(cases)), limit), log.store.done()
    require_unchanged(cases, log.store.contents(REFERENCE), runner.progress)
    for number, start in enumerate(range(0, len(rows), chunk)):
        if (REFERENCE, number) not in done:
            runner.progress(start, len(rows), "reference images")
            _record_chunk(cases, number, rows[start : start + chunk], extract, log, runner)
    kept, features = log.features(REFERENCE)
    if not kept:
        raise InputError("every image of the reference is a copy of an audited one")
    missing = set(range(len(cases.classes))) - {cases.entries[row].label for row in kept}
    if missing:
        raise InputError(
            f"the split {cases.split!r} that detectors learn from holds no case of "
            f"{cases.classes[min(missing)]!r}; name another with reference in [detection]"
        )
    groups = group_codes([cases.entries[row].group for row in kept])
    labels = torch.tensor([cases.entries[row].label for row in kept])
    about = ReferenceSet(
        split=cases.split,
        cases=len(kept),
        groups=len(np.unique(groups)),
        left_out=len(rows) - len(kept),
        source=cases.source,
    )
    return Reference(features, labels, torch.from_numpy(groups)), about


def _record_chunk(
    cases: Cases, number: int, rows: list[int], extract: Extractor, log: FeatureLog, runner: Runner
) -> None:
    """Read one chunk of rows into the store."""
    audited = {clean.pixels for clean in log.store.clean()}
    began, kept = time.perf_counter(), []
    contents = contents_of(cases, rows)
    for found, images, x in read_batches(
        cases, rows, runner.template, skip_broken=runner.skip_broken
    ):
        with torch.no_grad():
            features = extract(x)
        new = [i for i, case in enumerate(images) if pixel_hash(case.image) not in audited]
        index = torch.tensor(new, dtype=torch.long)
        kept += log.pack(REFERENCE, [found[i] for i in new], features.take(index))
    log.store.add_features(REFERENCE, number, kept, time.perf_counter() - began, contents)
