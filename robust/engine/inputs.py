"""Opens the inputs that a plan names: classifier, cases, reference split, threshold."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robust.cases import Cases, open_cases
from robust.cases.case import Case, pixel_hash
from robust.engine.batch import first_images, read_batches
from robust.engine.database.clean_outputs import CleanOutputs
from robust.errors import InputError
from robust.models import (
    Adapter,
    Classifier,
    Segmenter,
    choose_device,
    full_precision,
    load_classifier,
    load_segmenter,
    prepare,
)
from robust.models.class_order import match_classes
from robust.models.formats.half_precision import LowPrecisionNetwork
from robust.models.preparation import image_template
from robust.plan.findings import asks_for_several
from robust.plan.model_fields import loader_arguments
from robust.plan.spec import AuditSpec, DataSpec, ModelSpec, Plan, TwinSpec

_log = logging.getLogger(__name__)


def open_reference(spec: DataSpec | None, split: str) -> Cases:
    """The cases that detectors learn from: those of the plan's data in the reference split."""
    if spec is None:
        raise InputError("a plan needs a [data] table")
    try:
        return open_data(spec.model_copy(update={"split": split, "limit": None}))
    except InputError as error:
        raise InputError(f"[detection] reference = {split!r}: {error}") from None


def open_plan(plan: Plan, device: str = "auto") -> tuple[Adapter, Cases]:
    """The model, at the plan's threshold, and the cases that a plan names."""
    if plan.model is None or plan.data is None:
        raise InputError("a plan needs a [model] and a [data] table")
    _require_one_finding(plan.model)
    cases = open_data(plan.data)
    require_one_threshold(plan.audit)
    if cases.outlines is not None:
        return _open_segmenter(plan, plan.model, cases), cases
    classifier = open_model(plan.model, plan.audit.threshold)
    match_classes(classifier, cases.classes)
    set_threshold(classifier, plan, device)
    return classifier, cases


def _open_segmenter(plan: Plan, spec: ModelSpec, cases: Cases) -> Segmenter:
    if spec.task == "classification":
        raise InputError(
            "[model] task is classification, and the data have masks; take it out, or name the "
            "label column: label = ... in [data]"
        )
    if plan.audit.sensitivity is not None:
        raise InputError(
            "[audit] sensitivity is one of classes, and the data have masks; set threshold"
        )
    segmenter = open_segmenter(spec, plan.audit.threshold)
    match_classes(segmenter, cases.classes, cases.outlines)
    return segmenter


def open_segmenter(spec: ModelSpec, threshold: float = 0.5) -> Segmenter:
    """The segmenter that a plan's `[model]` table names, at an operating threshold."""
    return load_segmenter(**loader_arguments(spec, "segmentation"), threshold=threshold)


def require_one_threshold(spec: AuditSpec) -> None:
    """InputError where a plan sets the operating threshold in two ways."""
    if spec.threshold != 0.5 and spec.sensitivity is not None:
        raise InputError("[audit] give either threshold or sensitivity, not both")


def set_threshold(
    classifier: Classifier, plan: Plan, device: str, shared: CleanOutputs | None = None
) -> None:
    """Move a classifier to the sensitivity on val that a plan asks for, where it asks for one.

    `shared` holds outputs that audits of other findings have computed.
    """
    if plan.audit.sensitivity is None or plan.data is None:
        return
    val = open_data(plan.data.model_copy(update={"split": "val", "limit": None}))
    with full_precision():
        classifier.threshold = threshold_for(
            classifier, val, plan.audit.sensitivity, choose_device(device), shared=shared
        )


def open_data(spec: DataSpec) -> Cases:
    """The cases that a plan's `[data]` table names."""
    return open_cases(spec.path, **spec.options())


def open_model(spec: ModelSpec, threshold: float = 0.5) -> Classifier:
    """The classifier that a plan's `[model]` table names, at an operating threshold.

    InputError where it names several findings.
    """
    _require_one_finding(spec)
    fields = loader_arguments(spec, "classification")
    return load_classifier(**fields, threshold=threshold)


def _require_one_finding(spec: ModelSpec) -> None:
    if asks_for_several(spec):
        raise InputError(
            "the plan asks for several findings, which only `robust audit` takes (in Python: "
            "audit_findings); name one: finding = ... in [model]"
        )


def tell_notes(model: Adapter) -> None:
    """Log what the user should know of a model as it was loaded."""
    for note in model.origin.notes:
        _log.warning("robust: the model: %s", note)


def open_twin(spec: TwinSpec, audited: Classifier, classes: Sequence[str]) -> Classifier:
    """The classifier that a plan's `[twin]` table names, at the audited one's threshold.

    `classes` are those of the data, which its outputs are matched with.
    """
    if not spec.sources:
        if spec.precision == "float32":
            raise InputError(
                "[twin] is the audited model itself; name its version (file, architecture, ...), "
                "or a precision: precision = 'float16'"
            )
        with torch.no_grad():  # else the copy of a scripted module has no leaves
            twin = copy.deepcopy(audited)
        twin.origin = dataclasses.replace(audited.origin, notes=())  # said of the model itself
    else:
        fields = loader_arguments(spec, "classification")
        if spec.file is not None or spec.factory is not None:
            shared = audited.preprocessing()
            fields |= {n: v for n, v in shared.items() if n not in spec.model_fields_set}
        try:
            _require_one_finding(spec)
            twin = load_classifier(**fields)
            match_classes(twin, classes)
        except InputError as error:
            raise InputError(f"[twin]: {error}") from None
    twin.threshold = audited.threshold
    if spec.precision != "float32":
        twin.straight_through = ()
        twin.network = LowPrecisionNetwork(twin.network, getattr(torch, spec.precision))
        twin.origin = dataclasses.replace(
            twin.origin,
            format=f"{twin.origin.format}, at {spec.precision}",
            native=None,
            differentiable=False,  # rounded: its gradients are not used, nor could they be proven
        )
    return twin


@torch.no_grad()
def threshold_for(
    classifier: Classifier,
    cases: Cases,
    sensitivity: float,
    device: torch.device | str = "cpu",
    batch: int = 64,
    shared: CleanOutputs | None = None,
) -> float:
    """The threshold nearest to the finding at which this share of the findings is detected.

    `classifier` is at threshold 0.5 and has two classes; the finding is that of `cases`, the second
    class where they name none. The threshold, of the second class's probability, lies halfway
    between two that occur. `shared` holds outputs that audits of other findings have computed.
    Raises InputError where `cases` hold no finding.
    """
    (finding,) = cases.findings or (1,)
    findings = [i for i, entry in enumerate(cases.entries) if entry.label == finding]
    if not findings:
        raise InputError(
            f"the {cases.split} split has no case with a finding to set a sensitivity on"
        )
    ready = prepare(classifier, device, images=first_images(cases, findings, batch))
    probabilities: list[float] = []
    for _, read, x in read_batches(
        cases,
        findings,
        image_template(ready),
        size=batch,
        remedy="; the threshold needs every image of the val split",
    ):
        logits = ready(x) if shared is None else _shared_logits(ready, read, x, shared)
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


def _shared_logits(
    ready: Classifier, cases: Sequence[Case], x: Tensor, shared: CleanOutputs
) -> Tensor:
    outputs = shared.get([pixel_hash(case.image) for case in cases], lambda: ready.outputs(x))
    return ready.from_outputs(outputs.to(x.device))
