"""The reference: audited images are taken out, classes and groups are checked."""

from __future__ import annotations

import dataclasses

from tests.detection.runs import cases, run


def test_audited_images_are_taken_out_of_the_reference() -> None:
    audited, reference = cases(), cases(120, "train")
    entries = list(reference.entries)
    for i in range(5):
        entries[i] = dataclasses.replace(entries[i], location=audited.entries[i].location)
    mixed = dataclasses.replace(
        reference,
        entries=tuple(entries),
        read=lambda location: (
            audited.read(location) if location in known else reference.read(location)
        ),
    )
    known = {audited.entries[i].location for i in range(5)}
    detection = run(reference=mixed, attacks=["PGD"], detectors=["Mahalanobis"]).detection
    assert detection is not None
    assert detection.reference.left_out == 5 and detection.reference.cases == 115
