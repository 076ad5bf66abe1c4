"""Tables of detection: a line for each detector, and the transfer matrix as heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from robust.records import Detection, DetectorScore, Estimate, NullControl, Report
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.detection import loudest, noise_of, shown_text, worst_change
from robust.report.text.format import NONE, SHARE, bracket, plain

FEW = "*"
ALARM = "!"
BRACKETS = "In brackets: 95 % intervals, resampled by group."
MARKS = {
    FEW: "fewer than 30 images were shown: no verdict.",
    ALARM: "a null control is not 0.5: no figure of this detector is to be believed.",
}
COLOURS = (
    "Blue: above 0.5, the deeper the further. Orange: below, where attacked images look more "
    "harmless than clean ones. Without colour: 0.5, too few images, or not to be believed. In a "
    "frame: shown the very attack that the detector was fitted on. Where an interval has no room "
    "it appears under the pointer; report.json has them all."
)
MATRICES = (
    "The transfer matrices: a table for each detector; down the attack that it was fitted on, "
    "across what it was then shown. Noise and harmless changes are no attacks: there a figure far "
    "from 0.5 means that the detector sees change, and not attack."
)


def summary(report: Report) -> Table:
    """Each detector at the key attack, fitted on it, with its controls."""
    columns = (
        Column("detector", "detector"),
        Column("AUC", "detector-auc"),
        Column("seen % at 1 % false alarms", "detector-alarm"),
        Column("seen % at 5 %", "detector-alarm"),
        Column("seen % at 10 %", "detector-alarm"),
        Column("null control", "null-control"),
        Column("AUC on noise of that size", "noise-control"),
        Column("flagged % of a harmless change, at 5 %", "harmless-change"),
        Column("the change flagged most"),
    )
    detection = report.detection
    if detection is None or detection.key_attack is None:
        return Table("noticed", "", columns, ())
    found = _Found.of(detection)
    noise = noise_of(detection, detection.key_attack)
    lines = []
    for name in detection.detectors:
        own = detection.score(name, detection.key_attack)
        change = worst_change(detection, name)
        beside = None if noise is None else detection.score(name, noise)
        cells = (
            found.name(name),
            found.auc(own),
            *(found.seen(own, share) for share in ("0.01", SHARE, "0.1")),
            found.null(detection.null_control(name)),
            found.auc(beside),
            found.seen(change, SHARE),
            TableCell(shown_text(detection.image_sets[change.image_set]) if change else NONE),
        )
        lines.append(TableRow(cells))
    title = f"Each detector on {shown_text(detection.image_sets[detection.key_attack])}"
    return Table("noticed", title, columns, tuple(lines), f"{BRACKETS}{_marks(lines)}")


def matched(report: Report) -> Table:
    """Each detector against each attack, fitted on that very attack: the best that it can do."""
    detection = report.detection
    if detection is None:
        return Table("heat-matched", "", (), ())
    found = _Found.of(detection)
    places = [i for i, shown in enumerate(detection.image_sets) if shown.kind == "attack"]
    lines = []
    for name in detection.detectors:
        cells = [found.name(name)]
        for place in places:
            fitted = place if found.fits(name) else None
            cells.append(found.heat(found.cells.get((name, fitted, place))))
        lines.append(TableRow(tuple(cells)))
    columns = (Column("detector, AUC", "detector-auc"), *_columns(detection, places))
    note = f"{BRACKETS}{_marks(lines)}{_empty(detection)}"
    title = "Each detector fitted on the very attack that it is shown"
    return Table("heat-matched", title, columns, tuple(lines), note)


def matrices(report: Report) -> list[Table]:
    """For each detector: attacks fitted on down, whatever was shown across."""
    detection = report.detection
    if detection is None:
        return []
    found = _Found.of(detection)
    nulls = {(n.detector, n.fitted_on): n for n in detection.null_controls}
    places = range(len(detection.image_sets))
    last = Column("null control", "null-control")
    columns = (Column("fitted on / shown", "transfer-matrix"), *_columns(detection, places), last)
    tables = []
    for number, name in enumerate(detection.detectors):
        lines = []
        for fitted in found.rows(name):
            cells = [TableCell("nothing" if fitted is None else _head(detection, fitted))]
            cells += [
                found.heat(found.cells.get((name, fitted, place)), framed=place == fitted)
                for place in places
            ]
            cells.append(found.null(nulls.get((name, fitted)), digits=2))
            lines.append(TableRow(tuple(cells)))
        title = plain(name)
        title += "" if found.fits(name) else " (needs no attack to be fitted on)"
        title += ": not to be believed" if name in found.loud else ""
        note = f"{_marks(lines)}{_empty(detection)}".strip()
        tables.append(Table(f"heat-{number}", title, columns, tuple(lines), note))
    return tables


@dataclass(frozen=True)
class _Found:
    """The cells of a detection, and where each stands in report.json."""

    detection: Detection
    cells: Mapping[tuple[str, int | None, int], DetectorScore]
    """By detector, attack fitted on and what was shown."""
    places: Mapping[int, int]
    """Of each row, by its identity."""
    loud: Mapping[str, NullControl]

    @classmethod
    def of(cls, detection: Detection) -> _Found:
        every = (*enumerate(detection.detector_scores), *enumerate(detection.null_controls))
        return cls(
            detection,
            {(s.detector, s.fitted_on, s.image_set): s for s in detection.detector_scores},
            {id(row): place for place, row in every},
            loudest(detection),
        )

    def fits(self, detector: str) -> bool:
        """Whether this detector is fitted on attacks."""
        return any(d == detector and fitted is not None for d, fitted, _ in self.cells)

    def rows(self, detector: str) -> list[int | None]:
        """What a detector was fitted on, in the order shown, and attacks that it could not be."""
        if not self.fits(detector):
            return [None]
        own = {fitted for d, fitted, _ in self.cells if d == detector}
        shown = enumerate(self.detection.image_sets)
        return [i for i, one in shown if i in own or (one.kind == "attack" and one.unfitted_reason)]

    def name(self, detector: str) -> TableCell:
        return TableCell(plain(detector), mark=ALARM if detector in self.loud else "")

    def heat(self, sighting: DetectorScore | None, *, framed: bool = False) -> TableCell:
        cell = self.auc(sighting, digits=2)
        if sighting is None or sighting.auc is None:
            return cell
        trusted = not sighting.too_few and sighting.detector not in self.loud
        heat = 2 * sighting.auc.value - 1 if trusted else None
        return replace(cell, heat=heat, framed=framed)

    def auc(self, sighting: DetectorScore | None, digits: int = 3) -> TableCell:
        if sighting is None or sighting.auc is None:
            return TableCell(NONE)
        path = f"/detection/detector_scores/{self.places[id(sighting)]}/auc"
        return number(sighting.auc, path, FEW if sighting.too_few else "", 1, digits)

    def seen(self, sighting: DetectorScore | None, share: str) -> TableCell:
        if sighting is None or (estimate := sighting.detection_rates.get(share)) is None:
            return TableCell(NONE)
        path = f"/detection/detector_scores/{self.places[id(sighting)]}/detection_rates/{share}"
        return number(estimate, path, FEW if sighting.too_few else "", 100, 1)

    def null(self, null: NullControl | None, digits: int = 3) -> TableCell:
        if null is None:
            return TableCell(NONE)
        path = f"/detection/null_controls/{self.places[id(null)]}/auc"
        return number(null.auc, path, ALARM if null.alarm else "", 1, digits)


def _columns(detection: Detection, places: Sequence[int]) -> list[Column]:
    return [Column(_head(detection, place)) for place in places]


def _head(detection: Detection, place: int) -> str:
    """The norm is left out where there is one."""
    norms = {shown.norm for shown in detection.image_sets if shown.kind == "attack"}
    return shown_text(detection.image_sets[place], norm=len(norms) > 1)


def number(estimate: Estimate, path: str, mark: str, scale: float, digits: int) -> TableCell:
    """An estimate with its interval and its place in report.json."""
    value = f"{scale * estimate.value:.{digits}f}"
    return TableCell(value, bracket(estimate, scale, digits), path, mark=mark)


def _marks(lines: Sequence[TableRow]) -> str:
    """What the marks in these lines mean."""
    used = {cell.mark for line in lines for cell in line.cells}
    return "".join(f" {mark} {meaning}" for mark, meaning in MARKS.items() if mark in used)


def _empty(detection: Detection) -> str:
    """Why lines or cells hold nothing."""
    reasons: dict[str, list[str]] = {}
    for place, shown in enumerate(detection.image_sets):
        if shown.unfitted_reason:
            reasons.setdefault(shown.unfitted_reason, []).append(_head(detection, place))
    parts = "; ".join(f"{', '.join(names)} ({plain(why)})" for why, names in reasons.items())
    return f" Nothing could be fitted on {parts}." if parts else ""
