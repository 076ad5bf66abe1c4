"""Audits of a model without gradients: what runs, what is refused, and that it is never robust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, Square
from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier
from robust.models.formats.contract import ModelOrigin
from robust.models.gradients.gradient_free import fitting_plan
from robust.plan.load import make_plan
from robust.records import Report
from tests.engine.nets import phantoms, trained

NOTE = "Only attacks without gradients can run: the graph is quantised."


class Cut(nn.Module):
    """A network behind a runtime of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trained(28)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]


def gradient_free() -> Classifier:
    origin = ModelOrigin("ONNX, opset 18, run by onnxruntime", differentiable=False, notes=(NOTE,))
    return Classifier(Cut(), channels=1, origin=origin)


def names(report: Report) -> set[str]:
    return {flag.name for flag in report.flags}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    run = tmp_path_factory.mktemp("run") / "run"
    return audit(
        gradient_free(),
        phantoms(16),
        attacks=["Noise", Square(queries=40)],
        eps=["1/255", "16/255"],
        out=run,
        precision="bfloat16",
    )


def test_it_runs_and_is_never_called_robust(report: Report) -> None:
    assert "no gradients" in names(report)
    assert "gradients vanish" not in names(report)
    assert "attacks fail without bounds" not in names(report)
    assert all(word != "robust" and word != "partly robust" for word in report.verdicts)
    assert any(word == "no verdict: no gradients" for word in report.verdicts)
    assert all(row.failed == 0 for row in report.rows)


def test_the_report_says_why(report: Report) -> None:
    assert not report.model.differentiable and report.model.notes == (NOTE,)
    assert report.model.proof is None
    assert report.timings.acceleration is not None
    assert report.timings.acceleration.reason == "the network gives no gradients"
    assert not report.timings.acceleration.bfloat16


def test_no_attacker_chose_the_rounding(report: Report) -> None:
    assert report.survival and all(one.adversarially_rounded is None for one in report.survival)
    assert all(one.quantised is not None for one in report.survival)


def test_the_report_is_written(report: Report, tmp_path: Path) -> None:
    from robust.report import write_report

    write_report(report, tmp_path, "md", "csv", "html", "latex")
    text = (tmp_path / "report.md").read_text()
    assert "ONNX, opset 18, run by onnxruntime, without gradients" in text
    assert "runtime itself, which gives no gradients" in text
    assert Report.from_json(report.to_json()) == report


def test_a_plan_that_names_no_attack_gets_those_without_gradients() -> None:
    pytest.importorskip("foolbox")
    plan = fitting_plan(make_plan({}), gradient_free())
    assert [spec.name for spec in plan.attacks] == ["Noise", "Square"]
    assert plan.scenarios.queries == (1000,) and plan.detection.adaptive == 0
    named = make_plan({"attacks": [{"name": "Square"}], "scenarios": {"queries": [50]}})
    kept = fitting_plan(named, gradient_free())
    assert kept.attacks == named.attacks and kept.scenarios.queries == (50,)
    untouched = make_plan({})
    assert fitting_plan(untouched, Classifier(trained(28))) is untouched


@pytest.mark.parametrize("attack", ["PGD", "FGSM", "AutoAttack", "CarliniWagnerL2", PGD(steps=3)])
def test_attacks_that_follow_gradients_are_refused_by_name(attack: Any, tmp_path: Path) -> None:
    name = attack if isinstance(attack, str) else "PGD"
    with pytest.raises(InputError, match=rf"^{name} follows gradients, .* use Square") as refusal:
        audit(gradient_free(), phantoms(8), attacks=[attack], out=tmp_path / "run")
    assert "\n" not in str(refusal.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("scenario", [{"universal": [4]}, {"patch": [0.1]}])
def test_scenarios_that_need_gradients_are_refused(scenario: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="needs gradients, and this model gives none"):
        audit(gradient_free(), phantoms(8), attacks=["Square"], scenarios=scenario)


def test_it_cannot_be_a_surrogate_but_may_be_attacked_through_one() -> None:
    plain = Classifier(trained(28), channels=1)
    with pytest.raises(InputError, match="the surrogate gives no gradients"):
        audit(plain, phantoms(8), attacks=["FGSM"], surrogate=gradient_free())
    report = audit(
        gradient_free(), phantoms(16), attacks=["Noise"], eps=["16/255"], surrogate=plain
    )
    assert report.scenarios[0].fooled.value > 0


def test_detectors_of_the_outputs_run_and_those_of_layers_are_refused_or_work() -> None:
    reference = phantoms(60, split="train")
    given: dict[str, Any] = {
        "attacks": [Square(queries=60)],
        "eps": ["24/255"],
        "reference": reference,
    }
    report = audit(gradient_free(), phantoms(40), detectors=["MaxSoftmax"], **given)
    assert report.detection is not None and not report.detection.adaptive
    assert report.plan["detection"]["adaptive"] == 0
