"""Gates of a plan: each requires that the lower bound of an interval reaches a value."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from robust.metrics.intervals import clopper_pearson
from robust.metrics.intervals import groups_needed as groups_needed
from robust.metrics.mean_intervals import mean_interval
from robust.metrics.operating_point import groups_needed_for
from robust.records import (
    FLAG_TEXTS,
    AttackResult,
    CertifiedAccuracy,
    Detection,
    Estimate,
    Flag,
    Report,
    stages_text,
)
from robust.records.flags import Voided, voiding
from robust.records.verdicts import WITHHELD
from robust.report.text.format import (
    FALSE_ALARM_RATE,
    counted,
    decimal,
    listed,
    percent,
    plain,
    short,
)
from robust.report.text.vocabulary import GateWords
from robust.report.text.words import words
from robust.units import parse_certified, parse_threat, printed_threat, same_eps

GateOutcome = Literal["passed", "failed", "undecided"]
"""`undecided`: the number is missing or void, or there are too few groups to show it."""


@dataclass(frozen=True)
class GateResult:
    """One gate. An undecided one does not pass: what is not shown must not pass."""

    name: str
    """What is required, such as `robust accuracy at L∞ 1/255`."""
    outcome: GateOutcome
    """`passed`, `failed` or `undecided`."""
    why: str
    """Reason for the outcome: a sentence without its full stop."""
    required: float | None = None
    """What the lower bound must reach; None where the absence of a warning is required."""
    bound: float | None = None
    """The lower bound; cases that could not be evaluated count as misread."""
    estimate: Estimate | None = None
    """The estimate that is compared; None where there is none."""
    path: str = ""
    """JSON pointer to the estimate in report.json; empty where there is none."""

    @property
    def passed(self) -> bool:
        """Whether the gate lets the model pass."""
        return self.outcome == "passed"


@dataclass(frozen=True)
class _Figure:
    """An estimate of the report as a gate reads it."""

    estimate: Estimate
    bound: float | None
    groups: int
    """Groups that it can rest on at most."""
    path: str
    percent: bool = True
    note: str = ""
    perfect: str = "all were correct"
    """The best result that there could be, to follow `even if`."""
    mean: bool = False
    """Whether it is a mean of values in [0, 1], and not a share."""

    @property
    def text(self) -> str:
        number = percent(self.estimate) if self.percent else decimal(self.estimate)
        return f"{number}{self.note}"

    def share(self, value: float, digits: str = "g") -> str:
        """A value in the units of the figure."""
        return f"{100 * value:{digits}} %" if self.percent else f"{value:{digits}}"


def judge_gates(report: Report) -> tuple[GateResult, ...]:
    """Every gate of the report's plan, in the order of the plan's fields.

    Of a run that is not finished none is decided. A gate on a number that a warning voids does not
    pass: see `FlagText.voids`.
    """
    gates: Mapping[str, Any] = report.plan.get("gates") or {}
    results: list[GateResult] = []
    if (required := gates.get("clean_accuracy")) is not None:
        said = _words(report, "clean_accuracy")
        results.append(_rate(said.name, required, report.clean, "accuracy", "/clean", said))
    for entry in ("robust_accuracy", "sensitivity", "specificity", "dice"):
        if (required := gates.get(entry)) is not None:
            found = _worst_case(report, entry, required)
            results += [_unless_void(result, report.flags, "robustness") for result in found]
    for entry in ("detector_auc", "adaptive_auc", "withstands"):
        if (required := gates.get(entry)) is not None:
            what: Voided = "robustness" if entry == "withstands" else "attacks"
            found = _detectors(report.detection, entry, required)
            results += [_unless_void(result, report.flags, what) for result in found]
    if (required := gates.get("certified_accuracy")) is not None:
        found = _certified(report, required)
        results += [_unless_void(result, report.flags, "attacks") for result in found]
    if (required := gates.get("corrupted_accuracy")) is not None:
        results += _corrupted(report, required)
    if (names := gates.get("no_flags")) is not None:
        results += _no_flags(report.flags, names, probed=_is_probed(report))
    if not report.is_finished:
        return tuple(_unfinished(result, report) for result in results)
    return tuple(results)


def _unfinished(result: GateResult, report: Report) -> GateResult:
    missing = stages_text(report.missing_stages)
    why = f"the run is not finished{f'; missing: {missing}' if missing else ''}"
    return GateResult(result.name, "undecided", why, result.required)


def _unless_void(result: GateResult, flags: tuple[Flag, ...], what: Voided) -> GateResult:
    """The result; undecided where it passed and a warning voids what it rests on."""
    flag = voiding(flags, what)
    if flag is None or result.outcome != "passed":
        return result
    why = f"{WITHHELD}: {plain(flag.name)} ({plain(flag.observed)}); observed: {result.why}"
    return replace(result, outcome="undecided", why=why)


def _is_probed(report: Report) -> bool:
    """Whether the plan asks for the probe, which some warnings need."""
    doubts = report.plan.get("doubts") or {}
    return doubts.get("probe", True) is not False


def _words(report: Report, entry: str) -> GateWords:
    """How a gate names its number; a score that the task does not have keeps its own name."""
    return words(report).gates.get(entry) or GateWords(entry.replace("_", " "))


def _compare(name: str, required: float, figure: _Figure) -> GateResult:
    """One figure against what is required of its lower bound."""
    required_text = figure.share(required)
    perfect = _perfect_bound(figure.groups, mean=figure.mean)
    outcome: GateOutcome = "failed"
    if figure.estimate.is_below(required):
        why = f"{figure.text}: the whole interval lies below {required_text}"
    elif perfect < required:
        outcome = "undecided"
        why = (
            f"{counted(figure.groups, 'group')} cannot show it: even if {figure.perfect}, the "
            f"lower bound would be {figure.share(perfect, '.1f' if figure.percent else '.3f')}; "
            f"showing {required_text} needs {_groups_needed(required, figure)} groups "
            f"(observed: {figure.text})"
        )
    elif figure.bound is not None and figure.bound >= required:
        outcome, why = "passed", f"{figure.text}: the lower bound reaches {required_text}"
    else:
        why = f"{figure.text}: {required_text} is not shown, the lower bound lies below it"
    return GateResult(name, outcome, why, required, figure.bound, figure.estimate, figure.path)


def _perfect_bound(groups: int, *, mean: bool) -> float:
    """The lower bound of a share, or of a mean in [0, 1], that is 1 on so many groups."""
    if not mean:
        return clopper_pearson(groups, groups)[0]
    return mean_interval(np.ones(groups), np.ones(groups), 1.0)[0]


def _groups_needed(required: float, figure: _Figure) -> int:
    if not figure.mean:
        return groups_needed(required)
    more = itertools.count(figure.groups + 1)
    return next(groups for groups in more if _perfect_bound(groups, mean=True) >= required)


def _worst_case(
    report: Report, entry: str, required: float | Mapping[str, float]
) -> Iterator[GateResult]:
    """A score of the worst case, at each eps that is named or at the largest."""
    said = _words(report, entry)
    if not isinstance(required, Mapping):
        row = report.worst
        name = f"{said.name} at {printed_threat(row.norm, row.eps)}"
        yield _rate(name, required, row, entry, _path(report, row), said)
        return
    for key, bound in required.items():
        norm, eps = parse_threat(key, report.plan["audit"]["norm"])
        name = f"{said.name} at {printed_threat(norm, eps)}"
        rows = [r for r in report.worst_cases if r.norm == norm and same_eps(r.eps, eps)]
        if rows:
            yield _rate(name, bound, rows[0], entry, _path(report, rows[0]), said)
        else:
            yield GateResult(name, "undecided", "no attack was run at that eps", bound)


def _rate(
    name: str, required: float, row: AttackResult, entry: str, path: str, said: GateWords
) -> GateResult:
    """A score of one result; cases that could not be evaluated must not help a gate."""
    estimate: Estimate | None = getattr(row.scores, entry)
    if estimate is None:
        why = "the number could not be evaluated"
        if entry in ("sensitivity", "specificity"):
            kind = "with" if entry == "sensitivity" else "without"
            why += f": too many cases could not be evaluated, or no case is {kind} a finding"
        return GateResult(name, "undecided", why, required)
    counted_share = estimate.cases / (estimate.cases + row.failed)
    bound = None if estimate.low is None else estimate.low * counted_share
    note = f", {counted(row.failed, 'case')} that could not be evaluated counted as {said.lost}"
    figure = _Figure(
        estimate,
        bound,
        estimate.groups,
        f"{path}/scores/{entry}",
        percent=entry != "dice",
        mean=entry == "dice",
        note=note if row.failed else "",
        perfect=said.perfect,
    )
    return _compare(name, required, figure)


_DETECTOR_GATES = {
    "detector_auc": "paired AUC",
    "adaptive_auc": "paired AUC",
    "withstands": "cases correct or detected",
}


def _detectors(
    detection: Detection | None, entry: str, required: float | Mapping[str, float]
) -> Iterator[GateResult]:
    """Each detector against the key attack, or against adaptive attacks."""
    if not isinstance(required, Mapping):
        required = dict.fromkeys(detection.detectors if detection else ("any detector",), required)
    for detector, bound in required.items():
        name = f"{_DETECTOR_GATES[entry]} of {plain(detector)}"
        if detection is None or detector not in detection.detectors:
            yield GateResult(name, "undecided", "that detector was not evaluated", bound)
            continue
        if detection.key_attack is None:
            why = "no attack succeeded, so there is nothing to detect"
            yield GateResult(name, "undecided", why, bound)
            continue
        key = detection.image_sets[detection.key_attack]
        attack = short(key.name) if entry == "detector_auc" else "adaptive attacks"
        name += f" on {attack}, {printed_threat(key.norm, key.eps)}"
        alarms = {null.detector for null in detection.null_controls if null.alarm}
        figure = _detector_figure(detection, detector, entry)
        if detector in alarms:
            yield GateResult(name, "undecided", "its null control raised an alarm", bound)
        elif isinstance(figure, str):
            yield GateResult(name, "undecided", figure, bound)
        else:
            yield _compare(name, bound, figure)


def _detector_figure(detection: Detection, detector: str, entry: str) -> _Figure | str:
    """The figure of one detector, or why there is none."""
    if entry == "detector_auc":
        return _static_figure(detection, detector)
    return _adaptive_figure(detection, detector, entry)


def _static_figure(detection: Detection, detector: str) -> _Figure | str:
    assert detection.key_attack is not None
    key = detection.image_sets[detection.key_attack]
    score = detection.score(detector, detection.key_attack)
    if score is None or score.paired_auc is None:
        return "the number could not be evaluated"
    if score.too_few:
        return f"{counted(key.cases, 'attacked image')} are too few for a verdict"
    path = f"/detection/detector_scores/{detection.detector_scores.index(score)}/paired_auc"
    return _auc(score.paired_auc, key.cases, path)


def _adaptive_figure(detection: Detection, detector: str, entry: str) -> _Figure | str:
    result = detection.adaptive_result(detector)
    if result is None:
        return "no adaptive attack was run: it needs an attack at a fixed eps"
    path = f"/detection/adaptive/{detection.adaptive.index(result)}"
    if entry == "withstands":
        evasion = result.evasion_rates[FALSE_ALARM_RATE]
        if evasion is None or evasion.interval is None:
            needed = groups_needed_for(float(FALSE_ALARM_RATE))
            return f"5 % false alarms need {needed} groups of clean images"
        withstood = evasion.complement
        where = f"{path}/evasion_rates/{FALSE_ALARM_RATE}"
        return _Figure(withstood, withstood.low, withstood.groups, where)
    if result.paired_auc is None:
        return "no image fooled the model"
    images = round(result.fooled.value * result.fooled.cases)
    if result.too_few:
        return f"{counted(images, 'attacked image')} are too few for a verdict"
    return _auc(result.paired_auc, images, f"{path}/paired_auc")


def _auc(auc: Estimate, images: int, path: str) -> _Figure:
    """A paired AUC: which cases fall cannot let a gate pass.

    The attacked images limit what can be shown; they have no more groups than images.
    """
    return _Figure(auc, auc.low, min(auc.groups, images), path, percent=False)


def _certified(report: Report, required: float | Mapping[str, float]) -> Iterator[GateResult]:
    """Certified accuracy at each eps that is named, or at the largest of each certificate."""
    if not isinstance(required, Mapping):
        for i, one in enumerate(report.certificates):
            if one.points:
                yield _proof(one, i, len(one.points) - 1, required)
        if not any(one.points for one in report.certificates):
            yield GateResult("certified accuracy", "undecided", "no certificate was run", required)
        return
    for key, bound in required.items():
        name, norm, eps = parse_certified(key)
        found = [
            (one, i, j)
            for i, one in enumerate(report.certificates)
            if name in ("", one.certificate) and norm in ("", one.norm)
            for j, point in enumerate(one.points)
            if same_eps(point.eps, eps)
        ]
        for one, i, j in found:
            yield _proof(one, i, j, bound)
        if not found:
            why = "no certificate reports that eps"
            yield GateResult(f"certified accuracy, {plain(key)}", "undecided", why, bound)


def _proof(one: CertifiedAccuracy, place: int, at: int, required: float) -> GateResult:
    point = one.points[at]
    name = (
        f"certified accuracy by {plain(one.certificate)} at {printed_threat(one.norm, point.eps)}"
    )
    estimate = point.certified
    path = f"/certificates/{place}/points/{at}/certified"
    figure = _Figure(estimate, estimate.low, estimate.groups, path, perfect="all were proven")
    return _compare(name, required, figure)


def _corrupted(report: Report, required: float | Mapping[str, float]) -> Iterator[GateResult]:
    """Accuracy on corrupted images, of each kind that is named or in the mean over all."""
    said, result = _words(report, "corrupted_accuracy"), report.corruptions
    name = f"{said.name} under corruption"
    if not isinstance(required, Mapping):
        if result is None:
            yield GateResult(name, "undecided", "no corruption was run", required)
        else:
            yield _kept(name, required, result.mean, said, "/corruptions/mean")
        return
    kinds = {} if result is None else {one.kind: i for i, one in enumerate(result.kinds)}
    for kind, bound in required.items():
        named = f"{said.name} under {plain(kind)}"
        if result is None or kind not in kinds:
            yield GateResult(named, "undecided", "that corruption was not run", bound)
        else:
            path = f"/corruptions/kinds/{kinds[kind]}/error"
            yield _kept(named, bound, result.kinds[kinds[kind]].error, said, path)


def _kept(name: str, required: float, error: Estimate, said: GateWords, path: str) -> GateResult:
    """1 less an error against what is required of it."""
    kept = error.complement
    figure = _Figure(kept, kept.low, kept.groups, path, perfect=said.perfect, mean=True)
    return _compare(name, required, figure)


_NOT_PROBED = "the probe that looks for it is switched off: set probe = true in [doubts]"


def _no_flags(
    flags: tuple[Flag, ...], names: bool | list[str], *, probed: bool
) -> Iterator[GateResult]:
    """The absence of all warnings, or of each that is named; one not looked for is undecided."""
    if isinstance(names, bool):
        raised = listed([plain(flag.name) for flag in flags], most=20)
        name = "no warning"
        if raised:
            yield GateResult(name, "failed", raised)
        elif probed:
            yield GateResult(name, "passed", "none was raised")
        else:
            some = sum(text.probed for text in FLAG_TEXTS.values())
            why = f"{some} warnings were not looked for: set probe = true in [doubts]"
            yield GateResult(name, "undecided", why)
        return
    for flag_name in names:
        name = f"no warning: {plain(flag_name)}"
        observed = next((flag.observed for flag in flags if flag.name == flag_name), None)
        text = FLAG_TEXTS.get(flag_name)
        if observed is not None:
            yield GateResult(name, "failed", plain(observed))
        elif text is None:
            yield GateResult(name, "undecided", "this version of robust has no such warning")
        elif text.probed and not probed:
            yield GateResult(name, "undecided", _NOT_PROBED)
        else:
            yield GateResult(name, "passed", "not raised")


def _path(report: Report, row: AttackResult) -> str:
    """JSON pointer to the worst case in report.json."""
    return f"/worst_cases/{next(i for i, r in enumerate(report.worst_cases) if r is row)}"
