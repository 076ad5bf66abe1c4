"""CSV: every result, and the whole transfer matrix, each estimate with both ends."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping

from robust.printable import as_cell
from robust.records import (
    AttackResult,
    Detection,
    DetectorScore,
    Estimate,
    FindingsReport,
    ImageSet,
    Report,
)

RESULTS, MATRIX = "results.csv", "transfer_matrix.csv"
"""Names of the files."""
_SCORE_PLACES = ("detector", "fitted_on", "image_set")
_RESULT_PLACES = ("subgroups", "confusion")

Line = Mapping[str, object]


def results_csv(report: Report) -> str:
    """A line for each condition: no attack, each attack at each eps, the worst case.

    As all these files: `eps` in [0, 1] units with nine digits, and no text that a spreadsheet
    would take for a formula.
    """
    return _text(map(_result, _conditions(report)))


def findings_csv(found: FindingsReport) -> str:
    """The lines of `results_csv` of every finding, with its name and its threshold."""
    return _text(
        {"finding": entry.finding, "threshold": report.model.threshold, **_result(row)}
        for entry, report in found.reports
        for row in _conditions(report)
    )


def transfer_csv(detection: Detection) -> str:
    """A line for each detector, attack that it was fitted on, and images that it was tested on.

    `fitted_on` is empty for a detector that is not fitted on attacks.
    """
    return _text(_score(detection, score) for score in detection.detector_scores)


def _conditions(report: Report) -> tuple[AttackResult, ...]:
    return (report.clean, *report.rows, *report.worst_cases)


def _result(row: AttackResult) -> Line:
    line: dict[str, object] = {}
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name == "scores":
            for score in dataclasses.fields(value):
                line.update(_columns(score.name, getattr(value, score.name)))
        elif field.name not in _RESULT_PLACES:
            line[field.name] = value
    return line


def _score(detection: Detection, score: DetectorScore) -> Line:
    sets = detection.image_sets
    fitted = None if score.fitted_on is None else sets[score.fitted_on]
    tested = sets[score.image_set]
    line: dict[str, object] = {"detector": score.detector}
    line.update(_named("fitted_on", "fitted_", fitted))
    line["kind"] = tested.kind
    line.update(_named("tested_on", "", tested))
    for field in dataclasses.fields(score):
        if field.name not in _SCORE_PLACES:
            line.update(_columns(field.name, getattr(score, field.name)))
    return line


def _named(name: str, before: str, images: ImageSet | None) -> Line:
    found = ("", "", None) if images is None else (images.name, images.norm, images.eps)
    return dict(zip((name, f"{before}norm", f"{before}eps"), found, strict=True))


def _columns(name: str, value: object) -> Iterator[tuple[str, object]]:
    """A value by the name of its column; an estimate and a mapping have several."""
    if isinstance(value, Estimate):
        yield name, value.value
        yield f"{name}_low", value.low
        yield f"{name}_high", value.high
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _columns(f"{name}_{key}", one)
    else:
        yield name, value


def _text(lines: Iterable[Line]) -> str:
    every = list(lines)
    names = list(dict.fromkeys(name for line in every for name in line))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([as_cell(name) for name in names])
    writer.writerows([as_cell(line.get(name)) for name in names] for line in every)
    return text.getvalue()
