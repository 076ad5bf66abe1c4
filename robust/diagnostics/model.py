"""Warnings about the classifier: clean accuracy, determinism, training mode, form of its outputs.

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

from attacks.repeated_passes import JUDGING_PASSES, PASSES
from robust.diagnostics.evidence import Evidence
from robust.records.estimate import TOO_FEW, interval_text
from robust.units import percent_text

ABOVE = 1.645
"""Standard errors above chance that count as above it: the 5 % level, one-sided."""
ABOVE_IF_FEW = 1.0
"""The same below `TOO_FEW` groups, where even good models may miss the 5 % level."""
RARELY = 0.1
"""Share of the labels' rarer classes below which predictions count as constant."""
BY_CHANCE = 0.001
"""Likelihood of the readings as another class, if they were a toss-up with the own one."""
CLAIM_TOLERANCE = 0.02
"""How far the upper end of the interval must lie below a claim: claims are rounded figures."""
OUTPUT_TOLERANCE = 1e-3
"""Largest difference between two passes, as a share of the spread of logits: a hundred times what
the order of additions causes at float32."""
CLIPPED = 0.05
"""Smallest share of different images with the same extreme output."""


MIN_DIFFERENT, MIN_DIFFERENT_SHARE = 3, 0.02
"""Unmodified images that a deployed version reads otherwise: the fewest, and as a share."""


def weak_clean(e: Evidence) -> str | None:
    """Raised if neither mean recall nor AUC on clean images is above chance at the 5 % level."""
    accuracy = e.clean.scores.accuracy
    counts = Counter(entry.label for entry in e.cases.entries)
    label, most = counts.most_common(1)[0]
    share = most / len(e.cases)
    if (
        e.outlines is not None
        or accuracy is None
        or len(counts) < 2
        or _above_chance(e, accuracy.value, share)
    ):
        return None
    seen = [
        f"{percent_text(accuracy.value)} correct on clean images; always predicting "
        f"{e.cases.classes[label]!r} gives {percent_text(share)}"
    ]
    if recalls := _recalls(e):
        mean = sum(recalls.values()) / len(recalls)
        seen.append(f"mean recall {percent_text(mean)} ({percent_text(1 / len(recalls))} by chance")
        auc = e.clean.scores.auc
        seen[-1] += ")" if auc is None else f"), AUC {auc.value:.2f}"
    return "; ".join(seen)


def twin_disagrees(e: Evidence) -> str | None:
    """Raised if the deployed version reads more clean images otherwise than rounding explains."""
    if e.twin is None:
        return None
    one = e.twin.agreement
    differ = round((1 - one.value) * one.cases)
    if differ < MIN_DIFFERENT or differ < MIN_DIFFERENT_SHARE * one.cases:
        return None
    return (
        f"{differ} of {one.cases} unmodified images are read otherwise; accuracy is "
        f"{percent_text(e.twin.audited_accuracy.value)} for the model and "
        f"{percent_text(e.twin.twin_accuracy.value)} for the deployed version"
    )


def constant_predictions(e: Evidence) -> str | None:
    """Raised if other classes than the most frequent are read a tenth as often as they occur."""
    labels = Counter(entry.label for entry in e.cases.entries)
    read = Counter(e.predicted)
    if not read or len(labels) < 2:
        return None
    (answer, often), (_, most) = read.most_common(1)[0], labels.most_common(1)[0]
    images = read.total()
    if (images - often) / images >= RARELY * (1 - most / labels.total()):
        return None
    return (
        f"{often} of {images} clean images are read as {e.cases.classes[answer]!r}; "
        f"{labels[answer]} of them are labelled so"
    )


def _above_chance(e: Evidence, accuracy: float, share: float) -> bool:
    """Whether mean recall or AUC lies above chance by more than `ABOVE` standard errors.

    The errors are those without any signal (Mann and Whitney 1947 for the AUC), with groups in
    place of images, and as if all classes erred together: rather too large. Accuracy says nothing
    where one class is rare; without the others it is compared with the most frequent class.
    """
    recalls, auc = _recalls(e), e.clean.scores.auc
    if not recalls and auc is None:
        return accuracy > share
    above = ABOVE if e.groups >= TOO_FEW else ABOVE_IF_FEW
    groups = {label: _groups(e, {label}) for label in recalls}
    if recalls:
        images = sum(e.predicted.values())
        read = {k: e.predicted.get(k, 0) / images if images else 1 / len(recalls) for k in recalls}
        errors = [math.sqrt(read[k] * (1 - read[k]) / groups[k]) for k in recalls]
        rise = sum(recalls.values()) / len(recalls) - 1 / len(recalls)
        if rise > above * sum(errors) / len(errors):
            return True
    return auc is not None and auc.value - 0.5 > above * _auc_error(e)


def _auc_error(e: Evidence) -> float:
    """Standard error of an AUC without signal; of several classes the mean over them."""
    labels = {entry.label for entry in e.cases.entries}
    sides = [set(e.cases.findings)] if e.cases.findings else [{label} for label in labels]
    errors = []
    for side in sides:
        with_it, without = _groups(e, side), _groups(e, labels - side)
        if with_it and without:
            errors.append(math.sqrt((with_it + without + 1) / (12 * with_it * without)))
    return sum(errors) / len(errors) if errors else math.inf


def _recalls(e: Evidence) -> dict[int, float]:
    """Recall by class, of the classes with a case."""
    found = (e.clean.scores.recall.get(name) for name in e.cases.classes)
    return {label: recall.value for label, recall in enumerate(found) if recall is not None}


def _groups(e: Evidence, labels: set[int]) -> int:
    """Number of groups with a case of one of these classes."""
    return len({entry.group for entry in e.cases.entries if entry.label in labels})


def below_the_claim(e: Evidence) -> str | None:
    """Raised if the interval of a clean score lies over `CLAIM_TOLERANCE` below the claim."""
    claims = (
        ("accuracy", e.claim.accuracy, e.clean.scores.accuracy),
        ("AUC", e.claim.auc, e.clean.scores.auc),
    )
    missed = [
        f"{name} is {seen.value:.3f} {interval_text(seen)}, {claimed:.3f} was claimed"
        for name, claimed, seen in claims
        if claimed is not None and seen is not None and seen.is_below(claimed - CLAIM_TOLERANCE)
    ]
    return f"on clean images {' and '.join(missed)} by {e.claim.by}" if missed else None


def other_order(e: Evidence) -> str | None:
    """Raised if other names for the classes would make most misread images right."""
    if not e.clean.confusion:
        return None
    counts = np.array(e.clean.confusion)
    _, order = linear_sum_assignment(-counts)
    moved = [k for k, other in enumerate(order) if k != other and counts[k].sum()]
    wrong, left = (
        int(counts.sum() - found)
        for found in (np.trace(counts), counts[range(len(order)), order].sum())
    )
    if not moved or left > wrong / 2:
        return None
    as_other, as_own = (
        sum(int(counts[k, to(k)]) for k in moved) for to in (order.__getitem__, int)
    )
    # Groups, not images, are what the reading of several images of one patient is evidence of.
    share = e.groups / max(len(e.cases), 1)
    chance = binom.sf(round(as_other * share) - 1, round((as_other + as_own) * share), 0.5)
    if chance > BY_CHANCE or any(2 * counts[k, order[k]] <= counts[k].sum() for k in moved):
        return None
    names = e.cases.classes
    swaps = ", ".join(f"{names[k]!r} is read as {names[order[k]]!r}" for k in moved)
    return (
        f"{swaps}: with the classes in that order {left} of {len(e.cases)} images would be "
        f"misread, not {wrong}"
    )


def random_outputs(e: Evidence) -> str | None:
    """Raised if passes of the same batch differ by more than `OUTPUT_TOLERANCE`."""
    if e.probe is None or e.probe.repeat <= OUTPUT_TOLERANCE:
        return None
    climbed = f"the mean of {e.eot} passes" if (e.eot or 1) > 1 else "single passes"
    if (e.eot or 1) == 1 and e.averaging:
        climbed += f" ({' and '.join(sorted(e.averaging))}: the mean of {PASSES})"
    return (
        f"passes of the same {e.probe.cases} images differ by {e.probe.repeat:.2g} of the "
        f"spread of logits; a prediction is the mean of {JUDGING_PASSES} passes, attacks climbed "
        f"{climbed}"
    )


def replaced_gradients(e: Evidence) -> str | None:
    """Raised if gradients pass some part of the model as if it were not there."""
    if not e.replaced:
        return None
    return f"gradients pass {', '.join(e.replaced)} with the backward pass of the identity"


def batch_dependence(e: Evidence) -> str | None:
    """Raised if half the batch gives other logits, beyond what a second pass changes."""
    p = e.probe
    # What a second pass changes does not depend on the other images of the batch.
    if p is None or p.neighbours <= max(OUTPUT_TOLERANCE, 2 * p.repeat):
        return None
    return (
        f"the same images in half the batch give logits that differ by {p.neighbours:.2g} of their "
        f"spread"
    )


def training_mode(e: Evidence) -> str | None:
    """Raised if a part of the model stays in training mode."""
    if e.probe is None or not e.probe.training:
        return None
    return f"these parts stay in training mode after eval(): {', '.join(e.probe.training)}"


def no_gradients(e: Evidence) -> str | None:
    """Raised if no gradient leads through the model."""
    if e.differentiable:
        return None
    names = ", ".join(dict.fromkeys(row.attack for row in e.rows if not row.baseline))
    return f"the model gives no gradients: beside random noise it was attacked by {names or 'none'}"


def probability_outputs(e: Evidence) -> str | None:
    """Raised if the model's outputs are probabilities, or are read as logits and look like them."""
    if e.within_one:
        return f"every output lies between 0 and 1, and the head reads them as logits ({e.head})"
    if e.head != "probabilities":
        return None
    how = "was declared" if e.declared_head == "probabilities" else "was observed"
    return f"the model {how} to give probabilities"


def labels_alone(e: Evidence) -> str | None:
    """Raised if the model answers labels, or scores that are no more than labels."""
    if e.declared_labels:
        return "the model answers the predicted class alone; it is read as a score of 0 or 1"
    if not e.form.labels:
        return None
    return f"the scores of {e.form.images} different images are 0 and 1 alone: labels in disguise"


def scores_cut(e: Evidence) -> str | None:
    """Raised if only the best classes have a score."""
    if e.form.kept is None:
        return None
    return (
        f"on each of {e.form.images} different images {e.form.kept} of {e.form.classes} classes "
        f"have a score, the others have 0"
    )


def scores_rounded(e: Evidence) -> str | None:
    """Raised if all scores are rounded to a few digits."""
    digits = e.form.digits
    if digits is None:
        return None
    what = "probabilities" if e.head == "probabilities" else "scores"
    return (
        f"all {what} of {e.form.images} different images are rounded to {digits} "
        f"{'digit' if digits == 1 else 'digits'} behind the point: a change below "
        f"{10.0**-digits:g} does not show"
    )


def clipped_outputs(e: Evidence) -> str | None:
    """Raised if an output has the same extreme value on many different images.

    Labels, rounded scores and those that are missing tie for another reason. Probabilities at 0 and
    1 do not count.
    """
    same, of = e.clipped
    coarse = e.declared_labels or e.form.labels or e.form.kept or e.form.digits is not None
    if coarse or same < 3 or same < CLIPPED * of:
        return None
    return (
        f"on {same} of {of} different images an output has the same extreme value, to the last bit"
    )
