"""The first sentences of a report on several findings."""

from __future__ import annotations

import dataclasses

from robust.records import Estimate, FindingEntry, FindingsReport, Report
from robust.report.findings.document import lead
from tests.records.test_report import report


def _with_auc(value: float) -> Report:
    made = report(attacks={"PGD": "PGD(steps=20)"})
    auc = Estimate(value, value - 0.05, value + 0.05, 40, 40)
    scores = dataclasses.replace(made.clean.scores, auc=auc)
    return dataclasses.replace(made, clean=dataclasses.replace(made.clean, scores=scores))


def _lead(*values: float) -> str:
    names = ("Edema", "Mass", "Effusion")[: len(values)]
    reports = tuple(
        (FindingEntry(n, n.lower()), _with_auc(v)) for n, v in zip(names, values, strict=True)
    )
    return " ".join(lead(FindingsReport("Findings", tuple(e for e, _ in reports), reports)))


def test_the_lowest_and_the_highest_auc_are_named() -> None:
    found = _lead(0.8, 0.7, 0.9)
    assert "lowest for Mass, 0.700 [0.650, 0.750], and highest for Effusion, 0.900 [" in found


def test_one_auc_for_all_is_said_once() -> None:
    found = _lead(0.8, 0.8)
    assert "Without attack its AUC is 0.800 [0.750, 0.850] for each of them." in found
    assert "lowest" not in found
