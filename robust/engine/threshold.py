"""The operating threshold that reaches a wanted sensitivity on the val split."""

from __future__ import annotations

import numpy as np
import torch

from robust.cases.case import Cases
from robust.errors import InputError
from robust.models.classifier import Classifier, settle_head


@torch.no_grad()
def threshold_for(
    classifier: Classifier, cases: Cases, sensitivity: float, batch: int = 64
) -> float:
    """The largest threshold at which at least this share of the findings in `cases` is called.

    `classifier` is a prepared one at threshold 0.5 with two classes; the threshold lies halfway
    between two probabilities that occur. Raises InputError where `cases` hold no finding.
    """
    probabilities = []
    shape: tuple[int, ...] = ()
    waiting: list[torch.Tensor] = []

    def flush() -> None:
        if waiting:
            x = torch.stack(waiting).to(classifier.mean.device)
            settle_head(classifier, x)
            logits = classifier(x)
            if logits.shape[1] != 2:
                raise InputError("a sensitivity can be set for two classes only; set threshold")
            probabilities.extend(logits.double().softmax(1)[:, 1].tolist())
            waiting.clear()

    findings = [i for i, entry in enumerate(cases.entries) if entry.label == 1]
    if not findings:
        raise InputError(f"the {cases.split} split holds no finding to reach a sensitivity on")
    for case in cases.stream(findings):
        if isinstance(case, InputError):
            raise InputError(f"{case}; the threshold needs every image of the val split")
        if tuple(case.image.shape) != shape or len(waiting) == batch:
            flush()
            shape = tuple(case.image.shape)
        waiting.append(case.image)
    flush()
    ordered = np.sort(probabilities)[::-1]
    needed = int(np.ceil(sensitivity * len(ordered) - 1e-9))
    lowest = ordered[needed - 1]
    below = ordered[ordered < lowest]
    threshold = float((lowest + (below[0] if len(below) else 0.0)) / 2)
    if not 0 < threshold < 1:
        raise InputError(f"no threshold reaches a sensitivity of {sensitivity} on val")
    return threshold
