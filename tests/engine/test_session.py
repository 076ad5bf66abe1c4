"""What a run refuses before it begins, and heads of every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from attacks import FGSM
from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier
from tests.engine.nets import classifier, phantoms, trained


def test_an_attack_of_another_norm_needs_its_own_eps() -> None:
    with pytest.raises(InputError, match=r"works in Linf, but eps in \[audit\] is in L2"):
        audit(classifier(), phantoms(), attacks=["MarginPGD"], norm="L2", eps=[0.5])


def test_a_bare_network_is_not_guessed_at() -> None:
    with pytest.raises(InputError, match="wrap the network"):
        audit(trained(28), phantoms(), attacks=["FGSM"])  # type: ignore[arg-type]


def test_heads_of_every_size() -> None:
    for outputs in (2, 3, 7, 10, 14):
        torch.manual_seed(outputs)
        net = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, outputs))
        names = tuple(f"class {i}" for i in range(outputs))
        cases = phantoms(30)
        entries = tuple(replace(e, label=i % outputs) for i, e in enumerate(cases.entries))
        cases = replace(cases, classes=names, findings=(), entries=entries)
        report = audit(
            Classifier(net, channels=1), cases, attacks=["PGD", "MarginPGD"], eps=["8/255"]
        )
        assert len(report.clean.scores.recall) == outputs
    for options in ({"head": "sigmoid"}, {"head": "multilabel", "finding": 5}):
        outputs = 1 if options["head"] == "sigmoid" else 14
        net = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, outputs))
        wrapped = Classifier(net, channels=1, **options)  # type: ignore[arg-type]
        report = audit(wrapped, phantoms(30), attacks=["PGD", FGSM()], eps=["8/255"])
        success = report.result("PGD", 8 / 255).scores.success
        assert success is not None and success.value > 0


def test_probabilities_are_recognised_and_flagged() -> None:
    net = nn.Sequential(trained(28), nn.Softmax(1))
    report = audit(Classifier(net, channels=1), phantoms(), attacks=["FGSM"], eps=["1/255"])
    assert report.model.head == "probabilities"
    assert any(flag.name == "probabilities instead of logits" for flag in report.flags)
