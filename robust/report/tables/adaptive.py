"""The table of adaptive attacks: each detector against attackers who know it."""

from __future__ import annotations

from robust.records import AdaptiveResult, Report
from robust.report.tables.detection import FEW, MARKS, SELECTION, alarm_rate_note
from robust.report.tables.model import Column, Table, TableCell, TableRow, auc_cell, percent_cell
from robust.report.text.format import FALSE_ALARM_RATE, NONE, listed, plain, short

NOTE = (
    "In an adaptive attack the attacker knows the detector and looks for an image that fools the "
    "model and raises no alarm. Several attacks run in turn. The images of the attack that the "
    "detector was fitted on count too; where that attack failed, AutoAttack searches first. Every "
    "image is confirmed on the model and on a detector that was fitted without that case. "
    "Undetected: the share of the images that fool the model, or of all cases, that raises no "
    "alarm. A good result here only means that these attacks failed."
)
SURROGATE = (
    " A detector without gradients was attacked through a surrogate fitted to its scores. The "
    "number after 'surrogate' is Spearman's correlation between the scores of surrogate and "
    "detector on unseen images. Where it is low, the attack was weak and the detector remains "
    "untested."
)


def adaptive_table(report: Report) -> Table:
    """Each detector against the known attack and against adaptive attacks."""
    detection = report.detection
    if detection is None or detection.key_attack is None or not detection.adaptive:
        return Table("adaptive", "", (), ())
    known = short(detection.image_sets[detection.key_attack].name)
    columns = (
        Column("detector", "detector"),
        Column(f"AUC, paired, {known}", "paired-auc"),
        Column("AUC, paired, adaptive", "paired-auc"),
        Column("AUC against all clean images, adaptive", "detector-auc"),
        Column("selection control, AUC", "selection-control"),
        Column(f"{known}, of the images that fool: undetected % at 5 %", "adaptive-attack"),
        Column("adaptive, of the images that fool: undetected % at 5 %", "adaptive-attack"),
        Column("of all cases: model fooled %", "adaptive-attack"),
        Column("of all cases: adaptive undetected % at 1 %", "adaptive-attack"),
        Column("at 5 %", "adaptive-attack"),
        Column("at 10 %", "adaptive-attack"),
        Column("found by"),
    )
    rows = [_row(place, one) for place, one in enumerate(detection.adaptive)]
    surrogate = any(one.surrogate_agreement is not None for one in detection.adaptive)
    cases = detection.adaptive[0].fooled.cases
    note = f"{NOTE}{SURROGATE if surrogate else ''} {cases} cases; in brackets: 95 % intervals."
    if any(one.explained_by_selection for one in detection.adaptive):
        note += f" {SELECTION} {MARKS[SELECTION]}"
    if any(one.too_few for one in detection.adaptive):
        note += f" {FEW} fewer than 30 images fooled the model: no verdict."
    note += alarm_rate_note(one.evasion_rates for one in detection.adaptive)
    return Table("adaptive", "Adaptive attacks", columns, tuple(rows), note)


def _row(place: int, result: AdaptiveResult) -> TableRow:
    path = f"/detection/adaptive/{place}"
    names = [f"{plain(name)} {count}" for name, count in result.cases_by_attack.items()]
    how = listed(names, most=len(names)) or NONE
    if result.surrogate_agreement is not None:
        how += f"; surrogate {result.surrogate_agreement:.2f}"
    mark = FEW if result.too_few else ""
    return TableRow(
        (
            TableCell(plain(result.detector)),
            auc_cell(result.static_paired_auc, f"{path}/static_paired_auc", mark),
            auc_cell(result.paired_auc, f"{path}/paired_auc", mark),
            auc_cell(
                result.auc, f"{path}/auc", SELECTION if result.explained_by_selection else mark
            ),
            auc_cell(result.selection_auc, f"{path}/selection_auc", mark),
            *(
                percent_cell(rates[FALSE_ALARM_RATE], f"{path}/{name}/{FALSE_ALARM_RATE}", mark)
                for name, rates in (
                    ("static_undetected_rates", result.static_undetected_rates),
                    ("undetected_rates", result.undetected_rates),
                )
            ),
            percent_cell(result.fooled, f"{path}/fooled"),
            *(
                percent_cell(result.evasion_rates[rate], f"{path}/evasion_rates/{rate}")
                for rate in ("0.01", FALSE_ALARM_RATE, "0.1")
            ),
            TableCell(how),
        )
    )
