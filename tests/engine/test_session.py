"""What a run refuses before it begins, and heads of every kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import FGSM
from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier
from robust.models.formats.contract import ModelOrigin
from robust.report.text.provenance import provenance_facts
from tests.engine.nets import BRIEF, classifier, phantoms, trained


def test_an_attack_of_another_norm_needs_its_own_eps() -> None:
    with pytest.raises(InputError, match=r"works in Linf, but eps in \[audit\] is in L2"):
        audit(classifier(), phantoms(), attacks=["MarginPGD"], norm="L2", eps=[0.5])


def test_a_bare_network_is_not_guessed_at() -> None:
    with pytest.raises(InputError, match="is no classifier"):
        audit(trained(28), phantoms(), attacks=["FGSM"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "probe"),
    [(2, False), (3, True), (14, False)]
    + [pytest.param(n, True, marks=pytest.mark.slow) for n in (2, 7, 10, 14)],
)
def test_heads_of_every_size(outputs: int, probe: bool) -> None:
    torch.manual_seed(outputs)
    net = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, outputs))
    names = tuple(f"class {i}" for i in range(outputs))
    cases = phantoms(30)
    entries = tuple(replace(e, label=i % outputs) for i, e in enumerate(cases.entries))
    cases = replace(cases, classes=names, findings=(), entries=entries)
    report = audit(
        Classifier(net, channels=1),
        cases,
        attacks=["PGD", "MarginPGD"],
        eps=["8/255"],
        **{**BRIEF, "doubts": {"probe": probe}},
    )
    assert len(report.clean.scores.recall) == outputs


def test_heads_of_findings() -> None:
    for options in ({"head": "sigmoid"}, {"head": "multilabel", "finding": 5}):
        outputs = 1 if options["head"] == "sigmoid" else 14
        torch.manual_seed(14)
        net = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, outputs))
        wrapped = Classifier(net, channels=1, **options)  # type: ignore[arg-type]
        settings = {**BRIEF, "doubts": {"probe": outputs == 14}}
        report = audit(wrapped, phantoms(30), attacks=["PGD", FGSM()], eps=["8/255"], **settings)
        success = report.result("PGD", 8 / 255).scores.success
        assert success is not None and success.value > 0


class Findings(nn.Module):
    """Fourteen findings, of which the sixth is the trained network's."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.net, self.end = trained(28), end

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        found: Tensor = self.end((z[:, 1:] - z[:, :1]).expand(-1, 14))
        return found


def test_probabilities_of_findings_are_read_as_such() -> None:
    """The same numbers as of the logits, and a warning."""
    found = {}
    for end in (nn.Identity(), nn.Sigmoid()):
        made = Classifier(Findings(end), channels=1, finding=6)
        found[end] = audit(made, phantoms(30), attacks=["FGSM"], eps=["1/255"], **BRIEF)
    logits, probabilities = found.values()
    assert (logits.model.head, probabilities.model.head) == ("multilabel", "probabilities")
    for rows in zip((logits.clean, *logits.rows), (probabilities.clean, *probabilities.rows)):
        assert rows[0].scores.accuracy == rows[1].scores.accuracy
        assert rows[0].scores.specificity == rows[1].scores.specificity
    name = "probabilities instead of logits"
    assert [any(flag.name == name for flag in one.flags) for one in found.values()] == [False, True]


def test_probabilities_declared_as_logits_are_doubted() -> None:
    made = Classifier(Findings(nn.Sigmoid()), channels=1, finding=6, head="multilabel")
    report = audit(made, phantoms(30), attacks=["FGSM"], eps=["1/255"], threshold=0.6, **BRIEF)
    assert any(
        flag.name == "probabilities instead of logits" and "reads them as logits" in flag.observed
        for flag in report.flags
    )


def test_what_is_known_of_the_model_reaches_user_and_report() -> None:
    said: list[str] = []
    origin = ModelOrigin("torch weights", notes=("one of two sets of weights was taken",))
    made = Classifier(trained(28), channels=1, head="softmax", origin=origin)
    options: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["1/255"], **BRIEF}
    report = audit(made, phantoms(30), announce=said.append, **options)
    assert "Model: one of two sets of weights was taken" in "\n".join(said).splitlines()
    assert (report.model.format, report.model.notes) == (origin.format, origin.notes)
    facts = dict(provenance_facts(report))
    assert (
        facts["Model format"] == "torch weights" and facts["Notes on the model"] == origin.notes[0]
    )


def test_probabilities_are_recognised_and_flagged() -> None:
    net = nn.Sequential(trained(28), nn.Softmax(1))
    options: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["1/255"], **BRIEF}
    report = audit(Classifier(net, channels=1), phantoms(), **options)
    assert report.model.head == "probabilities"
    assert any(flag.name == "probabilities instead of logits" for flag in report.flags)
