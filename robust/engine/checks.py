"""Doubts: one function looks for one reason not to believe a number, and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from robust.cases.case import Cases
from robust.records import Detection, Flag, Row

FEW_GROUPS = 30
FEW_POSITIVES = 30


@dataclass(frozen=True)
class Evidence:
    """What a check may look at."""

    cases: Cases
    """Without the broken ones."""
    broken: int
    groups: int
    head: str
    declared_head: str
    colour_of_grey: int
    """Of the cases looked at, how many hold a grey image in a colour file."""
    clean: Row
    rows: Sequence[Row]
    failures: Counter[str]
    """Why attacks came to no verdict, by message."""
    unfinished: int = 0
    """Cases that the run has not come to yet."""
    detection: Detection | None = None
    copies: int = 0
    """Images judged by detectors that are copies of another one."""


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


def phantoms(e: Evidence) -> Flag | None:
    if not e.cases.phantom:
        return None
    return Flag(
        "phantom images",
        "every image was drawn by a program",
        "nothing measured on them says anything about patients",
        "repeat the audit on clinical images",
    )


def no_groups(e: Evidence) -> Flag | None:
    if e.cases.grouped:
        return None
    return Flag(
        "no groups",
        "the data name no patient or lesion; each image counts as its own group",
        "images of one patient resemble each other, so that the intervals may be too narrow",
        "name the group column, if the patients are known",
    )


def few_groups(e: Evidence) -> Flag | None:
    if e.groups >= FEW_GROUPS:
        return None
    return Flag(
        "few groups",
        f"there are {e.groups} of at least {FEW_GROUPS}",
        "a bootstrap over so few groups gives intervals that are too narrow",
        f"audit at least {FEW_GROUPS} patients",
    )


def broken_files(e: Evidence) -> Flag | None:
    if not e.broken:
        return None
    return Flag(
        "broken files",
        f"{e.broken} of {e.broken + len(e.cases)} images could not be read and were skipped",
        "what is missing may be just what the model finds hard",
        "mend the files and run again without --skip-broken",
    )


def one_class(e: Evidence) -> Flag | None:
    present = {entry.label for entry in e.cases.entries}
    missing = [name for i, name in enumerate(e.cases.classes) if i not in present]
    if not missing:
        return None
    return Flag(
        "missing class",
        f"no case of {', '.join(missing)}",
        "accuracy says little, and AUC, sensitivity or specificity nothing, without every class",
        "audit a split that holds all classes",
    )


def probability_outputs(e: Evidence) -> Flag | None:
    if e.head != "probabilities":
        return None
    found = "was declared to give" if e.declared_head == "probabilities" else "was seen to give"
    return Flag(
        "probabilities instead of logits",
        f"the model {found} probabilities",
        "probabilities round to 0 and 1: gradients vanish, ranks tie, attacks look weaker",
        "hand over the model without its last softmax or sigmoid",
    )


def grey_in_colour(e: Evidence) -> Flag | None:
    if not e.colour_of_grey:
        return None
    return Flag(
        "grey images in colour files",
        f"{e.colour_of_grey} of the images looked at have three equal channels",
        "the attacker may colour them, which no grey image could hide: robustness looks too low",
        "set grey = true in [data]",
    )


def weak_clean(e: Evidence) -> Flag | None:
    accuracy = e.clean.scores.accuracy
    counts = Counter(entry.label for entry in e.cases.entries)
    label, most = counts.most_common(1)[0]
    share = most / len(e.cases)
    if accuracy is None or len(counts) < 2 or accuracy.value > share:
        return None
    return Flag(
        "clean accuracy no better than a constant",
        f"{accuracy.value:.1%} right on clean images; always saying {e.cases.classes[label]!r} "
        f"gives {share:.1%}",
        "labels, preprocessing or weights may not belong together; then nothing else here counts",
        "check the order of the classes, mean, std and size",
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


def saturation(e: Evidence) -> Flag | None:
    worst = max(e.rows, key=lambda row: row.saturated, default=None)
    if worst is None or not worst.saturated:
        return None
    return Flag(
        "cross-entropy saturates",
        f"on {worst.saturated} of {worst.attacked} cases under {worst.attack} the probability of "
        f"the true label is so near 1 that the gradient of cross-entropy has lost half its digits",
        "an attack on cross-entropy alone may stall there and call the case robust; the attacks of "
        "this suite climb the margin instead on such cases",
        "nothing for them; distrust figures from other attacks that have no margin",
    )


def no_better_than_noise(e: Evidence) -> Flag | None:
    noise = {
        (row.norm, row.eps): row.scores.success.value
        for row in e.rows
        if row.attack == "Noise" and row.scores.success is not None
    }
    for row in e.rows:
        success, baseline = row.scores.success, noise.get((row.norm, row.eps))
        if row.attack == "Noise" or success is None or not baseline or row.eps == 0:
            continue
        if success.value <= baseline:
            return Flag(
                "no better than noise",
                f"{row.attack} succeeds on {success.value:.1%}, noise of the same size on "
                f"{baseline:.1%}",
                "an attack that random noise equals has not used the model's gradients",
                "look for masked gradients; run stronger attacks before believing the number",
            )
    return None


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


def null_alarm(e: Evidence) -> Flag | None:
    loud = [null for null in e.detection.nulls if null.alarm] if e.detection else []
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


def few_successes(e: Evidence) -> Flag | None:
    if e.detection is None or e.detection.key is None:
        return None
    attacks = [shown for shown in e.detection.shown if shown.kind == "attack"]
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


CHECKS: tuple[Callable[[Evidence], Flag | None], ...] = (
    null_alarm,
    cut_short,
    phantoms,
    weak_clean,
    no_verdict,
    no_better_than_noise,
    broken_files,
    no_groups,
    few_groups,
    one_class,
    few_successes,
    copied_images,
    probability_outputs,
    grey_in_colour,
    saturation,
    same_attack_twice,
)

FLAGS = (
    "a null control raised an alarm",
    "run cut short",
    "phantom images",
    "clean accuracy no better than a constant",
    "attacks without a verdict",
    "no better than noise",
    "broken files",
    "no groups",
    "few groups",
    "missing class",
    "few attacked images for detectors",
    "copies of images",
    "probabilities instead of logits",
    "grey images in colour files",
    "cross-entropy saturates",
    "the same attack twice",
)
"""What they are called, in the same order: a gate names them."""


def find_doubts(evidence: Evidence) -> tuple[Flag, ...]:
    """All flags that the evidence raises, the gravest first."""
    return tuple(flag for check in CHECKS if (flag := check(evidence)) is not None)
