"""Feature-space detectors of adversarial images: one idea, one file, one paper.

A detector is added in one file and one line here: the import is the registration.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from detectors.bayesian_uncertainty import BayesianUncertainty as BayesianUncertainty
from detectors.contract import Detector as Detector
from detectors.contract import Pairs as Pairs
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

DETECTORS: dict[str, type[Detector]] = {
    name: value
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, Detector) and value is not Detector
}
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
