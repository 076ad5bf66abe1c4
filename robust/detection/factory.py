"""A plan's detectors, and images to the features that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
import torch
from torch import Tensor

from detectors import (
    Detector,
    Extractor,
    FeatureReader,
    Features,
    Reference,
    find_layers,
    make_detector,
)
from robust.cases.case import Cases
from robust.engine.batch import read_batches
from robust.errors import InputError, first_line
from robust.models import Classifier
from robust.plan.spec import DetectionSpec, DetectorSpec


def make_detectors(specs: Sequence[DetectorSpec]) -> dict[str, Detector]:
    """The detectors of a plan by label; InputError for an unknown name, field or value."""
    made: dict[str, Detector] = {}
    for spec in specs:
        label = spec.label or spec.name
        if label in made:
            raise InputError(f"two detectors would be called {label!r}; give one its own label")
        try:
            detector = make_detector(spec.name)
            for field in spec.fields():
                make_detector(spec.name, **{field: getattr(detector, field, None)})
            kind: Any = pydantic.TypeAdapter(type(detector))
            made[label] = kind.validate_python(spec.fields())
        except pydantic.ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(str(part) for part in detail["loc"][:1])
            message = detail["msg"].removeprefix("Value error, ")
            raise InputError(
                f"detector {label}: {place} {message} (got {detail['input']!r})".replace("  ", " ")
            ) from None
        except ValueError as error:
            raise InputError(f"[[detectors]] {error}") from None
    return made


def make_feature_reader(
    classifier: Classifier,
    detectors: Mapping[str, Detector],
    spec: DetectionSpec,
    x: Tensor,
    seed: int = 0,
) -> FeatureReader:
    """What reads a prepared classifier for these detectors; layers are found on `x (n, c, h, w)`.

    InputError for a layer that does not exist, or for dropout passes of a network without dropout.
    """
    try:
        extract = Extractor(classifier, spec.layers or find_layers(classifier, x))
        look = FeatureReader(extract, detectors.values(), passes=spec.passes, seed=seed)
        with torch.no_grad():
            look(x[:1])
        return look
    except ValueError as error:
        raise InputError(f"[detection] {error}") from None


def fit_statistics(detectors: Mapping[str, Detector], reference: Reference) -> None:
    """Each learns from the reference; InputError for what none can learn from."""
    for label, detector in detectors.items():
        try:
            detector.learned = detector.learn(reference)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"detector {label}: {first_line(error)}") from None


def read_features(look: FeatureReader, cases: Cases, rows: Sequence[int], like: Tensor) -> Features:
    """The features of these rows, in their order."""
    parts, order = [], []
    with torch.no_grad():
        for found, _, x in read_batches(cases, rows, like):
            parts.append(look(x))
            order += found
    place = {row: i for i, row in enumerate(order)}
    return Features.cat(parts).take(torch.tensor([place[row] for row in rows]))
