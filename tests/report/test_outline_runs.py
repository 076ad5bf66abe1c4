"""A real audit of outlines: its table, example images, comparison and what pytest reads of it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from robust.auditing import audit
from robust.gallery.outlines import ATTACKED, CLEAN, TRUE
from robust.pytest_plugin.audits import Robustness, result_lines
from robust.records import GALLERY, Report
from robust.report import write_report
from robust.report.comparison.compare import compare_runs
from robust.report.comparison.show import as_markdown, print_comparison
from robust.report.formats.html import render_html
from tests.report.outlined_runs import (
    STRUCTURES,
    outline_audit,
    outlined_cases,
    outlining_model,
)
from tests.report.pages import NumberPage, at


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("outlines") / "run"
    write_report(outline_audit(out), out, "json", "csv")
    return out


@pytest.fixture(scope="module")
def table(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "outcomes.csv", keep_default_na=False, dtype=str)


def test_the_table_has_a_line_for_each_case_structure_and_score(table: pd.DataFrame) -> None:
    assert list(table.columns) == [
        *("case", "group", "attack", "norm", "eps", "structure", "score", "value"),
        *("success", "linf", "l2", "passes", "failure"),
    ]
    clean = table[table["attack"] == "clean"]
    assert len(clean) == 24 * (7 * len(STRUCTURES) + 4)
    assert set(table["attack"]) == {"clean", "FGSM", "PGD"}
    absent = clean[(clean["structure"] == "core") & (clean["score"] == "true_volume")]
    assert (absent["value"] == "0").sum() == 8


def test_means_and_shares_of_the_report_follow_from_the_table(
    run: Path, table: pd.DataFrame
) -> None:
    report = Report.load(run / "report.json")
    assert report.clean.scores.dice is not None
    clean = _values(table[table["attack"] == "clean"], "", "case_dice")
    assert report.clean.dice.value == pytest.approx(clean.mean(), abs=1e-8)
    assert report.clean.accuracy.value == (clean >= report.task.dice).mean()
    for row in report.rows:
        lines = table[(table["attack"] == row.attack) & (table["eps"] == f"{row.eps:.9g}")]
        dice = _values(lines, "", "case_dice").reindex(clean.index).fillna(clean)
        assert row.dice.value == pytest.approx(dice.mean(), abs=1e-8)
        attacked = _values(lines, "", "case_dice")
        assert row.robust_accuracy.value == (attacked >= report.task.dice).mean()
        ring = row.outlines["ring"].dice
        after = _values(table[table["attack"] == "clean"], "ring", "dice")
        after.update(_values(lines, "ring", "dice"))
        assert ring is not None and ring.value == pytest.approx(after.mean(), abs=1e-8)


def _values(table: pd.DataFrame, structure: str, score: str) -> pd.Series[float]:
    lines = table[(table["structure"] == structure) & (table["score"] == score)]
    return lines.set_index("case")["value"].astype(float)


def test_every_cell_of_the_page_has_its_place_in_report_json(run: Path) -> None:
    raw = json.loads((run / "report.json").read_text(encoding="utf-8"))
    pictures = {path.name: path.read_bytes() for path in (run / GALLERY).iterdir()}
    page = NumberPage(render_html(Report.load(run / "report.json"), pictures=pictures))
    named = [(path, text) for path, text in page.named if path]
    assert len(named) > 60
    for path, _ in named:
        assert at(raw, path) is not None
    assert "Example images" in " ".join(page.text)


def test_example_images_show_three_outlines(run: Path) -> None:
    report = Report.load(run / "report.json")
    assert report.gallery and all(e.label == "" and e.dice is not None for e in report.gallery)
    for exhibit in report.gallery:
        for frame in exhibit.images:
            shown = cv2.imread(str(run / GALLERY / frame.outlined))
            assert shown is not None
            colours = {tuple(c) for c in np.unique(shown.reshape(-1, 3), axis=0)[:, ::-1].tolist()}
            wanted = [TRUE.colour, CLEAN.colour, *([ATTACKED.colour] if frame.attack else [])]
            assert set(wanted) <= colours
            assert frame.dice is not None and frame.prediction == "" and frame.probability is None
            assert frame.success == (frame.dice < report.task.dice)
    assert report.gallery[0].smallest_success_eps is not None


def test_a_volume_is_shown_at_one_slice_and_the_page_says_which(tmp_path: Path) -> None:
    report = outline_audit(
        tmp_path, depth=6, attacks=["PGD"], eps=[1.8], norm="L2-slice", gallery=2
    )
    assert report.task.volumes and len(report.gallery) == 2
    for exhibit in report.gallery:
        assert exhibit.slices == 6 and exhibit.shown_slice is not None
        assert 1 <= exhibit.shown_slice <= 6
    pictures = {path.name: path.read_bytes() for path in (tmp_path / GALLERY).iterdir()}
    page = " ".join(" ".join(NumberPage(render_html(report, pictures=pictures)).text).split())
    assert f"slice {report.gallery[0].shown_slice} of 6" in page


def test_no_image_is_drawn_where_pixels_may_show_a_name(tmp_path: Path) -> None:
    hidden = dataclasses.replace(outlined_cases(), showable=False)
    report = audit(
        outlining_model(), hidden[:6], attacks=["FGSM"], eps=[0.09], out=tmp_path,
        doubts={"probe": False},
    )  # fmt: skip
    assert not report.gallery and not (tmp_path / GALLERY).exists()


def test_a_run_beside_itself_and_beside_a_better_one(run: Path, tmp_path: Path) -> None:
    same = compare_runs(run, run)
    assert same.agree and all(change.result == "equal on every case" for change in same.changes)
    outline_audit(tmp_path, shift=0.05)
    found = compare_runs(run, tmp_path)
    report, other = (Report.load(path / "report.json") for path in (run, tmp_path))
    changes = {(c.score, c.condition): c for c in found.changes}
    assert {score for score, _ in changes} == {
        *("still outlined well", "outlined well", "mean Dice, in %", "median Dice, in %"),
        *("Dice of ring, in %", "Dice of core, in %"),
    }
    dice = changes["mean Dice, in %", "clean"]
    for mine, theirs in ((dice.old, report.clean.dice), (dice.new, other.clean.dice)):
        assert mine.value == pytest.approx(theirs.value, abs=1e-8)
        assert mine.interval == pytest.approx(theirs.interval, abs=1e-7)
    assert dice.difference.value == pytest.approx(other.clean.dice.value - report.clean.dice.value)
    median = changes["median Dice, in %", "clean"].difference
    assert abs(median.value - dice.difference.value) < 0.2
    assert median.interval is not None and dice.difference.interval is not None
    assert np.ptp(median.interval) < np.ptp(dice.difference.interval)
    for row, new in zip(report.worst_cases, other.worst_cases, strict=True):
        condition = f"worst case, L∞ {0.03 if row.eps == 0.03 else 0.09}"
        for score, wanted in (
            ("still outlined well", "robust_accuracy"),
            ("outlined well", "accuracy"),
            ("mean Dice, in %", "dice"),
        ):
            change = changes[score, condition]
            assert change.old.value == pytest.approx(getattr(row, wanted).value, abs=1e-8)
            assert change.new.value == pytest.approx(getattr(new, wanted).value, abs=1e-8)
        for name in STRUCTURES:
            change = changes[f"Dice of {name}, in %", condition]
            hurt = row.outlines[name].dice
            assert hurt is not None and change.old.value == pytest.approx(hurt.value, abs=1e-8)
    assert any(c.tolerance_applies for c in found.changes)
    assert "still outlined well" in as_markdown(found, 0.1)
    console = Console(width=100, record=True, file=io.StringIO())
    print_comparison(found, 0.1, console)
    assert "still outlined well" in console.export_text()


def test_the_report_answers_a_claim_in_a_test(run: Path) -> None:
    report = Report.load(run / "report.json")
    assert report.clean.dice.low is not None and report.clean.dice.low > 0.5
    assert report.worst.dice.value < report.clean.dice.value
    ring = report.worst.outlines["ring"].dice
    assert ring is not None and ring.value < 0.99
    with pytest.raises(ValueError, match="no auc"):
        _ = report.worst.auc


def test_the_fixture_of_pytest_audits_a_segmenter(robustness: Robustness) -> None:
    model, cases = outlining_model(), outlined_cases(12)
    report = robustness(model, cases, attacks=["FGSM"], eps=[0.09], doubts={"probe": False})
    assert report.worst.dice.value < report.clean.dice.value
    clean, attacked, *_ = result_lines(report)
    assert clean.startswith("clean: outlined well 100.0 %") and "; mean Dice " in clean
    assert re.match("worst case, L∞ 0.09: still outlined well [0-9.]+ % .*; mean Dice 0", attacked)


def test_the_spreadsheet_of_structures_is_written(run: Path) -> None:
    with (run / "structures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["structure"] for line in lines} == set(STRUCTURES)
    assert np.isfinite([float(line["dice"]) for line in lines if line["dice"]]).all()
