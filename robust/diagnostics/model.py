"""Warnings about the classifier: clean accuracy, determinism, training mode, form of its outputs.

Each check returns what it observed where its warning is raised, else None; `FLAG_TEXTS` says why
the warning matters and what to do.
"""

from __future__ import annotations

from collections import Counter

from robust.diagnostics.evidence import Evidence
from robust.records.estimate import interval_text
from robust.units import percent_text

CLAIM_TOLERANCE = 0.02
"""How far the upper end of the interval must lie below a claim: claims are rounded figures."""
OUTPUT_TOLERANCE = 1e-3
"""Largest difference between two passes, as a share of the spread of logits: a hundred times what
the order of additions causes at float32."""
CLIPPED = 0.05
"""Smallest share of different images with the same extreme output."""


def weak_clean(e: Evidence) -> str | None:
    """Raised if clean accuracy is not above the share of the most frequent class."""
    accuracy = e.clean.scores.accuracy
    counts = Counter(entry.label for entry in e.cases.entries)
    label, most = counts.most_common(1)[0]
    share = most / len(e.cases)
    if accuracy is None or len(counts) < 2 or accuracy.value > share:
        return None
    return (
        f"{percent_text(accuracy.value)} correct on clean images; always predicting "
        f"{e.cases.classes[label]!r} gives {percent_text(share)}"
    )


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


def random_outputs(e: Evidence) -> str | None:
    """Raised if two passes of the same batch differ by more than `OUTPUT_TOLERANCE`."""
    if e.probe is None or e.probe.repeat <= OUTPUT_TOLERANCE:
        return None
    return (
        f"two passes of the same {e.probe.cases} images differ by {e.probe.repeat:.2g} of the "
        f"spread of logits"
    )


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


def probability_outputs(e: Evidence) -> str | None:
    """Raised if the model's outputs are probabilities."""
    if e.head != "probabilities":
        return None
    how = "was declared" if e.declared_head == "probabilities" else "was observed"
    return f"the model {how} to give probabilities"


def clipped_outputs(e: Evidence) -> str | None:
    """Raised if an output has the same extreme value on many different images."""
    same, of = e.clipped
    if e.head == "probabilities" or same < 3 or same < CLIPPED * of:
        return None
    return (
        f"on {same} of {of} different images an output has the same extreme value, to the last bit"
    )
