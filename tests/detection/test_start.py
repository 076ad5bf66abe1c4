"""What cannot be evaluated is refused before any attack runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from detectors import Reconstruction
from robust.auditing import audit, audit_plan
from robust.cases import Cases
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan
from tests.detection.runs import cases, small
from tests.engine.nets import trained


def test_what_cannot_be_judged_is_refused_before_any_attack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an attack ran")

    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", forbidden)
    reference = cases(40, "train")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"reference": None}, "detectors need reference"),
        (
            {"reference": cases()},
            "are in both the split 'test' that detectors learn from and the audited",
        ),
        ({"attacks": ["PGD"], "cells": "curve"}, "set cells = 'exact'"),
        ({"detection": {"layers": ["network.9"]}}, "no layer 'network.9'; nearest: network"),
        ({"detection": {"fit_on": ["PDG"]}}, "name no attack of this plan"),
        ({"detection": {"fit_eps": ["1/255"]}}, "name no attack of this plan"),
        ({"detection": {"casess": 100}}, "unknown entry detection.casess; did you mean cases"),
        ({"detectors": ["Mahalanobi"]}, "did you mean Mahalanobis"),
        ({"detectors": ["LID", "LID"]}, "two detectors would be called 'LID'"),
        ({"detectors": ["BayesianUncertainty"]}, "needs a network with dropout"),
        ({"detectors": ["LID"], "reference": cases(16, "train")}, "k must be at least 2 and below"),
        ({"reference": one_class()}, "learn from holds no case of"),
        (
            {"reference": dataclasses.replace(cases(40, "train"), classes=("a", "b"))},
            "must be the same",
        ),
    ]
    for options, says in wrong:
        with pytest.raises(InputError, match=says):
            small(count=40, **{"reference": reference, **options})
    few = cases(12)
    with pytest.raises(InputError, match="10 groups or more"):
        audit(
            Classifier(trained(28), channels=1), few, attacks=["FGSM"], detectors=["MaxSoftmax"],
            reference=cases(40, "train"),
        )  # fmt: skip


def one_class() -> Cases:
    train = cases(40, "train")
    return train.select([i for i, entry in enumerate(train.entries) if entry.label == 0])


def test_a_split_that_is_not_there_is_named() -> None:
    plan = make_plan(
        {
            "model": {"factory": "tests.engine.nets:small", "channels": 1},
            "data": {"path": "phantom:chest_xray", "count": 40, "pixels": 28},
            "detectors": [{"name": "MaxSoftmax"}],
            "detection": {"reference": "training"},
        }
    )
    with pytest.raises(InputError, match=r"\[detection\] reference = 'training'.*train"):
        audit_plan(plan)


@pytest.mark.slow
def test_a_detector_that_redraws_images_is_judged_and_attacked_like_any_other() -> None:
    """It reads the reference's images, and attackers who know it follow its gradient."""
    redraws = Reconstruction(components=5)
    settings = {"adaptive": 30, "adaptive_steps": 5}
    found = small(attacks=["PGD"], detectors=[redraws], detection=settings).detection
    assert found is not None and set(found.detectors) == {"Reconstruction"}
    assert all(one.fitted_on is None and one.auc for one in found.detector_scores)
    (known,) = found.adaptive
    assert known.surrogate_agreement is None
    assert known.paired_auc is not None and known.static_paired_auc is not None
    assert known.paired_auc.value < known.static_paired_auc.value
