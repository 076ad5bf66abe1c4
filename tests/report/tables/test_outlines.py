"""Tables of outlines: each cell shows what report.json has at its place."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest

from robust.report.figures.every import report_figures
from robust.report.formats.csv_tables import results_csv, structures_csv
from robust.report.formats.html import render_html
from robust.report.tables.outlines import size_table, structure_table
from tests.records.test_report import report
from tests.report.outlined import TASK, outline_report
from tests.report.pages import NumberPage, at

TWO = dataclasses.replace(TASK, structures=("left lung", "opa/city"))


def test_each_cell_of_the_page_is_what_report_json_has() -> None:
    shown = outline_report(TWO)
    raw = json.loads(shown.to_json())
    page = NumberPage(render_html(shown, phone=False))
    named = [(path, text) for path, text in page.named if path]
    outlines = [(path, text) for path, text in named if "/outlines/" in path]
    assert len(outlines) == 2 * 4 * 7 + 4 + 2 * 3 * 4
    for path, text in outlines:
        found = at(raw, path)
        if isinstance(found, int):
            assert text == str(found)
            continue
        percent = path.endswith(("volume_error", "missed", "invented"))
        value = float(text.split()[0])
        assert value == pytest.approx(found["value"] * (100 if percent else 1), abs=0.06)


def test_rows_are_structures_under_each_condition() -> None:
    table = structure_table(outline_report(TWO))
    assert [row.cells[0].text for row in table.rows] == ["left lung"] * 4 + ["opa/city"] * 4
    assert [row.cells[1].text for row in table.rows][:2] == ["clean", "worst case, L∞ 1/255"]
    assert table.columns[6].title == "HD95, mm" and "tolerance of 2 mm" in table.note
    sizes = size_table(outline_report(TWO))
    assert [row.cells[1].text for row in sizes.rows][:2] == [
        "small (812 to 2044)", "medium (2050 to 4400)",
    ]  # fmt: skip
    assert "true area in mm²" in sizes.note


def test_a_report_on_classes_has_none_of_them() -> None:
    assert not structure_table(report()).rows and not size_table(report()).rows
    assert not [figure for figure in report_figures(report()) if "dice" in figure.name]
    assert "dice" not in results_csv(report()).splitlines()[0]


def test_the_figure_of_dice_names_its_numbers() -> None:
    (figure,) = [f for f in report_figures(outline_report(TWO)) if f.name == "dice-linf"]
    assert "81.0 % at 1/255" in figure.described
    assert "opa/city" in [
        text.get_text() for text in figure.draw().axes[0].get_legend().get_texts()
    ]


def test_the_csv_has_a_line_for_each_structure_and_size() -> None:
    shown = outline_report(TWO)
    lines = list(csv.DictReader(io.StringIO(structures_csv(shown))))
    # clean, 2 attacks and the worst case at 3 eps; 2 structures; whole and 3 sizes
    assert len(lines) == (1 + 2 * 3 + 3) * 2 * 4
    whole = [line for line in lines if line["attack"] == "worst case" and not line["size"]]
    wanted = shown.worst_cases[0].scores.outlines["opa/city"]
    assert wanted.hd95 is not None and wanted.missed is not None
    assert float(whole[1]["hd95"]) == pytest.approx(wanted.hd95.value)
    assert float(whole[1]["missed_high"]) == pytest.approx(wanted.missed.high or -1)
    header = results_csv(shown).splitlines()[0].split(",")
    assert {"dice", "dice_low", "dice_high"} <= set(header)
    assert not {"sensitivity", "auc", "misses"} & set(header)
