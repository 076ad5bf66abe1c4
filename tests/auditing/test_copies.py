"""Near copies in an audit without detectors: one group in every figure, said, and kept by a run."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from robust.auditing import audit, unfinished_report
from robust.cases import Cases
from robust.cases.case import Pixels
from tests.engine.nets import classifier, phantoms


def photographed_again(cases: Cases, count: int) -> Cases:
    """The last cases show the images of the first ones at another exposure."""
    entries = list(cases.entries)
    for i in range(count):
        first = entries[i]
        again = dataclasses.replace(entries[-1 - i], location=("again", first.location))
        entries[-1 - i] = dataclasses.replace(again, label=first.label)

    def read(location: Any) -> Pixels:
        darker = isinstance(location, tuple) and location[0] == "again"
        pixels = cases.read(location[1] if darker else location)
        assert isinstance(pixels, np.ndarray)
        return np.rint(pixels * 0.93).astype(np.uint8) if darker else pixels

    return dataclasses.replace(cases, entries=tuple(entries), read=read)


def test_near_copies_are_one_group_in_every_figure_and_named(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "attacks": ["FGSM"],
        "eps": ["2/255"],
        "device": "cpu",
        "gallery": 0,
        "doubts": {"probe": False},
        "out": tmp_path / "run",
    }
    cases = photographed_again(phantoms(40), 4)
    report = audit(classifier(), cases, **options)
    groups = len({entry.group for entry in cases.entries})
    assert report.data.copies.images == 4 and report.data.copies.identical == 0
    assert report.data.groups == groups - report.data.copies.joined_groups < groups
    estimate = report.clean.scores.accuracy
    assert estimate is not None and estimate.groups == report.data.groups
    (flag,) = (flag for flag in report.flags if flag.name == "copies of images")
    assert "4 of the 40 audited images" in flag.observed and "test-0 and test-39" in flag.observed
    with (tmp_path / "run" / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        known = {line["case"]: line["group"] for line in csv.DictReader(file)}
    assert known["test-0"] == known["test-39"] and len(set(known.values())) == report.data.groups
    assert unfinished_report(tmp_path / "run").data == report.data
    again = audit(classifier(), cases, **options)
    assert dataclasses.replace(again, timings=report.timings) == report
