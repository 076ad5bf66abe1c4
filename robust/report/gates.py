"""Gates: what a plan asks of its report, judged on the bound of each interval, not on the point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from robust.metrics.bootstrap import clopper_pearson
from robust.metrics.bootstrap import groups_needed as groups_needed
from robust.records import AttackResult, Detection, Estimate, Flag, Report
from robust.report.text.format import (
    FALSE_ALARM_RATE,
    bracket,
    counted,
    listed,
    percent,
    plain,
    short,
)
from robust.units import eps_text, norm_text, parse_threat, same_eps

GateOutcome = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True)
class GateResult:
    """One gate. An undecided one counts as failed: what is not shown must not pass."""

    name: str
    outcome: GateOutcome
    why: str
    """A sentence without its full stop."""
    wanted: float | None = None
    """What the lower bound must reach; None where a flag is asked for."""
    bound: float | None = None
    """The lower bound; cases without a verdict count against it."""
    estimate: Estimate | None = None
    path: str = ""
    """JSON pointer to the estimate in report.json."""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def judge_gates(report: Report) -> tuple[GateResult, ...]:
    """Every gate of the report's plan, in the order of the plan's fields."""
    gates: Mapping[str, Any] = report.plan.get("gates") or {}
    found: list[GateResult] = []
    if (wanted := gates.get("clean_accuracy")) is not None:
        found.append(_rate("clean accuracy", wanted, report.clean, "accuracy", "/clean"))
    for entry in ("robust_accuracy", "sensitivity", "specificity"):
        if (wanted := gates.get(entry)) is not None:
            found += _worst(report, entry, wanted)
    for entry in ("detector_auc", "adaptive_auc", "withstands"):
        if (wanted := gates.get(entry)) is not None:
            found += _detectors(report, entry, wanted)
    if (names := gates.get("no_flags")) is not None:
        found += _flags(report.flags, names)
    if report.data.unfinished:
        return tuple(GateResult(g.name, "undecided", "the run is not finished") for g in found)
    return tuple(found)


def _worst(report: Report, entry: str, wanted: float | Mapping[str, float]) -> Iterator[GateResult]:
    """A score of the worst case, at each eps that is named or at the largest."""
    what = entry.replace("_", " ")
    if not isinstance(wanted, Mapping):
        row = report.worst
        yield _rate(f"{what} at {_threat(row.norm, row.eps)}", wanted, row, entry, _at(report, row))
        return
    for key, bound in wanted.items():
        norm, eps = parse_threat(key, report.plan["audit"]["norm"])
        name = f"{what} at {_threat(norm, eps)}"
        rows = [r for r in report.worst_cases if r.norm == norm and same_eps(r.eps, eps)]
        if rows:
            yield _rate(name, bound, rows[0], entry, _at(report, rows[0]))
        else:
            yield GateResult(name, "undecided", "no attack was run at that eps", bound)


def _rate(name: str, wanted: float, row: AttackResult, entry: str, place: str) -> GateResult:
    estimate: Estimate | None = getattr(row.scores, entry)
    if estimate is None:
        why = "there is no such number"
        if entry in ("sensitivity", "specificity"):
            why += ": too many cases without a verdict, or no case or no class is named for it"
        return GateResult(name, "undecided", why, wanted)
    # The worst that those without a verdict can be is wrong: a crash must not carry a gate.
    bound = estimate.low * estimate.cases / (estimate.cases + row.failed)
    untold = f", {counted(row.failed, 'case')} without a verdict taken as wrong" * bool(row.failed)
    return _held(
        name,
        wanted,
        bound,
        estimate,
        estimate.groups,
        f"{place}/scores/{entry}",
        f"{percent(estimate)}{untold}",
        f"{100 * wanted:g} %",
    )


def _detectors(
    report: Report, entry: str, wanted: float | Mapping[str, float]
) -> Iterator[GateResult]:
    """What each detector is worth, against the key attack or against those who know of it."""
    detection = report.detection
    if not isinstance(wanted, Mapping):
        wanted = dict.fromkeys(detection.detectors if detection else ("any detector",), wanted)
    for detector, bound in wanted.items():
        name = f"{_WORTH[entry]} of {plain(detector)}"
        if detection is None or detector not in detection.detectors:
            yield GateResult(name, "undecided", "that detector was not judged", bound)
            continue
        if detection.key_attack is None:
            yield GateResult(name, "undecided", "no attack succeeded that it could see", bound)
            continue
        shown = detection.image_sets[detection.key_attack]
        known = short(shown.name) if entry == "detector_auc" else "attackers who know of it"
        name += f" on {known}, {_threat(shown.norm, shown.eps)}"
        if any(null.alarm for null in detection.null_controls if null.detector == detector):
            yield GateResult(name, "undecided", "its null control raised an alarm", bound)
        elif entry == "detector_auc":
            yield _known(detection, detector, name, bound)
        else:
            yield _adaptive(detection, detector, entry, name, bound)


_WORTH = {
    "detector_auc": "AUC",
    "adaptive_auc": "AUC",
    "withstands": "cases held by model or alarm",
}


def _known(detection: Detection, detector: str, name: str, bound: float) -> GateResult:
    assert detection.key_attack is not None
    shown = detection.image_sets[detection.key_attack]
    sighting = detection.score(detector, detection.key_attack)
    if sighting is None or sighting.auc is None:
        return GateResult(name, "undecided", "there is no such number", bound)
    if sighting.too_few:
        why = f"{counted(shown.cases, 'attacked image')} are too few for a verdict"
        return GateResult(name, "undecided", why, bound)
    path = f"/detection/detector_scores/{detection.detector_scores.index(sighting)}/auc"
    return _area(name, bound, sighting.auc, shown.cases, path)


def _adaptive(
    detection: Detection, detector: str, entry: str, name: str, bound: float
) -> GateResult:
    found = detection.adaptive_result(detector)
    if found is None:
        why = "no attacker who knows of it was tried: their ball needs a bound"
        return GateResult(name, "undecided", why, bound)
    path = f"/detection/adaptive/{detection.adaptive.index(found)}"
    if entry == "withstands":
        passes = found.evasion_rates[FALSE_ALARM_RATE]
        held = Estimate(
            1 - passes.value, 1 - passes.high, 1 - passes.low, passes.cases, passes.groups
        )
        where = f"{path}/evasion_rates/{FALSE_ALARM_RATE}"
        asked = f"{100 * bound:g} %"
        return _held(name, bound, held.low, held, held.groups, where, percent(held), asked)
    if found.auc is None:
        return GateResult(name, "undecided", "no image fooled the model", bound)
    shown = round(found.fooled.value * found.fooled.cases)
    if found.too_few:
        why = f"{counted(shown, 'attacked image')} are too few for a verdict"
        return GateResult(name, "undecided", why, bound)
    return _area(name, bound, found.auc, shown, f"{path}/auc")


def _area(name: str, bound: float, auc: Estimate, shown: int, path: str) -> GateResult:
    """The rarer side bounds what can be shown; it has no more groups than images."""
    seen, groups = f"{auc.value:.3f} {bracket(auc, 1, 3)}", min(auc.groups, shown)
    return _held(name, bound, auc.low, auc, groups, path, seen, f"{bound:g}")


def _held(
    name: str,
    wanted: float,
    bound: float,
    estimate: Estimate,
    groups: int,
    path: str,
    seen: str,
    asked: str,
) -> GateResult:
    """One number against what is wanted; `groups` is how many it can rest on at most."""
    perfect = clopper_pearson(groups, groups)[0]
    most = f"{100 * perfect:.1f} %" if asked.endswith("%") else f"{perfect:.3f}"
    outcome: GateOutcome = "failed"
    if estimate.high < wanted:
        why = f"{seen}: all of the interval lies below {asked}"
    elif perfect < wanted:
        outcome = "undecided"
        why = (
            f"{counted(groups, 'group')} cannot decide it: were every one right, the lower bound "
            f"would be {most}; showing {asked} takes {groups_needed(wanted)} groups (seen: {seen})"
        )
    elif bound >= wanted:
        outcome, why = "passed", f"{seen}: the lower bound reaches {asked}"
    else:
        why = f"{seen}: {asked} is not shown, the lower bound lies below it"
    return GateResult(name, outcome, why, wanted, bound, estimate, path)


def _flags(flags: tuple[Flag, ...], names: bool | list[str]) -> Iterator[GateResult]:
    if isinstance(names, bool):
        raised = listed([plain(flag.name) for flag in flags], most=20)
        yield GateResult("no flag", "failed" if raised else "passed", raised or "none was raised")
        return
    for name in names:
        seen = next((flag.observed for flag in flags if flag.name == name), None)
        outcome: GateOutcome = "passed" if seen is None else "failed"
        yield GateResult(
            f"no flag: {plain(name)}", outcome, "not raised" if seen is None else plain(seen)
        )


def _at(report: Report, row: AttackResult) -> str:
    """The row's place in report.json."""
    return f"/worst_cases/{next(i for i, r in enumerate(report.worst_cases) if r is row)}"


def _threat(norm: str, eps: float | None) -> str:
    return f"{norm_text(norm)} {eps_text(eps, norm)}"
