"""A plan's detectors: fields are validated, layers and dropout are checked against the network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detectors import LID, BayesianUncertainty, Features, KernelDensity, Reference
from robust.detection.factory import fit_detectors, make_detectors, make_extractor
from robust.errors import InputError
from robust.models import Classifier, prepare
from robust.plan.spec import DetectorSpec
from tests.engine.nets import small


def test_fields_are_those_of_the_detector_and_labels_are_unique() -> None:
    specs = [DetectorSpec(name="LID", k=7), DetectorSpec(name="LID", label="wide", k=9)]
    assert make_detectors(specs) == {"LID": LID(k=7), "wide": LID(k=9)}
    for spec, says in (
        (DetectorSpec(name="LID", k="many"), r"detector LID: k .*\(got 'many'\)"),
        (DetectorSpec(name="Mahalanobis", step=2.0), "step must be 'auto' or lie between 0 and 1"),
        (DetectorSpec(name="LID", kk=3), "LID has no field 'kk'"),
    ):
        with pytest.raises(InputError, match=says):
            make_detectors([spec])
    with pytest.raises(InputError, match="two detectors would be called 'LID'"):
        make_detectors([DetectorSpec(name="LID"), DetectorSpec(name="LID")])


def test_layers_and_dropout_are_checked_against_the_network() -> None:
    x = torch.rand(2, 1, 28, 28)
    ready = prepare(Classifier(small(), channels=1), images=x)
    assert make_extractor(ready, [KernelDensity()], x).layers[-1] == "network.5:input"
    assert make_extractor(ready, [], x, ["network.1"]).layers == ("network.1",)
    with pytest.raises(InputError, match=r"\[detection\] no layer 'network.9'"):
        make_extractor(ready, [], x, ["network.9"])
    with pytest.raises(InputError, match=r"\[detection\] .*needs a network with dropout"):
        make_extractor(ready, [BayesianUncertainty()], x)
    with_dropout = prepare(
        Classifier(nn.Sequential(nn.Dropout(0.1), small()), channels=1), images=x
    )
    make_extractor(with_dropout, [BayesianUncertainty()], x)


def test_what_nothing_can_be_learned_from_names_the_detector() -> None:
    one_class = Reference(Features(torch.zeros(4, 2), {"deep": torch.rand(4, 3)}), torch.zeros(4))
    with pytest.raises(InputError, match="detector density: a reference needs 2 classes or more"):
        fit_detectors({"density": KernelDensity()}, one_class)
