"""Feature-space detectors of adversarial images: one idea, one file, one paper.

A detector is added in one file and one line here: the import is the registration.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from detectors.bayesian_uncertainty import BayesianUncertainty as BayesianUncertainty
from detectors.contract import Detector as Detector
from detectors.contract import FeatureDetector as FeatureDetector
from detectors.contract import FittedDetector as FittedDetector
from detectors.contract import LogitDetector as LogitDetector
from detectors.contract import Reference as Reference
from detectors.deep_features import DeepFeatures as DeepFeatures
from detectors.energy import Energy as Energy
from detectors.extraction import FeatureReader as FeatureReader
from detectors.features import Extractor as Extractor
from detectors.features import Features as Features
from detectors.features import find_layers as find_layers
from detectors.kernel_density import KernelDensity as KernelDensity
from detectors.lid import LID as LID
from detectors.mahalanobis import Mahalanobis as Mahalanobis
from detectors.max_softmax import MaxSoftmax as MaxSoftmax
from detectors.quantized_features import QuantizedFeatures as QuantizedFeatures

_NO_DETECTORS = ("detectors.contract", "detectors.extraction", "detectors.features")
"""The modules whose classes are no detectors."""
_DECLARED = ("has_head", "needs_head", "differentiable")


def registered(classes: Iterable[type]) -> dict[str, type[Detector]]:
    """These detectors by name; TypeError for a class that does not fulfil the contract."""
    found: dict[str, type[Detector]] = {}
    for kind in classes:
        if problem := _contract_problem(kind):
            raise TypeError(f"{kind.__module__}.{kind.__name__} {problem}")
        found[kind.__name__] = kind
    return found


def _contract_problem(kind: type) -> str:
    """What a class lacks to be a detector, or nothing."""
    if not issubclass(kind, Detector):
        return "is not a subclass of Detector (detectors/contract.py)"
    if missing := sorted(kind.__abstractmethods__):
        return f"does not define {', '.join(missing)}"
    if undeclared := [name for name in _DECLARED if not hasattr(kind, name)]:
        return f"does not say {', '.join(undeclared)}: set it in the class"
    if not dataclasses.is_dataclass(kind) or "__dataclass_params__" not in vars(kind):
        return "is not a dataclass: decorate it with @dataclass(frozen=True)"
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "is not frozen: decorate it with @dataclass(frozen=True)"
    if not kind.__doc__:
        return "has no docstring: state its idea and its score"
    return ""


DETECTORS: dict[str, type[Detector]] = registered(
    value
    for value in list(globals().values())
    if inspect.isclass(value)
    and value.__module__.startswith(f"{__name__}.")
    and value.__module__ not in _NO_DETECTORS
)
"""Every detector by name."""


def make_detector(name: str, **fields: Any) -> Detector:
    """The detector of that name with those fields.

    Raises ValueError for an unknown name or field, with the nearest that exists.
    """
    kind: Any = DETECTORS.get(name)
    if kind is None:
        raise ValueError(f"unknown detector {name!r}; {_nearest(name, list(DETECTORS))}")
    known = [field.name for field in dataclasses.fields(kind)]
    for field in fields:
        if field not in known:
            raise ValueError(f"{name} has no field {field!r}; {_nearest(field, known)}")
    made: Detector = kind(**fields)
    return made


def _nearest(word: str, known: list[str]) -> str:
    by_lower = {entry.lower(): entry for entry in known}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    guess = f"did you mean {by_lower[close[0]]}? " if close else ""
    return f"{guess}there are: {', '.join(known) or 'none'}"
