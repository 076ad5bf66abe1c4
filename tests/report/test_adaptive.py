"""What a report says of attackers who know a detector, and the gates on it."""

from __future__ import annotations

import dataclasses

from robust.report.gates import GateResult, judge_gates
from robust.report.tables.adaptive import adaptive_table
from robust.report.text import adaptive
from robust.report.text import detection as noticed
from tests.report.detected import detection, evaded
from tests.report.test_gates import gated
from tests.report.test_noticed import made

FOUND = evaded(detection(), LID=0.9, Mahalanobis=0.35)


def test_a_sentence_says_who_passes_beside_what_is_seen() -> None:
    said = {name: s for s in noticed.sentences(FOUND) for name in FOUND.detectors if name in s}
    assert said["LID"].endswith(
        ". An attacker who knows of it passes model and detector with 90 % [83, 97] of cases, PGD "
        "with 25 % [18, 32]; no case that fools the model is stopped."
    )
    assert "with 35 % [28, 42] of cases" in said["Mahalanobis"]
    assert said["Mahalanobis"].endswith("; the model alone is fooled on 90 %.")
    assert "knows" not in said["KernelDensity"]


def test_the_headline_and_the_terminal_name_the_range() -> None:
    assert noticed.at_a_glance(FOUND).endswith(
        "; an attacker who knows of them passes with between 35 [28, 42] and 90 [83, 97] of 100 "
        "cases."
    )
    assert noticed.in_a_line(FOUND).endswith("; who knows of them passes with 35 to 90")
    one = evaded(detection(), LID=0.5)
    assert noticed.at_a_glance(one).endswith("knows of it passes with 50 [43, 57] of 100 cases.")
    assert adaptive.overall(detection(), ["LID"]) == ""


def test_the_table_names_every_number_and_doubts_the_few() -> None:
    table = adaptive_table(made(FOUND))
    assert [line.cells[0].text for line in table.lines] == ["LID", "Mahalanobis"]
    cells = table.lines[0].cells
    assert [c.text for c in cells[1:8]] == [
        "0.800",
        "0.400",
        "90.0",
        "25.0",
        "95.0",
        "90.0",
        "80.0",
    ]
    assert cells[6].path == "/detection/adaptive/0/evasion_rates/0.05"
    assert cells[8].text == "PGD 10 and JointPGD 44"
    assert "stand-in" not in table.note and "*" not in table.note
    few = tuple(
        dataclasses.replace(one, too_few=True, surrogate_agreement=0.4) for one in FOUND.adaptive
    )
    table = adaptive_table(made(dataclasses.replace(FOUND, adaptive=few)))
    assert [c.mark for c in table.lines[0].cells] == ["", "*", "*", "", "", "", "", "", ""]
    assert table.lines[0].cells[8].text.endswith("; stand-in 0.40")
    assert "* fewer than 30" in table.note and "Spearman" in table.note
    assert not adaptive_table(made(detection())).lines


def one(gate: str, wanted: float, found: object = FOUND) -> GateResult:
    (result,) = judge_gates(gated({gate: {"LID": wanted}}, detection=found))
    return result


def test_gates_ask_for_what_holds_against_who_knows() -> None:
    assert one("adaptive_auc", 0.36).passed
    assert one("adaptive_auc", 0.38).outcome == "failed"
    assert one("adaptive_auc", 0.36).path == "/detection/adaptive/0/auc"
    held = one("withstands", 0.02)
    assert held.passed and held.estimate is not None
    assert abs(held.estimate.value - 0.1) < 1e-9 and abs(held.estimate.low - 0.03) < 1e-9
    assert one("withstands", 0.05).outcome == "failed"
    untried = one("withstands", 0.05, detection())
    assert untried.outcome == "undecided" and "no attacker who knows" in untried.why
    few = tuple(dataclasses.replace(a, too_few=True) for a in FOUND.adaptive)
    assert "too few" in one("adaptive_auc", 0.3, dataclasses.replace(FOUND, adaptive=few)).why
