"""Whether the parts of a report fit together: a report.json may come from anybody."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robust.records.detection import AdaptiveResult, Detection, DetectorScore
from robust.records.inputs import Timings
from robust.records.scores import AccuracyCurve, AttackResult
from robust.records.stages.certificates import CertifiedAccuracy
from robust.records.stages.corruptions import CorruptionResult
from robust.units import NORMS, parse_certified, parse_threat

LARGEST = 1e12
"""No number of a report comes near; a figure cannot be drawn of much larger ones."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
BY_EPS = ("robust_accuracy", "sensitivity", "specificity", "dice")
BY_CERTIFICATE = ("certified_accuracy",)
BY_NAME = ("detector_auc", "adaptive_auc", "withstands", "corrupted_accuracy")
"""Gates with one bound for all, or with one for each eps, certificate, or detector or kind."""
FALSE_ALARM_RATES = ("0.01", "0.05", "0.1")
"""Keys of detection and evasion rates."""


def check_results(
    rows: Sequence[AttackResult], worst_cases: Sequence[AttackResult], classes: Sequence[str]
) -> Iterator[str]:
    """What is wrong with results, of which `rows` are all: each line contradicts another part."""
    if not worst_cases:
        yield "worst_cases is empty"
    size = len(classes)
    for row in rows:
        if row.kind != "clean" and row.norm not in NORMS:
            yield "a result has an unknown norm"
        if row.eps is not None and not 0 <= row.eps < LARGEST:
            yield "a result has an eps that is no distance"
        if row.confusion and any(len(line) != size for line in (row.confusion, *row.confusion)):
            yield "a confusion matrix does not have a line for each class"
        if set(row.scores.recall) - set(classes):
            yield "a recall is of no class"
    if len({row.eps is None for row in worst_cases}) > 1:
        yield "some worst cases have an eps and some have none"


def check_curves(curves: Sequence[AccuracyCurve]) -> Iterator[str]:
    """What is wrong with accuracy curves."""
    for curve in curves:
        if len(curve.eps) != len(curve.robust_accuracy) or not curve.eps:
            yield "an accuracy curve has another number of eps than of values"


def check_proofs(certificates: Sequence[CertifiedAccuracy]) -> Iterator[str]:
    """What is wrong with certificates: their curves are drawn."""
    for one in certificates:
        if one.norm not in NORMS:
            yield "a certificate has an unknown norm"
        if not one.radii or len(one.radii) != len(one.certified):
            yield "a certificate has another number of radii than of values"
        sizes = [*one.radii, *(point.eps for point in one.points)]
        if any(not 0 <= size < LARGEST for size in sizes) or any(one.radii[:1]):
            yield "a certificate has a radius that is no distance, or does not begin at 0"
        for ascending in (list(one.radii), [point.eps for point in one.points]):
            if any(a >= b for a, b in itertools.pairwise(ascending)):
                yield "the radii of a certificate do not ascend"


def check_corrupted(result: CorruptionResult) -> Iterator[str]:
    """What is wrong with corruptions: every score is of a kind."""
    kinds = {kind.kind for kind in result.kinds}
    if not {one.kind for one in result.scores} <= kinds:
        yield "a score of a corruption is of no kind"
    if any(not 1 <= one.severity <= 5 for one in result.scores):
        yield "a corruption has a severity that is none"


def check_dates(timings: Timings) -> Iterator[str]:
    """What is wrong with the dates of a report."""
    for date in (timings.audited, timings.reported):
        if date and not _DATE.fullmatch(date):
            yield "a date is not UTC in ISO 8601"


def check_numbers(value: object) -> Iterator[str]:
    """Numbers that no audit finds, in plain values."""
    if isinstance(value, float) and abs(value) > LARGEST:
        yield f"{value:g} is no result of an audit"
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from check_numbers(inner)


def check_plan(plan: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the plan in a report."""
    audit = plan.get("audit")
    if not isinstance(audit, Mapping) or not {"goal", "seed", "target"} <= set(audit):
        yield "the plan has no complete [audit]"
        return
    if not isinstance(audit["goal"], str) or not isinstance(audit["target"], str | None):
        yield "the plan has an unknown goal or target"
    if plan.get("gates") and audit.get("norm") not in NORMS:
        yield "the plan has gates and an unknown norm"
    yield from _check_gates(plan.get("gates") or {})
    for name in ("model", "data", "gates", "detection", "scenarios", "twin", "report", "doubts"):
        if not isinstance(plan.get(name), Mapping | None):
            yield f"[{name}] of the plan is no table"


def _check_gates(gates: object) -> Iterator[str]:
    """What is wrong with the gates of a plan: bounds are numbers, warnings have names."""
    for name, required in gates.items() if isinstance(gates, Mapping) else ():
        if required is None:
            continue
        if name == "no_flags":
            if not isinstance(required, bool) and not _are_names(required):
                yield "a gate names no warnings"
            continue
        single = name not in (*BY_EPS, *BY_CERTIFICATE, *BY_NAME) or not isinstance(
            required, Mapping
        )
        if not all(map(_is_share, [required] if single else required.values())):
            yield "a gate is no number above 0 and below 1"
        elif not single and not all(map(_KEYS.get(name, _is_any), required)):
            yield "a gate is at no eps"


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _is_share(bound: object) -> bool:
    return isinstance(bound, int | float) and not isinstance(bound, bool) and 0 < bound < 1


def _is_threat(key: str) -> bool:
    try:
        parse_threat(key, NORMS[0])
    except ValueError:
        return False
    return True


def _is_certified(key: str) -> bool:
    try:
        parse_certified(key)
    except ValueError:
        return False
    return True


def _is_any(key: str) -> bool:
    return True


_KEYS = {**dict.fromkeys(BY_EPS, _is_threat), **dict.fromkeys(BY_CERTIFICATE, _is_certified)}


def check_detection(detection: Detection) -> Iterator[str]:
    """What is wrong with the evaluation of detectors."""
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
    judged: list[DetectorScore | AdaptiveResult] = [*detection.detector_scores, *detection.adaptive]
    for figure in judged:
        areas = figure.auc, figure.paired_auc, figure.selection_auc
        if figure.explained_by_selection and None in areas:
            yield "a figure is explained by a selection control that is missing"
    for curve in detection.score_curves:
        bins = len(curve.bin_edges) - 1
        counts = (curve.clean, curve.clean_fallen, curve.attacked, curve.noise)
        if not curve.roc or not curve.paired_roc or any(len(c) != bins for c in counts):
            yield "a histogram does not fit its edges"
    for one in detection.adaptive:
        for rates in (
            one.evasion_rates,
            one.static_evasion_rates,
            one.undetected_rates,
            one.static_undetected_rates,
        ):
            if not set(FALSE_ALARM_RATES) <= set(rates):
                yield "an evasion rate is missing"
    if any(one.norm not in ("", *NORMS) for one in detection.image_sets):
        yield "a set of images has an unknown norm"
