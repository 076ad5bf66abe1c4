"""Detectors are found by name, and a class that breaks the contract is named with what it lacks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import Tensor

from detectors import DETECTORS, LID, FeatureDetector, LogitDetector, Reference, make_detector
from detectors._registry import registered_detectors, require_detector_class


def test_detectors_are_made_by_name() -> None:
    assert make_detector("LID", k=5) == LID(k=5)
    with pytest.raises(ValueError, match="did you mean Mahalanobis"):
        make_detector("Mahalanobi")
    with pytest.raises(ValueError, match="LID has no field 'batches'; did you mean batch"):
        make_detector("LID", batches=5)


def test_one_file_and_one_line_register_a_detector() -> None:
    @dataclass(frozen=True)
    class Largest(LogitDetector):
        """Minus the largest logit."""

        def logit_score(self, logits: Tensor) -> Tensor:
            return -logits.amax(1)

    Largest.__module__ = "detectors.largest"
    found = registered_detectors({"Largest": Largest, "Reference": Reference, "x": 3})
    assert found == {"Largest": Largest}


def test_a_class_that_breaks_the_contract_is_refused_with_what_it_lacks() -> None:
    class Foreign:
        """No detector at all."""

    @dataclass(frozen=True)
    class Unfinished(LogitDetector):
        """Its score is missing."""

    class Undecorated(LogitDetector):
        """No dataclass."""

        def logit_score(self, logits: Tensor) -> Tensor:
            return -logits.amax(1)

    @dataclass
    class Mutable(LogitDetector):
        """Not frozen."""

        def logit_score(self, logits: Tensor) -> Tensor:
            return -logits.amax(1)

    for wrong, says in (
        (Foreign, "Foreign is not a subclass of Detector"),
        (Unfinished, "Unfinished does not define logit_score"),
        (FeatureDetector, "does not define combine, fit_head, learn, statistics"),
        (Undecorated, "Undecorated is not a dataclass"),
        (Mutable, "Mutable is not frozen"),
    ):
        with pytest.raises(TypeError, match=says):
            require_detector_class(wrong)


def test_every_detector_has_a_summary_and_says_more() -> None:
    for name, kind in DETECTORS.items():
        summary, _, body = (kind.__doc__ or "").partition("\n\n")
        assert summary.endswith(".") and body.strip(), name
