"""The attacker who knows: what is measured is real, confirmed, and better than not knowing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, JointPGD, OrthogonalPGD, SelectivePGD, Streams, ThreatModel
from attacks.adaptive.orthogonal_pgd import orthogonal
from detectors import Extractor, FeatureReader, MaxSoftmax
from robust.auditing import audit
from robust.detection.adaptive.joint_model import JointModel
from robust.detection.adaptive.surrogate_detector import agreement, fit_surrogate
from robust.detection.cross_fitting import FittedDetector
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.models import Classifier
from robust.records import Detection, Report
from tests.engine.nets import trained
from tests.engine.test_detection import NEAREST, cases

LABELS = ["KernelDensity", "Mahalanobis", "DeepFeatures", "Energy"]


def run(**options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["PGD"],
        "eps": ["8/255"],
        "detectors": LABELS,
        "reference": cases(120, "train"),
        "detection": {"adaptive": 30, "adaptive_steps": 15},
        "doubts": {"probe": False},
        "device": "cpu",
        "gallery": 0,
    }
    return audit(Classifier(trained(28), channels=1), cases(80), **{**settings, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adaptive") / "run"
    run(out=out)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> Detection:
    detection = Report.load(folder / "report.json").detection
    assert detection is not None
    return detection


def test_who_knows_never_does_worse_than_who_does_not(found: Detection) -> None:
    assert [one.detector for one in found.adaptive] == LABELS
    for one in found.adaptive:
        assert one.fooled.cases == 30
        for share, passes in one.evasion_rates.items():
            assert one.static_evasion_rates[share].value <= passes.value <= one.fooled.value
        assert (
            one.evasion_rates["0.01"].value
            >= one.evasion_rates["0.05"].value
            >= one.evasion_rates["0.1"].value
        )
        assert sum(one.cases_by_attack.values()) == round(30 * one.fooled.value)


def test_a_detector_that_sees_the_attack_sees_less_of_who_knows(found: Detection) -> None:
    """On some detector that sees something; were all blind, there would be nothing to evade."""
    seeing = [a for a in found.adaptive if a.static_auc is not None and a.static_auc.value > 0.6]
    assert seeing
    assert any(a.auc is not None and a.auc.value < a.static_auc.value - 0.05 for a in seeing)  # type: ignore[union-attr]
    assert sum(
        sum(n for name, n in a.cases_by_attack.items() if name != "PGD") for a in found.adaptive
    )


def test_a_stand_in_is_named_where_there_is_no_gradient(found: Detection) -> None:
    follows = {one.detector: one.surrogate_agreement for one in found.adaptive}
    assert follows.pop("DeepFeatures") is not None
    assert set(follows.values()) == {None}


def test_resuming_repeats_nothing_and_ends_alike(
    folder: Path, found: Detection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short between two folds, a run goes on where it was; others beside it change nothing."""
    from robust.detection.adaptive import evaluate as adapting

    two = ["KernelDensity", "Energy"]

    calls = {"all": 0}
    real = adapting.attack_batch

    def counting(*args: Any, **options: Any) -> Any:
        calls["all"] += 1
        if calls["all"] == 9:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(adapting, "attack_batch", counting)
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "run", detectors=two)
    store = RunStore.look(tmp_path / "run")
    assert store.get_json("adaptive|KernelDensity|0") is not None
    store.close()
    monkeypatch.setattr(adapting, "attack_batch", real)
    again = run(out=tmp_path / "run", detectors=two).detection
    assert again is not None
    assert again.adaptive == tuple(one for one in found.adaptive if one.detector in two)


def test_none_comes_unasked_or_without_a_bound() -> None:
    for options in (
        {"detection": {"adaptive": 0}},
        {"attacks": [NEAREST]},
    ):
        detection = run(detectors=["Energy"], **options).detection
        assert detection is not None and detection.adaptive == ()


def test_none_comes_where_a_detector_could_not_be_fitted() -> None:
    """The key attack is not among those that heads may be fitted on."""
    options: dict[str, Any] = {"attacks": ["FGSM", "PGD"], "detectors": ["Mahalanobis", "Energy"]}
    detection = run(**options, detection={"fit_on": ["FGSM"], "adaptive": 10}).detection
    assert detection is not None and detection.key_attack is not None
    assert detection.image_sets[detection.key_attack].name == "PGD"
    assert [one.detector for one in detection.adaptive] == ["Energy"]


def test_a_gate_on_who_knows_needs_them_to_come(tmp_path: Path) -> None:
    from robust.engine.gate_check import check_gates
    from robust.plan.load import make_plan

    raw: dict[str, Any] = {
        "gates": {"withstands": 0.5},
        "detectors": [{"name": "LID"}],
        "detection": {"adaptive": 0},
    }
    with pytest.raises(InputError, match="withstands needs adaptive attacks"):
        check_gates(make_plan(raw, "plan"))
    with pytest.raises(InputError, match=r"withstands needs a \[\[detectors\]\] table"):
        check_gates(make_plan({"gates": {"withstands": 0.5}}, "plan"))


# ---------------------------------------------------------------- on toys of which all is known


class Line(nn.Module):
    """Two logits: the first pixel against a half."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16, 2, bias=True, dtype=torch.float64)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.weight[1, 0] = 10.0
            self.head.bias.copy_(torch.tensor([5.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


def brightness(x: Tensor) -> Tensor:
    """An alarm above a sum of 6.9 over all pixels: raising one has to be paid by the others."""
    return x.flatten(1).sum(1) - 6.9


@pytest.mark.parametrize("attack", [JointPGD, SelectivePGD, OrthogonalPGD])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_attacks_pay_for_what_the_detector_sees(attack: Any, norm: str) -> None:
    """The image lies below the alarm; PGD with steps on all pixels that the margin asks for raises
    it, and each of these attacks fools the model without.
    """
    x = torch.full((3, 1, 4, 4), 0.43, dtype=torch.float64)
    y = torch.zeros(3, dtype=torch.long)
    threat = ThreatModel(norm, 0.1)
    streams = Streams.of(0, range(3))
    model = Line()
    plain = PGD(steps=50, start="image")(model, x, y, threat, streams)
    assert bool((model(plain).argmax(1) == 1).all()) and bool((brightness(plain) > 0).all())
    x_adv = attack(steps=60, suspicion=brightness)(model, x, y, threat, streams)
    assert bool((model(x_adv).argmax(1) == 1).all())
    assert bool((brightness(x_adv) <= 0).all())
    assert bool((threat.distance(x_adv, x) <= 0.1 + 1e-9).all())


def test_an_orthogonal_step_is_the_best_of_those_that_cost_nothing() -> None:
    """Against scipy's linear programme in the cube."""
    from scipy.optimize import linprog

    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        g, n = torch.randn(2, 1, 1, 3, 3, generator=generator, dtype=torch.float64)
        step = orthogonal(g, n, ThreatModel("Linf", 0.1)).flatten()
        assert float(step.abs().max()) <= 1 and abs(float((step * n.flatten()).sum())) < 1e-9
        best = linprog(
            -g.flatten().numpy(), A_eq=n.flatten().numpy()[None], b_eq=[0], bounds=(-1, 1)
        )
        assert float((step * g.flatten()).sum()) == pytest.approx(-best.fun, rel=1e-9)


def test_a_suspect_looks_once_and_never_at_an_old_image() -> None:
    passes = 0

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            out: Tensor = self.head(x.flatten(1))
            return out

    model = Counting()
    detector = MaxSoftmax()
    suspect = JointModel(
        FeatureReader(Extractor(model, ["head"])), FittedDetector(detector, 0.0, 1.0), 0.0
    )
    detector.learned = {}
    x = torch.rand(2, 1, 2, 2)
    before = suspect.suspicion(x)
    assert torch.equal(suspect.logits(x), model(x)) and passes == 2
    x.add_(0.1)  # in place: the same tensor, another image
    assert not torch.equal(suspect.suspicion(x), before) and passes == 3
    with torch.enable_grad():
        x = x.requires_grad_()
        assert suspect.suspicion(x).requires_grad and passes == 4


def test_a_stand_in_ranks_images_as_the_detector_does() -> None:
    from detectors import Features

    generator = torch.Generator().manual_seed(0)

    def features(shift: float) -> Features:
        deep = torch.randn(200, 6, generator=generator) + shift
        return Features(deep[:, :2], {"deep": deep})

    def score(seen: Features) -> Tensor:
        return (seen.deep.sum(1) > 3).double()  # without a gradient

    follower = fit_surrogate(score, features(0.0), features(1.0))
    unseen = Features.cat([features(0.0), features(1.0)])
    assert agreement(follower, score, unseen) > 0.7
    other = fit_surrogate(lambda seen: torch.rand(len(seen), generator=generator), unseen, unseen)
    assert abs(agreement(other, score, unseen)) < 0.4
    deep = unseen.deep.clone().requires_grad_()
    follower(deep).sum().backward()  # type: ignore[no-untyped-call]
    assert deep.grad is not None and np.isfinite(deep.grad.numpy()).all()
