"""The attack loop: no attack and no model is trusted, no batch changes a number."""

from __future__ import annotations

import copy
import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD
from attacks.contract import AttackTraits, Knowledge
from robust.auditing import audit
from robust.models import Classifier
from robust.records import Report
from tests.engine.nets import BRIEF, classifier, phantoms, trained
from tests.toys import Shaken, exact_eps, linear_cases


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Foreign:
    """An attack that does what its field says, to see what the runner makes of it."""

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    passes: ClassVar[int] = 1
    knowledge: ClassVar[Knowledge] = "none"
    traits: ClassVar[AttackTraits] = AttackTraits()
    does: str = "crash"

    @property
    def stream_key(self) -> str:
        return repr(self)

    def __call__(
        self, model: Any, x: Tensor, y: Tensor, threat: Any, streams: Any, target: Any = None
    ) -> Tensor:
        if self.does == "crash":
            raise IndexError("dlr needs three classes")
        if self.does == "nan":
            return x * math.nan
        if self.does == "too far":
            return (x + 2 * threat.eps).clamp(0, 1)
        if self.does == "out of the box":
            return x + threat.eps
        if self.does == "wrong shape":
            return x[:, :, :-1]
        return x


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("crash", "IndexError: dlr needs three classes"),
        ("nan", "NaN or infinite pixels"),
        ("too far", "moved 51/255 in L∞, allowed 25.5/255"),
        ("out of the box", "left the box"),
        ("wrong shape", "returned torch.float32"),
    ],
)
def test_a_failed_attack_is_never_a_robust_case(does: str, says: str) -> None:
    report = audit(classifier(), phantoms(), attacks=[Foreign(does)], eps=[0.1], **BRIEF)
    row = report.rows[0]
    assert row.failed > 0.7 * row.attacked > 0
    assert row.scores.robust_accuracy is None or row.scores.robust_accuracy.cases < row.attacked
    (flag,) = [f for f in report.flags if f.name == "attacks without a verdict"]
    assert says in flag.observed and str(row.failed) in flag.observed
    assert report.worst.failed == row.failed


def test_an_attack_that_does_nothing_leaves_all_right() -> None:
    report = audit(classifier(), phantoms(), attacks=[Foreign("nothing")], eps=[0.1], **BRIEF)
    kept = report.rows[0].scores.robust_accuracy
    assert kept is not None and kept.value == 1.0 and report.rows[0].failed == 0


def test_batch_size_changes_no_stream_and_in_float64_no_result() -> None:
    net = classifier().double()
    options: dict[str, Any] = {"attacks": ["Noise", PGD(steps=10)], "eps": ["2/255"], **BRIEF}
    one = audit(net, phantoms(), chunk=64, **options)
    other = audit(net, phantoms(), chunk=7, **options)
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a.scores == b.scores


def test_curve_cells_find_what_exact_cells_find(tmp_path: Path) -> None:
    eps = [1 / 255, 2 / 255, 4 / 255]
    options: dict[str, Any] = {"attacks": ["FGSM", "BIM", PGD(steps=10)], "eps": eps, **BRIEF}
    exact = audit(classifier(), phantoms(80), **options)
    curve = audit(classifier(), phantoms(80), cells="curve", out=tmp_path, **options)
    assert [row.kind for row in curve.worst_cases] == ["curve"] * 3
    assert {row.attack for row in curve.rows} == {"FGSM"}, "FGSM is always exact"
    for a, b in zip(exact.worst_cases, curve.worst_cases, strict=True):
        assert a.scores.success is not None and b.scores.success is not None
        assert a.scores.success.value == b.scores.success.value
    table = read(tmp_path)
    ran = {
        (line["case"], line["attack"], line["eps"]) for line in table if line["attack"] != "clean"
    }
    fell = {}
    for line in table:
        if line["success"] == "1":
            fell[line["case"]] = min(float(line["eps"]), fell.get(line["case"], math.inf))
    later = [
        (case, name) for case, name, e in ran if name != "FGSM" and float(e) > fell.get(case, 9)
    ]
    assert not later, "a case was attacked again after it had fallen at a smaller eps"


class Louder(nn.Module):
    def __init__(self, inside: nn.Module, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.inside, self.scale, self.shift = inside, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inside(x) * self.scale + self.shift
        return out


def robust_accuracies(report: Report) -> list[float]:
    return [r.scores.robust_accuracy.value for r in report.rows if r.scores.robust_accuracy]


def test_logits_times_ten_thousand_change_at_most_a_point() -> None:
    options: dict[str, Any] = {"attacks": ["FGSM", PGD(steps=10)], "eps": ["2/255"], **BRIEF}
    plain = audit(classifier(), phantoms(80), **options)
    loud = audit(Classifier(Louder(trained(28), 1e4), channels=1), phantoms(80), **options)
    for a, b in zip(robust_accuracies(plain), robust_accuracies(loud), strict=True):
        assert abs(a - b) <= 0.01 + 1 / 80
    assert loud.rows[0].saturated > 0
    # The margin has taken over, so that nothing is lost.
    assert not any(flag.name == "cross-entropy saturates" for flag in loud.flags)


def test_the_users_model_leaves_as_it_came() -> None:
    net = trained(28).train()
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.random.get_rng_state()
    wrapped = Classifier(net, channels=1)
    audit(wrapped, phantoms(), attacks=["PGD"], eps=["1/255"])
    assert net.training and wrapped.head == "auto"
    assert all(p.requires_grad and bool((p.grad == 1).all()) for p in net.parameters())  # type: ignore[union-attr]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


def test_attacks_climb_as_many_passes_as_the_plan_says() -> None:
    """On a network with random outputs; one that answers alike is asked once, to the same end."""
    model, x, y = linear_cases("free", n=60)
    eps = float(exact_eps(model, x, y, "Linf").quantile(0.6))
    images = x.float().numpy(), y.numpy()

    def robust_accuracy(network: nn.Module, **options: Any) -> tuple[float, list[str], float]:
        said: list[str] = []
        report = audit(
            Classifier(network.float(), head="softmax"),
            images,
            attacks=["PGD"],
            eps=[eps],
            gallery=0,
            announce=said.append,
            **options,
        )
        flags = [flag.observed for flag in report.flags if flag.name == "random outputs"]
        assert ("eot changes nothing" in "".join(said)) is (not flags and "eot" in options)
        return robust_accuracies(report)[0], flags, report.rows[0].passes

    shaken = Shaken(copy.deepcopy(model), 8.0)
    single, (said,), once = robust_accuracy(shaken)
    assert said.endswith("a prediction is the mean of 32 passes, attacks climbed single passes")
    mean, (said,), often = robust_accuracy(shaken, eot=16)
    assert said.endswith("attacks climbed the mean of 16 passes")
    assert often == 16 * once and mean < single - 0.1
    again, _, _ = robust_accuracy(shaken, eot=16)
    assert again == mean, "draws are repeated"
    assert robust_accuracy(model, doubts={"probe": False}) == robust_accuracy(model, eot=16)
