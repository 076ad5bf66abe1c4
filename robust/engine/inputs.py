"""Opens what a plan names: classifier, cases, reference split, operating threshold."""

from __future__ import annotations

import numpy as np
import torch

from robust.cases import Cases, open_cases
from robust.errors import InputError
from robust.models import Classifier, choose_device, full_precision, load_classifier, prepare
from robust.models.classifier import settle_head
from robust.plan.spec import DataSpec, ModelSpec, Plan


def open_reference(plan: Plan) -> Cases:
    """The cases that detectors learn from: those of the plan's data in the reference split."""
    if plan.data is None:
        raise InputError("a plan needs a [data] table")
    own = {"split": plan.detection.reference, "limit": None}
    try:
        return _cases(plan.data.model_copy(update=own))
    except InputError as error:
        raise InputError(f"[detection] reference = {own['split']!r}: {error}") from None


def open_plan(plan: Plan, device: str = "auto") -> tuple[Classifier, Cases]:
    """The classifier, at the plan's threshold, and the cases that a plan names."""
    if plan.model is None or plan.data is None:
        raise InputError("a plan needs a [model] and a [data] table")
    cases = _cases(plan.data)
    if plan.audit.threshold != 0.5 and plan.audit.sensitivity is not None:
        raise InputError("[audit] give either threshold or sensitivity, not both")
    classifier = _classifier(plan.model, plan.audit.threshold)
    if plan.audit.sensitivity is not None:
        val = _cases(plan.data.model_copy(update={"split": "val", "limit": None}))
        with full_precision():
            ready = prepare(classifier, choose_device(device))
            classifier.threshold = threshold_for(ready, val, plan.audit.sensitivity)
    return classifier, cases


def _cases(spec: DataSpec) -> Cases:
    return open_cases(spec.path, **spec.options())


def _classifier(spec: ModelSpec, threshold: float) -> Classifier:
    return load_classifier(**spec.model_dump(), threshold=threshold)


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
