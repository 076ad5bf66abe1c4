"""Feature-space detectors of adversarial images: one idea, one file, one paper.

A detector is added in one file and one line here: the import is the registration.
"""

from __future__ import annotations

from detectors.base import Detector as Detector
from detectors.base import Pairs as Pairs
from detectors.base import Reference as Reference
from detectors.bayesian_uncertainty import BayesianUncertainty as BayesianUncertainty
from detectors.deep_features import DeepFeatures as DeepFeatures
from detectors.energy import Energy as Energy
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
