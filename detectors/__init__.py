"""Feature-space detectors of adversarial images: one idea, one file, one paper.

A detector is added in one file and one line here: the import is the registration.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from detectors._registry import nearest_name, registered_detectors, require_detector_class
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
from detectors.manifold.manifold_distance import ManifoldDistance as ManifoldDistance
from detectors.manifold.reconstruction import Reconstruction as Reconstruction
from detectors.max_softmax import MaxSoftmax as MaxSoftmax
from detectors.quantized_features import QuantizedFeatures as QuantizedFeatures

DETECTORS: dict[str, type[Detector]] = registered_detectors(globals())
"""Every detector by name."""


def make_detector(what: str | type[Any], **fields: Any) -> Detector:
    """The detector of that name or class with those fields.

    Raises ValueError for an unknown name or field, with the nearest that exists, and TypeError for
    a class that breaks the contract.
    """
    kind: Any = DETECTORS.get(what) if isinstance(what, str) else what
    if kind is None:
        raise ValueError(f"unknown detector {what!r}; {nearest_name(str(what), list(DETECTORS))}")
    if not isinstance(what, str):
        require_detector_class(kind)
    name = kind.__name__
    names = [field.name for field in dataclasses.fields(kind)]
    for field in fields:
        if field not in names:
            raise ValueError(f"{name} has no field {field!r}; {nearest_name(field, names)}")
    detector: Detector = kind(**fields)
    return detector
