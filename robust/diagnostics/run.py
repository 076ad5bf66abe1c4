"""Warnings about a run: unfinished, not evaluated, too few cases, null controls, attacks.

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.records import AdaptiveResult, DetectorScore, Estimate, stages_text
from robust.records.estimate import TOO_FEW, interval_text
from robust.units import at_eps, percent_text

WIDE = 0.3
"""Width of an interval above which it leaves most of the question open."""


def null_alarm(e: Evidence) -> str | None:
    """Raised if a detector's null control raised an alarm."""
    loud = [null for null in e.detection.null_controls if null.alarm] if e.detection else []
    if not loud:
        return None
    worst = max(loud, key=lambda null: abs(null.auc.value - 0.5))
    names = ", ".join(dict.fromkeys(null.detector for null in loud))
    return (
        f"{names}: trained to find attacks among clean images alone, {worst.detector} reaches an "
        f"AUC of {_auc(worst.auc)}"
    )


def selection_explains(e: Evidence) -> str | None:
    """Raised if which cases fall explains the AUC of a detector; the key attack is named first."""
    if e.detection is None:
        return None
    key, sets = e.detection.key_attack, e.detection.image_sets
    static = [one for one in e.detection.detector_scores if one.explained_by_selection]
    adaptive = [one for one in e.detection.adaptive if one.explained_by_selection]
    if not static and not adaptive:
        return None
    static.sort(key=lambda one: (one.image_set != key, one.fitted_on not in (None, key)))
    every: list[DetectorScore | AdaptiveResult] = [*static, *adaptive]
    names, worst = ", ".join(dict.fromkeys(one.detector for one in every)), every[0]
    where = "in adaptive attacks"
    if isinstance(worst, DetectorScore):
        images = sets[worst.image_set]
        where = f"on {at_eps(images.name, images.norm, images.eps)}"
    assert worst.auc is not None and worst.paired_auc is not None
    assert worst.selection_auc is not None  # a figure that is explained has all three
    return (
        f"{names}: {where}, {worst.detector} reaches a paired AUC of {_auc(worst.paired_auc)}; "
        f"against all clean images {_auc(worst.auc)}, and without any attack the cases that fall "
        f"against the others {_auc(worst.selection_auc)}"
    )


def _auc(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} {interval_text(estimate, 1, 2)}"


def cut_short(e: Evidence) -> str | None:
    """Raised if the run has not finished all its stages on all cases."""
    if not (e.unfinished or e.missing_stages):
        return None
    done = len(e.cases) + e.broken
    said = []
    if e.unfinished:
        said.append(
            f"{done} of {done + e.unfinished} cases are finished; all numbers are of these alone"
        )
    if e.missing_stages:
        said.append(f"not finished: {stages_text(e.missing_stages)}")
    return "; ".join(said)


def certificate_crossed(e: Evidence) -> str | None:
    """Raised if attacks cross a certificate more often than chance explains."""
    crossed = [one for one in e.certificates if one.is_contradicted]
    return "; ".join(f"{one.certificate}: {one.crossed_text}" for one in crossed) or None


def not_evaluated(e: Evidence) -> str | None:
    """Raised if an attack could not be evaluated on some case (crash, NaN, limits broken)."""
    if not e.failures:
        return None
    reason, most = e.failures.most_common(1)[0]
    return (
        f"{sum(e.failures.values())} attacked cases could not be evaluated, most ({most}) because: "
        f"{reason}"
    )


def workers_disagree(e: Evidence) -> str | None:
    """Raised if another worker found another verdict on a case that it computed again."""
    if e.again is None or not e.again.verdicts:
        return None
    worst = max(e.again.cells, key=lambda cell: cell.verdicts)
    return (
        f"{e.again.verdicts} of {e.again.compared} outcomes that were computed again have another "
        f"verdict, most ({worst.verdicts} of {worst.compared}) of {worst.name}"
    )


def too_few_cases(e: Evidence) -> str | None:
    """Raised if a worst-case interval is wider than `WIDE`, or a gate needs more groups."""
    short = {name: least for name, least in e.groups_needed.items() if least > e.groups}
    wide = [
        (high - low, row, (low, high))
        for row in e.worst
        if (estimate := row.scores.robust_accuracy) is not None
        for low, high in [estimate.interval or (0.0, 1.0)]
        if high - low > WIDE
    ]
    seen = []
    if wide:
        _, row, (low, high) = max(wide, key=lambda found: found[0])
        seen.append(
            f"robust accuracy at {row.condition.removeprefix('worst case, ')} lies anywhere from "
            f"{percent_text(low)} to {percent_text(high)}"
        )
    if short:
        name, least = max(short.items(), key=lambda item: item[1])
        seen.append(f"the gate on {name} needs {least} groups, there are {e.groups}")
    return "; ".join(seen) or None


def few_successes(e: Evidence) -> str | None:
    """Raised if an attack has fewer than `TOO_FEW` successful images for detectors."""
    if e.detection is None or e.detection.key_attack is None:
        return None
    attacks = [one for one in e.detection.image_sets if one.kind == "attack"]
    few = sum(one.cases < TOO_FEW for one in attacks)
    if not few:
        return None
    return f"{few} of {len(attacks)} attacks have fewer than {TOO_FEW} successes"


def same_attack_twice(e: Evidence) -> str | None:
    """Raised if two attacks of the plan take the same steps on this model."""
    pairs = sorted({(row.attack, row.same_as) for row in e.rows if row.same_as is not None})
    return "; ".join(f"{a} repeats the run of {b}" for a, b in pairs) or None
