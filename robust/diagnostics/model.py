"""Doubts about the classifier: whether it is what was meant, and says the same when asked twice."""

from __future__ import annotations

from collections import Counter

from robust.diagnostics.evidence import Evidence
from robust.records import Flag

BELOW = 0.02
"""The upper end of the interval must lie this far below a claim: claims are rounded figures."""
DIFFERENT = 1e-3
"""Of the spread of logits: a hundred times what the order of additions does at float32."""
CLIPPED = 0.05


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


def below_the_claim(e: Evidence) -> Flag | None:
    claims = (
        ("accuracy", e.claim.accuracy, e.clean.scores.accuracy),
        ("AUC", e.claim.auc, e.clean.scores.auc),
    )
    missed = [
        f"{name} is {seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}], {claimed:.3f} was claimed"
        for name, claimed, seen in claims
        if claimed is not None and seen is not None and seen.high < claimed - BELOW
    ]
    if not missed:
        return None
    return Flag(
        "clean accuracy below the claim",
        f"on clean images {' and '.join(missed)} by {e.claim.by}",
        "images reach the model otherwise than in training, or the data differ: robustness is then "
        "that of another model than the one that was praised",
        "check mean, std, size, channels and the order of the classes against the training code",
    )


def random_outputs(e: Evidence) -> Flag | None:
    if e.probe is None or e.probe.repeat <= DIFFERENT:
        return None
    return Flag(
        "random outputs",
        f"two passes of the same {e.probe.cases} images differ by {e.probe.repeat:.2g} of the "
        f"spread of logits",
        "each gradient belongs to another network: attacks look weaker, and a case may count as "
        "felled or standing by chance",
        "switch dropout and random preprocessing off, or attack the average of many passes",
    )


def mixed_rows(e: Evidence) -> Flag | None:
    p = e.probe
    # What a second pass alone changes is no matter of the neighbours.
    if p is None or p.neighbours <= max(DIFFERENT, 2 * p.repeat):
        return None
    return Flag(
        "outputs depend on the batch",
        f"the same images in half the batch give logits that differ by {p.neighbours:.2g} of their "
        f"spread",
        "a batch normalisation in training mode, or some other layer, mixes the images: what an "
        "attack finds in one batch need not hold in another, nor for one patient alone",
        "put every normalisation into evaluation mode, with the statistics of training",
    )


def training_mode(e: Evidence) -> Flag | None:
    if e.probe is None or not e.probe.training:
        return None
    return Flag(
        "parts in training mode",
        f"told to evaluate, these stay in training mode: {', '.join(e.probe.training)}",
        "dropout, normalisation or augmentation of training may still be at work",
        "let train(False) reach every part of the model",
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


def clipped_outputs(e: Evidence) -> Flag | None:
    same, of = e.clipped
    if e.head == "probabilities" or same < 3 or same < CLIPPED * of:
        return None
    return Flag(
        "clipped outputs",
        f"on {same} of {of} different images an output has one and the same extreme value, to the "
        f"last bit",
        "beyond a clip the gradient is zero and ranks tie: attacks that follow it stand still",
        "hand over the model without what bounds its outputs",
    )
