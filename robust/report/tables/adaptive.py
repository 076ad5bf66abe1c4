"""The table of what detectors are worth against an attacker who knows of them."""

from __future__ import annotations

from robust.records import AdaptiveResult, Estimate, Report
from robust.report.tables.detection import FEW, number
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import NONE, SHARE, listed, plain, short

NOTE = (
    "An attacker who knows the detector looks for one image that fools the model and raises no "
    "alarm, by several attacks in turn; the known attack's own image may serve too, and where it "
    "found none, the standard ensemble first looks for one. Each is "
    "confirmed on the model and on a detector that was fitted without that case. A detector that "
    "stands here withstood these attacks, and no more is shown."
)
FOLLOWED = (
    " A detector without gradients was attacked through a stand-in fitted to its scores; how well "
    "that ranks unseen images as the detector does is Spearman's correlation. Where it is low, the "
    "attack was weak, and the detector untested."
)


def adaptive_table(report: Report) -> Table:
    """Each detector against the known attack and against those who know of it."""
    detection = report.detection
    if detection is None or detection.key_attack is None or not detection.adaptive:
        return Table("adaptive", "", (), ())
    known = short(detection.image_sets[detection.key_attack].name)
    columns = (
        Column("detector", "detector"),
        Column(f"AUC, {known}", "detector-auc"),
        Column("AUC, adaptive", "adaptive-attack"),
        Column("model fooled %", "adaptive-attack"),
        Column(f"{known} passes % at 5 % false alarms", "adaptive-attack"),
        Column("adaptive passes % at 1 %", "adaptive-attack"),
        Column("at 5 %", "adaptive-attack"),
        Column("at 10 %", "adaptive-attack"),
        Column("found by"),
    )
    lines = [_line(place, one) for place, one in enumerate(detection.adaptive)]
    followed = any(one.surrogate_agreement is not None for one in detection.adaptive)
    cases = detection.adaptive[0].fooled.cases
    note = f"{NOTE}{FOLLOWED if followed else ''} {cases} cases; in brackets 95 % intervals."
    if any(one.too_few for one in detection.adaptive):
        note += f" {FEW} fewer than 30 images fooled the model: no verdict."
    return Table("adaptive", "An attacker who knows the detector", columns, tuple(lines), note)


def _line(place: int, one: AdaptiveResult) -> TableRow:
    path = f"/detection/adaptive/{place}"
    names = [f"{plain(name)} {count}" for name, count in one.cases_by_attack.items()]
    how = listed(names, most=len(names)) or NONE
    if one.surrogate_agreement is not None:
        how += f"; stand-in {one.surrogate_agreement:.2f}"
    return TableRow(
        (
            TableCell(plain(one.detector)),
            _auc(one.static_auc, f"{path}/static_auc", one.too_few),
            _auc(one.auc, f"{path}/auc", one.too_few),
            _rate(one.fooled, f"{path}/fooled"),
            _rate(one.static_evasion_rates[SHARE], f"{path}/static_evasion_rates/{SHARE}"),
            *(
                _rate(one.evasion_rates[s], f"{path}/evasion_rates/{s}")
                for s in ("0.01", SHARE, "0.1")
            ),
            TableCell(how),
        )
    )


def _auc(estimate: Estimate | None, path: str, few: bool) -> TableCell:
    return TableCell(NONE) if estimate is None else number(estimate, path, FEW if few else "", 1, 3)


def _rate(estimate: Estimate, path: str) -> TableCell:
    return number(estimate, path, "", 100, 1)
