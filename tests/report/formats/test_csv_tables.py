"""CSV: what the report has, whole, under names that a program can read."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from robust.records import Estimate
from robust.report import write_report
from robust.report.formats.csv_tables import results_csv, transfer_csv
from tests.records.test_report import report
from tests.report.detected import detection, report_on


def test_the_whole_transfer_matrix() -> None:
    found = detection()
    table = pd.read_csv(StringIO(transfer_csv(found)))
    assert len(table) == len(found.detector_scores)
    for line, score in zip(table.itertuples(), found.detector_scores, strict=True):
        shown = found.image_sets[score.image_set]
        assert (line.detector, line.kind, line.tested_on) == (
            score.detector,
            shown.kind,
            shown.name,
        )
        assert pd.isna(line.eps) if shown.eps is None else line.eps == pytest.approx(shown.eps)
        if score.fitted_on is None:
            assert pd.isna(line.fitted_on)
        else:
            assert line.fitted_on == found.image_sets[score.fitted_on].name
        assert score.auc is not None
        whole = (line.auc, line.auc_low, line.auc_high)
        assert whole == pytest.approx((score.auc.value, score.auc.low, score.auc.high))
    assert {"detection_rates_0.05", "detection_rates_0.05_low", "too_few"} <= set(table.columns)


def test_every_result_and_no_number_where_there_is_none() -> None:
    alone = Estimate(0.5, None, None, 8, 4, 30)
    clean = report().clean
    clean = dataclasses.replace(clean, scores=dataclasses.replace(clean.scores, accuracy=alone))
    table = pd.read_csv(StringIO(results_csv(report(clean=clean))))
    assert list(table.attack) == ["clean", "PGD", "PGD", "CarliniWagnerL2", *["worst case"] * 2]
    assert pd.isna(table.accuracy_low[0]) and table.accuracy[0] == 0.5
    assert table.accuracy_low[1] == 0.25 and pd.isna(table.auc).all()
    assert table.recall_a[0] == 0.5 and pd.isna(table.recall_b).all()


def test_a_name_is_no_formula_and_the_files_are_named(tmp_path: Path) -> None:
    rows = tuple(dataclasses.replace(row, attack="=1+1") for row in report().rows)
    assert "\n'=1+1," in results_csv(report(rows=rows))
    names = {path.name for path in write_report(report_on(), tmp_path, "csv")}
    assert names == {"results.csv", "transfer_matrix.csv"}
    part = dataclasses.replace(report().data, unfinished=3)
    assert [p.name for p in write_report(report(data=part), tmp_path, "csv")] == ["unfinished.csv"]
