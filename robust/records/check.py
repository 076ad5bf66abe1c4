"""Whether the parts of a report fit together: a report.json may come from anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from robust.units import NORMS

if TYPE_CHECKING:
    from robust.records.detection import Detection
    from robust.records.report import Report


def check_report(report: Report) -> None:
    """ValueError with the first part that contradicts another; types are checked before."""
    for wrong in (*_of_results(report), *_of_plan(report.plan)):
        raise ValueError(wrong)
    if report.detection is not None:
        for wrong in _of_detection(report.detection):
            raise ValueError(wrong)


def _of_results(report: Report) -> Iterator[str]:
    if not report.worst_cases:
        yield "worst_cases is empty"
    size = len(report.data.classes)
    for row in (report.clean, *report.rows, *report.worst_cases):
        if row.kind != "clean" and row.norm not in NORMS:
            yield "a result has an unknown norm"
        if row.eps is not None and not 0 <= row.eps < 1e6:
            yield "a result has an eps that is no distance"
        if row.confusion and any(len(line) != size for line in (row.confusion, *row.confusion)):
            yield "a confusion matrix does not have a line for each class"
        if set(row.scores.recall) - set(report.data.classes):
            yield "a recall is of no class"
    if any(row.eps is None for row in report.worst_cases):
        yield "a worst case has no eps"
    for curve in report.accuracy_curves:
        if len(curve.eps) != len(curve.robust_accuracy) or not curve.eps:
            yield "an accuracy curve has another number of eps than of values"
    if report.schema_version < 1:
        yield "schema_version is below 1"


def _of_plan(plan: Mapping[str, Any]) -> Iterator[str]:
    audit = plan.get("audit")
    if not isinstance(audit, Mapping) or not {"norm", "goal", "seed", "threshold"} <= set(audit):
        yield "the plan has no complete [audit]"
        return
    if audit["norm"] not in NORMS or not isinstance(audit["goal"], str):
        yield "the plan has an unknown norm or goal"
    for name in ("model", "data", "gates", "detection", "scenarios", "report", "doubts"):
        if not isinstance(plan.get(name), Mapping | None):
            yield f"[{name}] of the plan is no table"


def _of_detection(detection: Detection) -> Iterator[str]:
    sets = range(len(detection.image_sets))
    places = [detection.key_attack]
    for score in detection.detector_scores:
        places += [score.fitted_on, score.image_set]
        if score.detector not in detection.detectors:
            yield "a score is of no detector"
    for control in detection.null_controls:
        places.append(control.fitted_on)
    places += [feature_map.image_set for feature_map in detection.feature_maps]
    if any(place is not None and place not in sets for place in places):
        yield "a place is of no set of images"
    for curve in detection.score_curves:
        bins = len(curve.bin_edges) - 1
        if not curve.roc or any(len(c) != bins for c in (curve.clean, curve.attacked, curve.noise)):
            yield "a histogram does not fit its edges"
    if any(one.norm not in ("", *NORMS) for one in detection.image_sets):
        yield "a set of images has an unknown norm"
