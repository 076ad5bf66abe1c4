"""Differences of certified and corrupted accuracy: against counts made by hand, and refused."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from robust.certificates.case_table import COLUMNS as PROVEN
from robust.corruptions.case_table import COLUMNS as SPOILED
from robust.errors import InputError
from robust.records import Report
from robust.report.comparison.case_tables import CaseChange, case_changes
from tests.records.test_report import report
from tests.report.certified import bounds, corruptions

CASES = 20
LABELS = ["ill" if i % 4 == 0 else "well" for i in range(CASES)]


def write(folder: Path, name: str, columns: tuple[str, ...], lines: list[list[object]]) -> str:
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def run(folder: Path, radii: list[float], errors: dict[str, list[int]], **more: Any) -> Report:
    """A run whose case i is proven to `radii[i]`; its errors at the severities 1 and 5 are equal."""
    proofs: list[list[object]] = [
        [f"=case {i}", f"p{i}", LABELS[i], "IntervalBounds", "Linf", LABELS[i], radius, ""]
        for i, radius in enumerate(radii)
    ]
    spoiled: list[list[object]] = [
        [f"=case {i}", f"p{i}", LABELS[i], kind, severity, "", wrong, 1.0, 0.1]
        for kind, every in errors.items()
        for severity in (1, 5)
        for i, wrong in enumerate(every)
    ]
    for line in (*proofs, *spoiled):
        line[0] = f"'{line[0]}"
    kinds = tuple(kind for kind in corruptions().kinds if kind.kind in errors)
    scores = tuple(one for one in corruptions().scores if one.kind in errors)
    return report(
        certificate_table_sha256=write(folder, "certificates.csv", PROVEN, proofs),
        corruption_table_sha256=write(folder, "corruptions.csv", SPOILED, spoiled),
        certificates=(bounds(**more),),
        corruptions=corruptions(kinds=kinds, scores=scores),
    )


@pytest.fixture
def runs(tmp_path: Path) -> tuple[tuple[Path, Path], tuple[Report, Report]]:
    folders = tmp_path / "old", tmp_path / "new"
    old = [1 / 255] * 10 + [0.0] * 10
    new = [2.5 / 255] * 4 + [1 / 255] * 10 + [0.0] * 6
    none, ill = [0] * CASES, [int(label == "ill") for label in LABELS]
    first = run(folders[0], old, {"stamp": none, "pixelate": none})
    second = run(folders[1], new, {"stamp": ill, "pixelate": none})
    return folders, (first, second)


def by_name(changes: list[CaseChange]) -> dict[str, CaseChange]:
    return {one.condition: one for one in changes}


def test_differences_are_those_of_the_cases(runs: Any) -> None:
    changes, notes = case_changes(*runs)
    found = by_name(changes)
    first = found["IntervalBounds, L∞ 1/255"]
    assert (first.old.value, first.new.value) == (0.5, 0.7) and first.attacked
    assert first.difference.value == pytest.approx(0.2) and first.difference.cases == CASES
    low, high = first.difference.interval or (1.0, 0.0)
    assert low < 0.2 < high
    assert found["IntervalBounds, L∞ 2/255"].difference.value == pytest.approx(0.2)
    assert found["IntervalBounds, L∞ 3/255"].equal
    # Each class counts alike: all of the rare one are misread, none of the other.
    stamp = found["stamp"]
    assert (stamp.old.value, stamp.new.value) == (1.0, 0.5) and not stamp.attacked
    assert stamp.difference.value == pytest.approx(-0.5)
    assert found["pixelate"].equal
    assert found["all corruptions"].difference.value == pytest.approx(-0.25)
    assert not notes


def test_a_certificate_with_other_parameters_is_left_out_and_said(runs: Any) -> None:
    folders, (old, new) = runs
    other = dataclasses.replace(new, certificates=(bounds(text="IntervalBounds(x=1)"),))
    changes, notes = case_changes(folders, (old, other))
    assert not [one for one in changes if one.score == "certified accuracy"]
    assert notes == ["certificates IntervalBounds: defined otherwise in the two runs, so left out"]


def test_without_certificates_and_corruptions_no_table_is_needed(tmp_path: Path) -> None:
    folders = tmp_path, tmp_path
    assert case_changes(folders, (report(), report())) == ([], [])


@pytest.mark.parametrize("name", ["certificates.csv", "corruptions.csv"])
def test_a_table_that_is_not_the_reports_is_refused(runs: Any, name: str) -> None:
    folders, reports = runs
    path = folders[1] / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"{name} is not the table"):
        case_changes(folders, reports)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        case_changes(folders, reports)
