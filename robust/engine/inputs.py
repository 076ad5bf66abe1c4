"""Opens the inputs that a plan names: classifier, cases, reference split, threshold."""

from __future__ import annotations

import numpy as np
import torch

from robust.cases import Cases, open_cases
from robust.engine.batch import first_images, read_batches
from robust.errors import InputError
from robust.models import Classifier, choose_device, full_precision, load_classifier, prepare
from robust.models.preparation import image_template
from robust.plan.spec import DataSpec, ModelSpec, Plan


def open_reference(spec: DataSpec | None, split: str) -> Cases:
    """The cases that detectors learn from: those of the plan's data in the reference split."""
    if spec is None:
        raise InputError("a plan needs a [data] table")
    try:
        return open_data(spec.model_copy(update={"split": split, "limit": None}))
    except InputError as error:
        raise InputError(f"[detection] reference = {split!r}: {error}") from None


def open_plan(plan: Plan, device: str = "auto") -> tuple[Classifier, Cases]:
    """The classifier, at the plan's threshold, and the cases that a plan names."""
    if plan.model is None or plan.data is None:
        raise InputError("a plan needs a [model] and a [data] table")
    cases = open_data(plan.data)
    if plan.audit.threshold != 0.5 and plan.audit.sensitivity is not None:
        raise InputError("[audit] give either threshold or sensitivity, not both")
    classifier = open_model(plan.model, plan.audit.threshold)
    if plan.audit.sensitivity is not None:
        val = open_data(plan.data.model_copy(update={"split": "val", "limit": None}))
        with full_precision():
            classifier.threshold = threshold_for(
                classifier, val, plan.audit.sensitivity, choose_device(device)
            )
    return classifier, cases


def open_data(spec: DataSpec) -> Cases:
    """The cases that a plan's `[data]` table names."""
    return open_cases(spec.path, **spec.options())


def open_model(spec: ModelSpec, threshold: float = 0.5) -> Classifier:
    """The classifier that a plan's `[model]` table names, at an operating threshold."""
    return load_classifier(**spec.model_dump(), threshold=threshold)


@torch.no_grad()
def threshold_for(
    classifier: Classifier,
    cases: Cases,
    sensitivity: float,
    device: torch.device | str = "cpu",
    batch: int = 64,
) -> float:
    """The threshold nearest to the finding at which this share of the findings is detected.

    `classifier` is at threshold 0.5 and has two classes; the finding is that of `cases`, the second
    class where they name none. The threshold, of the second class's probability, lies halfway
    between two that occur. Raises InputError where `cases` hold no finding.
    """
    (finding,) = cases.findings or (1,)
    findings = [i for i, entry in enumerate(cases.entries) if entry.label == finding]
    if not findings:
        raise InputError(
            f"the {cases.split} split has no case with a finding to set a sensitivity on"
        )
    ready = prepare(classifier, device, images=first_images(cases, findings, batch))
    probabilities: list[float] = []
    for _, _, x in read_batches(
        cases,
        findings,
        image_template(ready),
        size=batch,
        remedy="; the threshold needs every image of the val split",
    ):
        logits = ready(x)
        if logits.shape[1] != 2:
            raise InputError("a sensitivity can be set for two classes only; set threshold")
        probabilities.extend(logits.double().softmax(1)[:, finding].tolist())
    ordered = np.sort(probabilities)[::-1]
    needed = int(np.ceil(sensitivity * len(ordered) - 1e-9))
    lowest = ordered[needed - 1]
    below = ordered[ordered < lowest]
    threshold = float((lowest + (below[0] if len(below) else 0.0)) / 2)
    if not 0 < threshold < 1:
        raise InputError(f"no threshold reaches a sensitivity of {sensitivity} on val")
    return threshold if finding == 1 else 1 - threshold
