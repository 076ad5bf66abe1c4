"""The table of adaptive attacks."""

from __future__ import annotations

import dataclasses

from robust.report.tables.adaptive import adaptive_table
from tests.report.detected import detection, evaded, report_on

FOUND = evaded(detection(), LID=0.9, Mahalanobis=0.35)


def test_the_table_names_every_number_and_marks_the_few() -> None:
    table = adaptive_table(report_on(FOUND))
    assert [row.cells[0].text for row in table.rows] == ["LID", "Mahalanobis"]
    cells = table.rows[0].cells
    assert [c.text for c in cells[1:5]] == ["0.740", "0.430", "0.400", "0.570"]
    assert [c.text for c in cells[5:11]] == ["30.0", "100.0", "90.0", "95.0", "90.0", "80.0"]
    assert cells[2].path == "/detection/adaptive/0/paired_auc"
    assert cells[6].path == "/detection/adaptive/0/undetected_rates/0.05"
    assert cells[9].path == "/detection/adaptive/0/evasion_rates/0.05"
    assert cells[11].text == "PGD 10 and JointPGD 44"
    assert "surrogate" not in table.note and "*" not in table.note and "?" not in table.note
    few = tuple(
        dataclasses.replace(one, too_few=True, surrogate_agreement=0.4) for one in FOUND.adaptive
    )
    table = adaptive_table(report_on(dataclasses.replace(FOUND, adaptive=few)))
    assert [c.mark for c in table.rows[0].cells] == ["", *"******", "", "", "", "", ""]
    assert table.rows[0].cells[11].text.endswith("; surrogate 0.40")
    assert "* fewer than 30" in table.note and "Spearman" in table.note
    doubted = tuple(dataclasses.replace(one, explained_by_selection=True) for one in FOUND.adaptive)
    table = adaptive_table(report_on(dataclasses.replace(FOUND, adaptive=doubted)))
    assert [c.mark for c in table.rows[0].cells] == [*[""] * 3, "?", *[""] * 8]
    assert "? which cases fall explains the AUC" in table.note
    assert not adaptive_table(report_on(detection())).rows


def test_a_share_that_too_few_clean_images_leave_unknown_is_a_dash_with_its_reason() -> None:
    (one,) = evaded(detection(), LID=0.9).adaptive
    vague = dataclasses.replace(one.fooled, low=None, high=None, groups_needed=72)
    unknown = dataclasses.replace(
        one, evasion_rates={**one.evasion_rates, "0.01": None, "0.05": vague}
    )
    table = adaptive_table(report_on(dataclasses.replace(FOUND, adaptive=(unknown,))))
    assert [c.text for c in table.rows[0].cells[8:11]] == ["–", "90.0", "80.0"]  # noqa: RUF001
    assert table.note.endswith(
        " 1 % false alarms take 200 groups of clean images for a figure, and 368 for an interval. "
        "5 % false alarms take 40 groups of clean images for a figure, and 72 for an interval."
    )
    assert "72" not in adaptive_table(report_on(FOUND)).note
