"""Doubts about a run: what it did not finish, could not judge, or has too few cases to say."""

from __future__ import annotations

from robust.diagnostics.evidence import Evidence
from robust.records import Flag

FEW_POSITIVES = 30
WIDE = 0.3
"""Width of an interval from which on it leaves most of the question open."""


def null_alarm(e: Evidence) -> Flag | None:
    loud = [null for null in e.detection.null_controls if null.alarm] if e.detection else []
    if not loud:
        return None
    worst = max(loud, key=lambda null: abs(null.auc.value - 0.5))
    names = ", ".join(dict.fromkeys(null.detector for null in loud))
    return Flag(
        "a null control raised an alarm",
        f"{names}: told to find attacks among clean images alone, {worst.detector} reaches an AUC "
        f"of {worst.auc.value:.2f} [{worst.auc.low:.2f}, {worst.auc.high:.2f}]",
        "what finds something where there is nothing has learned from what it scores: none of its "
        "figures is to be believed",
        "look for images that are in the reference and audited too, or copies between groups",
    )


def cut_short(e: Evidence) -> Flag | None:
    if not e.unfinished:
        return None
    done = len(e.cases) + e.broken
    return Flag(
        "run cut short",
        f"{done} of {done + e.unfinished} cases are finished; all numbers are of these alone",
        "cases run in the order of the data, often class by class: the first are no fair sample",
        "give the same audit command again; it goes on where it stopped",
    )


def no_verdict(e: Evidence) -> Flag | None:
    if not e.failures:
        return None
    reason, most = e.failures.most_common(1)[0]
    return Flag(
        "attacks without a verdict",
        f"{sum(e.failures.values())} attacked cases, most ({most}) because: {reason}",
        "they count neither as robust nor as broken; rates are computed without them",
        "mend or remove the attack",
    )


def too_few(e: Evidence) -> Flag | None:
    short = {name: least for name, least in e.needed.items() if least > e.groups}
    wide = [
        (estimate.high - estimate.low, row, estimate)
        for row in e.worst
        if (estimate := row.scores.robust_accuracy) is not None
        and estimate.high - estimate.low > WIDE
    ]
    seen = []
    if wide:
        _, row, estimate = max(wide, key=lambda found: found[0])
        seen.append(
            f"robust accuracy at {row.condition.removeprefix('worst case, ')} lies anywhere from "
            f"{estimate.low:.1%} to {estimate.high:.1%}"
        )
    if short:
        name, least = max(short.items(), key=lambda item: item[1])
        seen.append(f"the gate on {name} needs {least} groups, there are {e.groups}")
    if not seen:
        return None
    return Flag(
        "too few cases for the claim",
        "; ".join(seen),
        "what is so uncertain can neither be claimed nor be ruled out",
        "audit more patients",
    )


def few_successes(e: Evidence) -> Flag | None:
    if e.detection is None or e.detection.key_attack is None:
        return None
    attacks = [shown for shown in e.detection.image_sets if shown.kind == "attack"]
    few = sum(shown.cases < FEW_POSITIVES for shown in attacks)
    if not few:
        return None
    return Flag(
        "few attacked images for detectors",
        f"{few} of {len(attacks)} attacks have fewer than {FEW_POSITIVES} successes",
        "an AUC from so few images says little; such cells are marked and carry no verdict",
        "audit more cases, or a larger eps",
    )


def copied_images(e: Evidence) -> Flag | None:
    if not e.copies:
        return None
    return Flag(
        "copies of images",
        f"{e.copies} of the images that detectors are judged on are copies of another one",
        "copies in different groups would be learned from and scored; they count as one group",
        "remove the copies from the data",
    )


def same_attack_twice(e: Evidence) -> Flag | None:
    pairs = sorted({(row.attack, row.same_as) for row in e.rows if row.same_as is not None})
    if not pairs:
        return None
    return Flag(
        "the same attack twice",
        "; ".join(f"{a} repeats the run of {b}" for a, b in pairs),
        "with two classes cross-entropy and margin have parallel gradients: the rows are one",
        "do not count them as independent evidence",
    )
