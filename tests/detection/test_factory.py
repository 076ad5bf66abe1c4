"""A plan's detectors: fields are validated, layers and dropout are checked against the network."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from detectors import LID, BayesianUncertainty, Features, KernelDensity, MaxSoftmax, Reference
from detectors.features import LOGITS
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


MINE = '''
from dataclasses import dataclass
from detectors.contract import LogitDetector

@dataclass(frozen=True)
class MyDetector(LogitDetector):
    """Mine."""
    weight: float = 1.0
    def logit_score(self, logits):
        return -self.weight * logits.amax(1)

class Loose(LogitDetector):
    """No dataclass."""
    def logit_score(self, logits):
        return logits.amax(1)
'''


def test_a_detector_of_the_user_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_detectors.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    ((label, made),) = make_detectors(
        [DetectorSpec(name="mine_detectors:MyDetector", weight=2.0)]
    ).items()
    assert label == "MyDetector" and repr(made) == "MyDetector(weight=2.0)"
    for name, says in (
        ("mine_detectors:Loose", "is not a dataclass"),
        ("mine_detectors:LogitDetector", "does not define logit_score"),
        ("mine_detectors:dataclass", "it is a function, not a class"),
        ("collections:OrderedDict", "is not a subclass of Detector"),
    ):
        with pytest.raises(InputError, match=says):
            make_detectors([DetectorSpec(name=name)])
    with pytest.raises(InputError, match="MyDetector has no field 'wieght'"):
        make_detectors([DetectorSpec(name="mine_detectors:MyDetector", wieght=2)])


def test_of_a_program_the_logits_alone_are_read() -> None:
    """TorchScript shows no layer, which is an error for those that need one and for nobody else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.trace(small(), torch.zeros(1, 1, 28, 28))
    ready = prepare(Classifier(network, channels=1, head="softmax"), "cpu")
    x = torch.rand(4, 1, 28, 28)
    extract = make_extractor(ready, [MaxSoftmax()], x)
    features = extract(x)
    assert extract.layers == (LOGITS,) and torch.equal(features.deep, features.logits)
    with pytest.raises(InputError, match="scripted or exported network shows none"):
        make_extractor(ready, [LID()], x)
    with pytest.raises(InputError, match="lies in a TorchScript program, which shows none"):
        make_extractor(ready, [LID()], x, ["network"])
