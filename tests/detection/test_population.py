"""Which cases detectors are evaluated on, and what counts as one group."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from robust.auditing import audit
from robust.cases import Cases
from robust.models import Classifier
from tests.detection.runs import EPS, cases, small
from tests.engine.nets import trained


def repeated(source: Cases, row: int, times: int) -> Cases:
    """The last entries show the image of another, under their own name and group."""
    entries = list(source.entries)
    for i in range(times):
        entries[-1 - i] = dataclasses.replace(
            entries[-1 - i], location=entries[row].location, label=entries[row].label
        )
    return dataclasses.replace(source, entries=tuple(entries))


def test_copies_are_one_group_and_said() -> None:
    classifier = Classifier(trained(28), channels=1)
    plain = cases(60)
    row = next(
        i for i in range(len(plain)) if int(classifier_says(classifier, plain, i)) == plain[i].label
    )
    report = audit(
        classifier, repeated(plain, row, 3), attacks=["FGSM"], eps=EPS[1:], gallery=0,
        detectors=["MaxSoftmax"], reference=cases(40, "train"), detection={"adaptive": 0},
        doubts={"probe": False},
    )  # fmt: skip
    (flag,) = (f for f in report.flags if f.name == "copies of images")
    assert flag.observed.startswith("3 of the 60 audited images are copies of another one (3 equal")
    assert report.data.copies.images == report.data.copies.identical == 3


def classifier_says(classifier: Classifier, source: Cases, row: int) -> torch.Tensor:
    classifier.head = "softmax"
    with torch.no_grad():
        return classifier.eval()(source[row].image[None]).argmax()


def test_a_goal_decides_who_is_judged() -> None:
    """A miss attacks findings alone; healthy images must not stand for the clean ones."""
    options: dict[str, Any] = {"detectors": ["MaxSoftmax"], "reference": cases(40, "train")}
    detection = small(goal="miss", **options).detection
    assert detection is not None
    everyone = small(**options).detection
    assert everyone is not None and detection.cases < everyone.cases
