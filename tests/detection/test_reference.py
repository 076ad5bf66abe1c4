"""The reference: audited images are taken out, classes and groups are checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robust.cases import Cases
from robust.cases.case import Pixels, StoredImage
from robust.errors import InputError
from tests.detection.runs import cases, small

Change = Callable[[Pixels], Pixels]


def shown_in(reference: Cases, audited: Cases, count: int, change: Change) -> Cases:
    """The reference, whose first entries show audited images, changed a little."""
    entries = list(reference.entries)
    for i in range(count):
        other = audited.entries[i]
        location = ("audited", other.location)
        entries[i] = dataclasses.replace(entries[i], location=location, label=other.label)

    def read(location: Any) -> Pixels | StoredImage:
        if isinstance(location, tuple) and location[0] == "audited":
            pixels = audited.read(location[1])
            assert isinstance(pixels, np.ndarray)
            return change(pixels)
        return reference.read(location)

    return dataclasses.replace(reference, entries=tuple(entries), read=read)


def same(pixels: Pixels) -> Pixels:
    return pixels


def dimmer(pixels: Pixels) -> Pixels:
    return np.rint(pixels * 0.93).astype(pixels.dtype)


@pytest.mark.parametrize("change", [same, dimmer])
def test_copies_of_audited_images_are_left_out_of_the_reference_and_named(change: Change) -> None:
    mixed = shown_in(cases(80, "train"), cases(40), 5, change)
    report = small(count=40, detectors=["MaxSoftmax"], reference=mixed)
    detection = report.detection
    assert detection is not None
    assert detection.reference.left_out == 5 and detection.reference.cases == 75
    first = detection.reference.copies[0]
    assert (first.image, first.copy) == ("train-0", "test-0")
    (flag,) = (f for f in report.flags if f.name == "copies of images")
    assert "5 of 80 images of the reference are copies" in flag.observed
    assert "train-0 and test-0" in flag.observed


def test_a_reference_that_is_mostly_copies_is_refused() -> None:
    mixed = shown_in(cases(60, "train"), cases(40), 35, dimmer)
    with pytest.raises(InputError, match="35 of 60 images of the split 'train'"):
        small(count=40, reference=mixed)
