"""Makes a plan's detectors, the feature extractor, and fits detectors on a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic
import torch
from torch import Tensor

from detectors import Detector, Extractor, FittedDetector, Reference, find_layers, make_detector
from detectors.features import LOGITS, dropout_layers
from robust.errors import InputError, first_line, type_and_line
from robust.models import Classifier
from robust.models.acceleration.cuda_graphs import Replayed
from robust.plan.code import load_class, names_code
from robust.plan.spec import DetectorSpec, label_of
from robust.records import ReferenceSet


@dataclass(frozen=True)
class DetectorSuite:
    """Detectors fitted on the reference, with the reference itself."""

    fitted: Mapping[str, FittedDetector]
    """By their names in the plan, without heads."""
    reference: Reference
    reference_set: ReferenceSet
    """Description of the reference images, for the report."""
    layers: tuple[str, ...]
    """The layers that are read, from input to output."""


def make_detectors(specs: Sequence[DetectorSpec]) -> dict[str, Detector]:
    """The detectors of a plan by label; InputError for an unknown name, field or value.

    A name `package.module:Class` imports that class, which runs its code.
    """
    made: dict[str, Detector] = {}
    for label, spec in zip(detector_labels(specs), specs, strict=True):
        made[label] = _make_own(spec) if names_code(spec.name) else _make(label, spec)
    return made


def detector_labels(specs: Sequence[DetectorSpec]) -> list[str]:
    """The report's name for each detector of a plan; InputError where two would be the same."""
    labels = [label_of(spec) for spec in specs]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two detectors would be called {label!r}; give one its own label")
    return labels


def _make(label: str, spec: DetectorSpec) -> Detector:
    try:
        detector = make_detector(spec.name)
        for field in spec.fields():
            make_detector(spec.name, **{field: getattr(detector, field, None)})
        kind: Any = pydantic.TypeAdapter(type(detector))
        made: Detector = kind.validate_python(spec.fields())
        return made
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"][:1])
        message = detail["msg"].removeprefix("Value error, ")
        raise InputError(
            f"detector {label}: {place} {message} (got {detail['input']!r})".replace("  ", " ")
        ) from None
    except ValueError as error:
        raise InputError(f"[[detectors]] {error}") from None


def _make_own(spec: DetectorSpec) -> Detector:
    """A detector of the user, whose class is imported by its name."""
    kind = load_class(spec.name, "detector")
    try:
        return make_detector(kind, **spec.fields())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (of foreign code)
        plain = isinstance(error, ValueError | TypeError)
        reason = first_line(error) if plain else type_and_line(error)
        raise InputError(f"detector {spec.name}: {reason}") from None


def make_extractor(
    classifier: Classifier,
    detectors: Sequence[Detector],
    x: Tensor,
    layers: Sequence[str] | None = None,
) -> Extractor:
    """Feature extractor of a prepared classifier; without `layers` they are found on `x`.

    `x (n, c, h, w)` are some images.
    InputError for a layer that does not exist, or where a detector needs dropout and the network
    has none.
    """
    try:
        layers = layers or _visible_layers(classifier, detectors, x)
        extract = Extractor(classifier, layers, Replayed if x.is_cuda else None)
        if any(detector.needs_dropout for detector in detectors):
            dropout_layers(classifier)
        with torch.no_grad():
            extract(x[:1])
        return extract
    except ValueError as error:
        raise InputError(f"[detection] {error}") from None


def _visible_layers(
    classifier: Classifier, detectors: Sequence[Detector], x: Tensor
) -> tuple[str, ...]:
    """The layers to read; the logits alone of a program, where no detector needs more."""
    try:
        return find_layers(classifier, x)
    except ValueError:
        if any(detector.needs_layers for detector in detectors):
            raise
        return (LOGITS,)


def fit_detectors(
    detectors: Mapping[str, Detector], reference: Reference
) -> dict[str, FittedDetector]:
    """Each detector fitted on the reference; InputError where nothing can be learned from it."""
    fitted: dict[str, FittedDetector] = {}
    for label, detector in detectors.items():
        try:
            fitted[label] = detector.fit(reference)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"detector {label}: {first_line(error)}") from None
    return fitted
