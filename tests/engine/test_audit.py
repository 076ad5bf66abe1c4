"""The engine trusts no attack and no model; its numbers follow from the per-case table."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import FGSM, PGD, MarginPGD
from robust.auditing import audit
from robust.cases import Cases, open_cases
from robust.engine.goal import Goal
from robust.errors import InputError
from robust.metrics.bootstrap import auc
from robust.models import Classifier
from robust.records import Report
from tests.engine.nets import trained


def phantoms(count: int = 40, **options: Any) -> Cases:
    return open_cases("phantom:chest_xray", count=count, pixels=28, **options)


def classifier(**options: Any) -> Classifier:
    return Classifier(trained(28), channels=1, **options)


@dataclass(frozen=True)
class Foreign:
    """An attack that does what its field says, to see what the runner makes of it."""

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    passes: ClassVar[int] = 1
    does: str = "crash"

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
        ("too far", "moved 0.2"),
        ("out of the box", "left the box"),
        ("wrong shape", "returned torch.float32"),
    ],
)
def test_a_failed_attack_is_never_a_robust_case(does: str, says: str) -> None:
    report = audit(classifier(), phantoms(), attacks=[Foreign(does)], eps=[0.1])
    row = report.results[0]
    assert row.failed > 0.7 * row.attacked > 0
    assert row.scores.robust_accuracy is None or row.scores.robust_accuracy.cases < row.attacked
    (flag,) = [f for f in report.flags if f.name == "attacks without a verdict"]
    assert says in flag.observed and str(row.failed) in flag.observed
    assert report.worst.failed == row.failed


def test_an_attack_that_does_nothing_leaves_all_right() -> None:
    report = audit(classifier(), phantoms(), attacks=[Foreign("nothing")], eps=[0.1])
    kept = report.results[0].scores.robust_accuracy
    assert kept is not None and kept.value == 1.0 and report.results[0].failed == 0


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_rate_follows_from_the_table(tmp_path: Path) -> None:
    eps = [1 / 255, 4 / 255]
    report = audit(classifier(), phantoms(80), attacks=["FGSM", "PGD"], eps=eps, out=tmp_path)
    table = read(tmp_path)
    clean = {line["case"]: line for line in table if line["attack"] == "clean"}
    assert len(clean) == 80
    worst: dict[float, set[str]] = {e: set() for e in eps}
    for row in report.results:
        assert row.eps is not None
        lines = [
            line
            for line in table
            if line["attack"] == row.attack and abs(float(line["eps"] or 9) - row.eps) < 1e-9
        ]
        right = {c for c, line in clean.items() if line["prediction"] == line["label"]}
        assert {line["case"] for line in lines} == right
        assert row.attacked == len(lines)
        after = clean | {line["case"]: line for line in lines}
        kept = [line for line in lines if line["prediction"] == line["label"]]
        fooled = {line["case"] for line in lines if line["success"] == "1"}
        assert fooled == right - {line["case"] for line in kept}
        for e in eps:
            worst[e] |= fooled if row.eps <= e + 1e-12 else set()

        s = row.scores
        assert s.robust_accuracy and s.accuracy and s.success and s.auc
        assert s.robust_accuracy.value == pytest.approx(len(kept) / len(lines))
        all_right = sum(line["prediction"] == line["label"] for line in after.values())
        assert s.accuracy.value == pytest.approx(all_right / 80)
        sick = [line for line in lines if line["label"] == "opacity"]
        well = [line for line in lines if line["label"] == "normal"]
        assert s.misses and s.false_alarms and s.sensitivity and s.specificity
        assert s.misses.value == pytest.approx(
            sum(line["prediction"] == "normal" for line in sick) / len(sick)
        )
        assert s.false_alarms.value == pytest.approx(
            sum(line["prediction"] == "opacity" for line in well) / len(well)
        )
        called = [
            line["prediction"] == "opacity" for line in after.values() if line["label"] == "opacity"
        ]
        assert s.sensitivity.value == pytest.approx(np.mean(called))
        scores = [float(v["logit_opacity"]) - float(v["logit_normal"]) for v in after.values()]
        truth = np.array([v["label"] == "opacity" for v in after.values()])
        assert s.auc.value == pytest.approx(auc(np.array(scores), truth)[0], abs=1e-9)
        if fooled:
            assert s.median_linf is not None
            moved = [float(line["linf"]) for line in lines if line["success"] == "1"]
            assert s.median_linf.value == pytest.approx(np.median(moved), abs=1e-8)
            assert max(moved) <= row.eps + 2e-7
    for row in report.worst_cases:
        assert row.eps is not None and row.scores.success is not None
        assert row.scores.success.value == pytest.approx(len(worst[row.eps]) / row.attacked)


def test_batch_size_changes_no_stream_and_in_float64_no_result() -> None:
    net = classifier().double()
    one = audit(net, phantoms(), attacks=["Noise", "PGD"], eps=["2/255"], chunk=64)
    other = audit(net, phantoms(), attacks=["Noise", "PGD"], eps=["2/255"], chunk=7)
    for a, b in zip(one.results, other.results, strict=True):
        assert a.scores == b.scores


def test_curve_cells_find_what_exact_cells_find(tmp_path: Path) -> None:
    eps = [1 / 255, 2 / 255, 4 / 255, 8 / 255]
    attacks = ["FGSM", "BIM", "PGD"]
    exact = audit(classifier(), phantoms(80), attacks=attacks, eps=eps)
    curve = audit(classifier(), phantoms(80), attacks=attacks, eps=eps, cells="curve", out=tmp_path)
    assert [row.kind for row in curve.worst_cases] == ["curve"] * 4
    assert {row.attack for row in curve.results} == {"FGSM"}, "FGSM is always exact"
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


def test_with_two_classes_the_same_attack_runs_once() -> None:
    twins = [PGD(start="image", step_size=0.1, schedule="constant"), MarginPGD()]
    report = audit(classifier(), phantoms(), attacks=twins, eps=["2/255"])
    first, second = report.results
    assert (first.same_as, second.same_as) == (None, "PGD")
    assert second.scores == first.scores
    assert any(flag.name == "the same attack twice" for flag in report.flags)


def test_a_miss_attacks_findings_only_and_a_false_alarm_the_others() -> None:
    miss = audit(classifier(), phantoms(80), attacks=["PGD"], eps=["4/255"], goal="miss")
    alarm = audit(classifier(), phantoms(80), attacks=["PGD"], eps=["4/255"], goal="false alarm")
    both = audit(classifier(), phantoms(80), attacks=["PGD"], eps=["4/255"])
    assert miss.results[0].attacked + alarm.results[0].attacked == both.results[0].attacked
    assert miss.results[0].scores.false_alarms is None and alarm.results[0].scores.misses is None
    assert miss.results[0].scores.misses == both.results[0].scores.misses
    assert alarm.results[0].scores.false_alarms == both.results[0].scores.false_alarms


def test_goals_with_several_classes() -> None:
    y = torch.tensor([0, 1, 2])
    miss = Goal("miss", findings=(1, 2))
    assert miss.eligible(y).tolist() == [False, True, True]
    assert miss.reached(torch.tensor([0, 2, 0]), y).tolist() == [False, False, True]
    targets = miss.targets(torch.tensor([[0.0, 5.0, 1.0]]))
    assert targets is not None and targets.tolist() == [0]
    aimed = Goal("error", (), target=2)
    assert aimed.eligible(y).tolist() == [True, True, False]
    assert aimed.reached(torch.tensor([2, 1, 2]), y).tolist() == [True, False, True]


class Louder(nn.Module):
    def __init__(self, inside: nn.Module, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.inside, self.scale, self.shift = inside, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inside(x) * self.scale + self.shift
        return out


def robust_accuracies(report: Report) -> list[float]:
    return [r.scores.robust_accuracy.value for r in report.results if r.scores.robust_accuracy]


def test_logits_times_ten_thousand_change_at_most_a_point() -> None:
    plain = audit(classifier(), phantoms(80), attacks=["FGSM", "PGD"], eps=["2/255"])
    loud = audit(
        Classifier(Louder(trained(28), 1e4), channels=1),
        phantoms(80),
        attacks=["FGSM", "PGD"],
        eps=["2/255"],
    )
    for a, b in zip(robust_accuracies(plain), robust_accuracies(loud), strict=True):
        assert abs(a - b) <= 0.01 + 1 / 80
    assert any(flag.name == "cross-entropy saturates" for flag in loud.flags)
    assert loud.results[0].saturated > 0


def test_probabilities_are_recognised_and_flagged() -> None:
    net = nn.Sequential(trained(28), nn.Softmax(1))
    report = audit(Classifier(net, channels=1), phantoms(), attacks=["FGSM"], eps=["1/255"])
    assert report.model.head == "probabilities"
    assert any(flag.name == "probabilities instead of logits" for flag in report.flags)


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


def test_minimum_norm_rows_and_the_worst_case_in_l2() -> None:
    report = audit(
        classifier(),
        phantoms(),
        attacks=["CarliniWagnerL2", "FGSM"],
        norm="L2",
        eps=[0.05, 5.0],
    )
    nearest = report.result("CarliniWagnerL2")
    assert nearest.eps is None and nearest.scores.success and nearest.scores.success.value == 1.0
    assert nearest.scores.median_l2 is not None
    worst = report.worst
    assert worst.eps == 5.0 and worst.scores.robust_accuracy
    assert worst.scores.robust_accuracy.value == 0.0
    assert worst.scores.median_l2 is not None
    assert report.worst_cases[0].scores.success is not None
    small = report.worst_cases[0].scores.success.value
    assert 0 <= small <= 1


def test_an_attack_of_another_norm_needs_its_own_eps() -> None:
    with pytest.raises(InputError, match="works in Linf, the audit's eps are L2"):
        audit(classifier(), phantoms(), attacks=["CW"], norm="L2", eps=[0.5])


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
        report = audit(Classifier(net, channels=1), cases, attacks=["PGD", "CW"], eps=["8/255"])
        assert len(report.clean.scores.recall) == outputs
    for options in ({"head": "sigmoid"}, {"head": "multilabel", "finding": 5}):
        outputs = 1 if options["head"] == "sigmoid" else 14
        net = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, outputs))
        wrapped = Classifier(net, channels=1, **options)  # type: ignore[arg-type]
        report = audit(wrapped, phantoms(30), attacks=["PGD", FGSM()], eps=["8/255"])
        success = report.result("PGD", 8 / 255).scores.success
        assert success is not None and success.value > 0


def test_subgroups_carry_the_same_numbers(tmp_path: Path) -> None:
    cases = phantoms(60)
    entries = tuple(
        replace(e, metadata={"sex": "f" if i % 3 else "m"}) for i, e in enumerate(cases.entries)
    )
    report = audit(
        classifier(), replace(cases, entries=entries), attacks=["FGSM"], eps=["1/255"], out=tmp_path
    )
    parts = {part.value: part for part in report.clean.subgroups}
    assert {v: p.cases for v, p in parts.items()} == {"f": 40, "m": 20}
    lines = [li for li in read(tmp_path) if li["attack"] == "clean" and li["sex"] == "m"]
    wanted = np.mean([line["prediction"] == line["label"] for line in lines])
    assert parts["m"].scores.accuracy is not None
    assert parts["m"].scores.accuracy.value == pytest.approx(wanted)
