"""CSV: every result, scores by structure, the transfer matrix; each estimate with both ends."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Collection, Iterable, Iterator, Mapping

from robust.printable import as_cell
from robust.records import (
    AttackResult,
    CertifiedAccuracy,
    CorruptionResult,
    Detection,
    DetectorScore,
    Estimate,
    FindingsReport,
    ImageSet,
    OutlineScores,
    Report,
    SweepReport,
)

RESULTS, MATRIX, STRUCTURES = "results.csv", "transfer_matrix.csv", "structures.csv"
CERTIFIED, CORRUPTED = "certified_accuracy.csv", "corruption_errors.csv"
"""Names of the files."""
_SWEEP_COLUMNS = (
    *("model", "measure", "condition", "value", "value_low", "value_high", "cases", "groups"),
)
_SCORE_PLACES = ("detector", "fitted_on", "image_set")
_RESULT_PLACES = ("subgroups", "confusion")
_OF_CLASSES = (
    *("misses", "false_alarms", "sensitivity", "specificity", "auc", "attacker_auc", "recall"),
    *("ece", "ece_chance", "brier", "outlines"),
)
"""Scores that have no column of their own where outlines are audited."""
_OF_OUTLINES = ("dice", "outlines")
"""The same where classes are."""

Line = Mapping[str, object]


def results_csv(report: Report) -> str:
    """A line for each condition: no attack, each attack at each eps, the worst case.

    As all these files: `eps` in [0, 1] units with nine digits, and no text that a spreadsheet
    would take for a formula.
    """
    skipped = _OF_CLASSES if report.task.is_segmentation else _OF_OUTLINES
    return _text(_result(row, skipped) for row in _conditions(report))


def structures_csv(report: Report) -> str:
    """A line for each condition and structure, and one for each third by size below it.

    `size` is empty on the line of the whole structure; lines of a third have its Dice alone.
    """
    return _text(
        line
        for row in _conditions(report)
        for name, scores in row.scores.outlines.items()
        for line in _structure(row, name, scores)
    )


def certified_csv(report: Report) -> str:
    """A line for each certificate and eps of the plan, then one for each radius of its curve.

    `of` is `eps` or `radius`; lines of a radius have certified accuracy alone.
    """
    return _text(line for one in report.certificates for line in _certified(one))


def corrupted_csv(result: CorruptionResult) -> str:
    """A line for each kind and severity; severity 0 is the clean image, and has no kind."""
    return _text(_corrupted(result))


def findings_csv(found: FindingsReport) -> str:
    """The lines of `results_csv` of every finding, with its name and its threshold."""
    return _text(
        {
            "finding": entry.finding,
            "threshold": report.model.threshold,
            **_result(row, _OF_OUTLINES),
        }
        for entry, report in found.reports
        for row in _conditions(report)
    )


def sweep_csv(report: SweepReport) -> str:
    """A line for each number of each model of a sweep, with its level on each axis."""
    return _text(sweep_lines(report))


def sweep_lines(report: SweepReport) -> list[dict[str, object]]:
    """The numbers of a sweep in long form.

    An axis whose name is that of another column is called `axis NAME`.
    """
    levels = {member.name: member.levels for member in report.members}
    return [
        {
            "model": one.member,
            **{
                (f"axis {axis.name}" if axis.name in _SWEEP_COLUMNS else axis.name): levels.get(
                    one.member, {}
                ).get(axis.name, "")
                for axis in report.axes
            },
            "measure": one.measure,
            "condition": one.condition,
            **dict(_columns("value", one.estimate)),
            "cases": one.estimate.cases,
            "groups": one.estimate.groups,
        }
        for one in report.numbers
    ]


def transfer_csv(detection: Detection) -> str:
    """A line for each detector, attack that it was fitted on, and images that it was tested on.

    `fitted_on` is empty for a detector that is not fitted on attacks.
    """
    return _text(_score(detection, score) for score in detection.detector_scores)


def _conditions(report: Report) -> tuple[AttackResult, ...]:
    return (report.clean, *report.rows, *report.worst_cases)


def _structure(row: AttackResult, name: str, scores: OutlineScores) -> Iterator[Line]:
    start = {"attack": row.attack, "norm": row.norm, "eps": row.eps, "structure": name}
    whole: dict[str, object] = {**start, "size": ""}
    for field in dataclasses.fields(scores):
        if field.name != "by_size":
            whole.update(_columns(field.name, getattr(scores, field.name)))
    yield whole
    for group in scores.by_size:
        line: dict[str, object] = {**start, "size": group.name, "cases": group.cases}
        line |= {"smallest": group.smallest, "largest": group.largest}
        line.update(_columns("dice", group.dice))
        yield line


def _certified(one: CertifiedAccuracy) -> Iterator[Line]:
    start = {"certificate": one.certificate, "function": one.function, "norm": one.norm}
    for point in one.points:
        line: dict[str, object] = {**start, "of": "eps", "eps": point.eps}
        line.update(_columns("certified", point.certified))
        line.update(_columns("attacked", point.attacked))
        yield {**line, "crossings": None if point.attacked is None else point.crossings}
    for radius, certified in zip(one.radii, one.certified, strict=True):
        yield {
            **start,
            "of": "radius",
            "eps": radius,
            **dict(_columns("certified", certified)),
        }


def _corrupted(result: CorruptionResult) -> Iterator[Line]:
    families = {kind.kind: kind.family for kind in result.kinds}
    clean: dict[str, object] = {"kind": "", "family": "", "severity": 0}
    clean.update(_columns("error", result.clean))
    clean.update(_columns("reference", result.reference_clean))
    yield clean
    for one in result.scores:
        line: dict[str, object] = {"kind": one.kind, "family": families.get(one.kind)}
        for field in dataclasses.fields(one):
            if field.name != "kind":
                line.update(_columns(field.name, getattr(one, field.name)))
        yield line


def _result(row: AttackResult, skipped: Collection[str]) -> dict[str, object]:
    line: dict[str, object] = {}
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        if field.name == "scores":
            for score in dataclasses.fields(value):
                if score.name in skipped:
                    continue
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
