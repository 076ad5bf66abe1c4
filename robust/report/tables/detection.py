"""Tables of detectors: summary on the key attack, matched attacks, transfer matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from robust.metrics.operating_point import fewest_groups_for, groups_needed_for
from robust.records import Detection, DetectorScore, Estimate, NullControl, Report
from robust.records.check import FALSE_ALARM_RATES
from robust.report.tables.model import Column, Table, TableCell, TableRow, auc_cell, percent_cell
from robust.report.text.detection import (
    image_set_text,
    noise_control,
    null_control_alarms,
    worst_harmless_change,
)
from robust.report.text.format import FALSE_ALARM_RATE, NONE, plain

FEW = "*"
ALARM = "!"
MOST_DETECTORS = 12
"""Detectors of a table that has a column for each; report.json has them all."""
SELECTION = "?"
BRACKETS = "In brackets: 95 % intervals, by group."
MARKS = {
    FEW: "fewer than 30 images: no verdict.",
    ALARM: "the null control differs from 0.5: do not trust any figure of this detector.",
    SELECTION: "which cases fall explains the AUC against all clean images: no verdict on it.",
}
COLOURS = (
    "Blue: AUC above 0.5, darker is higher. Orange: AUC below 0.5 (attacked images look less "
    "suspicious than clean ones), darker is lower. No colour: AUC of 0.5, too few images, or not "
    "to be trusted. Each AUC is paired: against the clean images of the same cases. In a frame: "
    "tested on the attack that the detector was fitted on. Intervals that do not fit into the "
    "cells appear on hover; report.json has all of them."
)
MATRICES = (
    "Transfer matrices, one table for each detector: the rows are the attacks that it was fitted "
    "on, the columns are the images that it was tested on. Noise and harmless changes are not "
    "attacks: an AUC far from 0.5 there means that the detector reacts to any change, not only to "
    "attacks."
)

AUCField = Literal["paired_auc", "auc", "selection_auc"]


def detector_table(report: Report) -> Table:
    """Each detector on the key attack, fitted on it, with its controls."""
    columns = (
        Column("detector", "detector"),
        Column("AUC, paired", "paired-auc"),
        Column("AUC against all clean images", "detector-auc"),
        Column("selection control, AUC", "selection-control"),
        Column("detected % at 1 % false alarms", "detector-alarm"),
        Column("detected % at 5 %", "detector-alarm"),
        Column("detected % at 10 %", "detector-alarm"),
        Column("null control, AUC", "null-control"),
        Column("AUC, paired, on noise of the same size", "noise-control"),
        Column("false alarms % on the worst harmless change, at 5 %", "harmless-change"),
        Column("worst harmless change", "harmless-change"),
    )
    detection = report.detection
    if detection is None or detection.key_attack is None:
        return Table("detectors", "", columns, ())
    cells = _Cells.of(detection)
    noise = noise_control(detection, detection.key_attack)
    rows = []
    for name in detection.detectors:
        score = detection.score(name, detection.key_attack)
        worst = worst_harmless_change(detection, name)
        change = image_set_text(detection.image_sets[worst.image_set]) if worst else NONE
        on_noise = None if noise is None else detection.score(name, noise)
        rows.append(
            TableRow(
                (
                    cells.name(name),
                    cells.auc(score, "paired_auc"),
                    cells.auc(score, "auc"),
                    cells.auc(score, "selection_auc"),
                    *(cells.rate(score, rate) for rate in FALSE_ALARM_RATES),
                    cells.null(detection.null_control(name)),
                    cells.auc(on_noise, "paired_auc"),
                    cells.rate(worst, FALSE_ALARM_RATE),
                    TableCell(change),
                )
            )
        )
    title = f"Each detector on {image_set_text(detection.image_sets[detection.key_attack])}"
    scores = [detection.score(name, detection.key_attack) for name in detection.detectors]
    missing = alarm_rate_note(one.detection_rates for one in scores if one and one.auc)
    note = f"{BRACKETS}{_mark_notes(rows)}{missing}"
    return Table("detectors", title, columns, tuple(rows), note)


def matched_table(report: Report) -> Table:
    """Each detector on each attack, fitted on the same attack: the best that it can do."""
    detection = report.detection
    if detection is None:
        return Table("heat-matched", "", (), ())
    cells = _Cells.of(detection)
    places = [i for i, images in enumerate(detection.image_sets) if images.kind == "attack"]
    rows = []
    for name in detection.detectors:
        fits = cells.needs_fitting(name)
        scores = (cells.scores.get((name, place if fits else None, place)) for place in places)
        rows.append(TableRow((cells.name(name), *(cells.heat(score) for score in scores))))
    columns = (Column("detector, paired AUC", "paired-auc"), *_columns(detection, places))
    note = f"{BRACKETS}{_mark_notes(rows)}{_unfitted_note(detection)}"
    title = "Each detector, fitted and tested on the same attack"
    return Table("heat-matched", title, columns, tuple(rows), note)


def selection_table(report: Report) -> Table:
    """The selection control of each detector on each attack, fitted on the same attack."""
    detection = report.detection
    if detection is None:
        return Table("selection", "", (), ())
    cells = _Cells.of(detection)
    places = [i for i, images in enumerate(detection.image_sets) if images.kind == "attack"]
    names = list(detection.detectors)[:MOST_DETECTORS]
    fits = [cells.needs_fitting(name) for name in names]
    rows = []
    for place in places:
        scores = (
            cells.scores.get((name, place if fit else None, place))
            for name, fit in zip(names, fits, strict=True)
        )
        shown = (cells.auc(score, "selection_auc", digits=2) for score in scores)
        rows.append(TableRow((TableCell(_head(detection, place)), *shown)))
    columns = (
        Column("cases that fall under, AUC", "selection-control"),
        *(Column(plain(name)) for name in names),
    )
    note = (
        f"{BRACKETS} No image is attacked here. An attack that fools the model on every case, or "
        f"on none, has no such control.{_mark_notes(rows)}"
    )
    title = "Selection control: clean images of the cases that fall against those of the others"
    return Table("selection", title, columns, tuple(rows), note)


def transfer_tables(report: Report) -> list[Table]:
    """For each detector the transfer matrix: attacks fitted on against images tested on."""
    detection = report.detection
    if detection is None:
        return []
    cells = _Cells.of(detection)
    return [
        _transfer_table(detection, cells, number, name)
        for number, name in enumerate(detection.detectors)
    ]


def key_attack_table(report: Report) -> Table:
    """One column of each transfer matrix: detectors fitted on the key attack, tested on all."""
    detection = report.detection
    if detection is None or detection.key_attack is None:
        return Table("transfer", "", (), ())
    cells, key = _Cells.of(detection), detection.key_attack
    names = list(detection.detectors)[:MOST_DETECTORS]
    fitted = [key if cells.needs_fitting(name) else None for name in names]
    rows = tuple(
        TableRow(
            (
                TableCell(_head(detection, place)),
                *(
                    cells.heat(cells.scores.get((name, on, place)))
                    for name, on in zip(names, fitted, strict=True)
                ),
            )
        )
        for place in range(len(detection.image_sets))
    )
    columns = (
        Column("tested on, paired AUC", "paired-auc"),
        *(Column(plain(name)) for name in names),
    )
    title = f"Detectors fitted on {image_set_text(detection.image_sets[key])}"
    note = f"{title}, or not fitted on attacks.{_mark_notes(rows)}"
    return Table("transfer", title, columns, rows, note)


def _transfer_table(detection: Detection, cells: _Cells, number: int, name: str) -> Table:
    nulls = {(n.detector, n.fitted_on): n for n in detection.null_controls}
    places = range(len(detection.image_sets))
    rows = []
    for fitted in cells.fitted_on(name):
        scores = [cells.scores.get((name, fitted, place)) for place in places]
        rows.append(
            TableRow(
                (
                    TableCell("no attack" if fitted is None else _head(detection, fitted)),
                    *(cells.heat(s, framed=place == fitted) for place, s in enumerate(scores)),
                    cells.null(nulls.get((name, fitted)), digits=2),
                )
            )
        )
    columns = (
        Column("fitted on / tested on", "transfer-matrix"),
        *_columns(detection, places),
        Column("null control", "null-control"),
    )
    title = plain(name)
    title += "" if cells.needs_fitting(name) else " (not fitted on attacks)"
    title += ": not to be trusted" if name in cells.alarms else ""
    note = f"{_mark_notes(rows)}{_unfitted_note(detection)}".strip()
    return Table(f"heat-{number}", title, columns, tuple(rows), note)


@dataclass(frozen=True)
class _Cells:
    """Makes the cells of a detection, each with its JSON pointer."""

    detection: Detection
    scores: Mapping[tuple[str, int | None, int], DetectorScore]
    """By detector, attack fitted on and images tested on."""
    places: Mapping[int, int]
    """Index of each record in its list, by the identity of the record."""
    alarms: Mapping[str, NullControl]

    @classmethod
    def of(cls, detection: Detection) -> _Cells:
        every = (*enumerate(detection.detector_scores), *enumerate(detection.null_controls))
        return cls(
            detection,
            {(s.detector, s.fitted_on, s.image_set): s for s in detection.detector_scores},
            {id(record): place for place, record in every},
            null_control_alarms(detection),
        )

    def needs_fitting(self, detector: str) -> bool:
        """Whether this detector is fitted on attacks."""
        return any(d == detector and fitted is not None for d, fitted, _ in self.scores)

    def fitted_on(self, detector: str) -> list[int | None]:
        """Attacks that a detector was fitted on, and those on which that was impossible."""
        if not self.needs_fitting(detector):
            return [None]
        own = {fitted for d, fitted, _ in self.scores if d == detector}
        every = enumerate(self.detection.image_sets)
        return [i for i, one in every if i in own or (one.kind == "attack" and one.unfitted_reason)]

    def name(self, detector: str) -> TableCell:
        return TableCell(plain(detector), mark=ALARM if detector in self.alarms else "")

    def heat(self, score: DetectorScore | None, *, framed: bool = False) -> TableCell:
        cell = self.auc(score, "paired_auc", digits=2)
        if score is None or score.paired_auc is None:
            return cell
        trusted = not score.too_few and score.detector not in self.alarms
        heat = 2 * score.paired_auc.value - 1 if trusted else None
        mark = SELECTION if score.explained_by_selection else cell.mark
        return replace(cell, heat=heat, framed=framed, mark=mark)

    def auc(self, score: DetectorScore | None, field: AUCField, digits: int = 3) -> TableCell:
        if score is None:
            return TableCell(NONE)
        path = f"/detection/detector_scores/{self.places[id(score)]}/{field}"
        estimate: Estimate | None = getattr(score, field)
        mark = FEW if score.too_few else ""
        if score.explained_by_selection and field == "auc":
            mark = SELECTION
        return auc_cell(estimate, path, mark, digits)

    def rate(self, score: DetectorScore | None, false_alarms: str) -> TableCell:
        if score is None:
            return TableCell(NONE)
        path = f"/detection/detector_scores/{self.places[id(score)]}/detection_rates/{false_alarms}"
        return percent_cell(
            score.detection_rates.get(false_alarms), path, FEW if score.too_few else ""
        )

    def null(self, null: NullControl | None, digits: int = 3) -> TableCell:
        if null is None:
            return TableCell(NONE)
        path = f"/detection/null_controls/{self.places[id(null)]}/auc"
        return auc_cell(null.auc, path, ALARM if null.alarm else "", digits)


def _columns(detection: Detection, places: Sequence[int]) -> list[Column]:
    return [Column(_head(detection, place)) for place in places]


def _head(detection: Detection, place: int) -> str:
    """Name and size; the norm only where there are several."""
    norms = {images.norm for images in detection.image_sets if images.kind == "attack"}
    return image_set_text(detection.image_sets[place], norm=len(norms) > 1)


def _mark_notes(rows: Sequence[TableRow]) -> str:
    """The meaning of the marks in these rows."""
    used = {cell.mark for row in rows for cell in row.cells}
    return "".join(f" {mark} {meaning}" for mark, meaning in MARKS.items() if mark in used)


def alarm_rate_note(rates: Iterable[Mapping[str, Estimate | None]]) -> str:
    """Why there is no share, or none with an interval, at a false-alarm rate; empty otherwise."""
    found = list(rates)
    short_of = [
        key
        for key in FALSE_ALARM_RATES
        if any((rate := one.get(key)) is None or rate.interval is None for one in found)
    ]
    return "".join(
        f" {100 * float(key):g} % false alarms take {fewest_groups_for(float(key))} groups of "
        f"clean images for a figure, and {groups_needed_for(float(key))} for an interval."
        for key in short_of
    )


def _unfitted_note(detection: Detection) -> str:
    """Why rows or cells are empty."""
    reasons: dict[str, list[str]] = {}
    for place, images in enumerate(detection.image_sets):
        if images.unfitted_reason:
            reasons.setdefault(images.unfitted_reason, []).append(_head(detection, place))
    parts = "; ".join(f"{', '.join(names)} ({plain(why)})" for why, names in reasons.items())
    return f" No detector could be fitted on {parts}." if parts else ""
