"""Attackers with less than the model: held-out patients, controls, resuming, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import ThreatModel
from robust.auditing import audit
from robust.cases import Cases, open_cases
from robust.errors import InputError
from robust.models import Classifier
from robust.records import Report, Scenario
from robust.scenarios.decision_based import Asked, EnoughAsked
from robust.scenarios.holdout import Holdout, make_holdout
from robust.scenarios.universal import universal
from tests.engine.nets import smooth, trained

EVERY = {"universal": [4], "patch": [0.1], "queries": [30, 150], "cases": 40}


def cases(count: int = 100) -> Cases:
    return open_cases("phantom:chest_xray", split="test", count=count, pixels=28)


def other() -> nn.Module:
    """Another network with the same weights: it answers much the same."""
    model = smooth()
    model.load_state_dict(trained(28).state_dict())
    return model.eval()


def run(**options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["FGSM"],
        "eps": ["8/255"],
        "doubts": {"probe": False},
        "scenarios": EVERY,
        "surrogate": Classifier(other(), channels=1),
        "device": "cpu",
        "gallery": 0,
    }
    return audit(Classifier(trained(28), channels=1), cases(), **{**settings, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scenarios") / "run"
    run(out=out)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> tuple[Scenario, ...]:
    return Report.load(folder / "report.json").scenarios


def test_every_attacker_stands_beside_a_control(found: tuple[Scenario, ...]) -> None:
    assert [one.name for one in found] == ["universal", "patch", "transfer", "queries", "queries"]
    for one in found:
        assert one.fooled.cases == one.control.cases == 40
        assert one.fooled.low <= one.fooled.value <= one.fooled.high
        assert one.failure == ""
    by_name = {one.name: one for one in found}
    for name in ("universal", "transfer", "queries"):
        assert by_name[name].fooled.value > by_name[name].control.value, name
        assert by_name[name].size == 8 / 255
    assert by_name["patch"].size == pytest.approx(0.1, abs=0.02)
    assert by_name["patch"].norm is None


def test_what_fools_the_surrogate_is_said(found: tuple[Scenario, ...]) -> None:
    transfer = next(one for one in found if one.name == "transfer")
    assert transfer.surrogate_fooled is not None
    assert transfer.surrogate_fooled.low > transfer.control.high
    assert all(one.surrogate_fooled is None for one in found if one.name != "transfer")


def test_more_questions_find_more(found: tuple[Scenario, ...]) -> None:
    few, many = (one for one in found if one.name == "queries")
    assert (few.budget, many.budget) == (30, 150)
    assert few.fooled.value < many.fooled.value


def test_a_model_is_its_own_best_surrogate() -> None:
    (found,) = run(surrogate=Classifier(trained(28), channels=1), scenarios={"cases": 20}).scenarios
    assert found.surrogate_fooled is not None
    assert found.fooled.value == found.surrogate_fooled.value


def test_a_run_that_is_cut_short_ends_with_the_same_figures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before the third attacker; what was through is not played again."""
    played: list[str] = []

    def counted(name: str) -> None:
        kept = Holdout.kept

        def count(self: Holdout, key: str, make: Any) -> Any:
            def made() -> Any:
                played.append(key)
                if name and key == name:
                    raise KeyboardInterrupt
                return make()

            return kept(self, key, made)

        monkeypatch.setattr(Holdout, "kept", count)

    counted("transfer")
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "cut")
    assert played == ["universal|4", "patch|0.1", "transfer"]
    monkeypatch.undo()
    played.clear()
    counted("")
    run(out=tmp_path / "cut")
    assert played[0] == "transfer"
    one, two = (json.loads((f / "report.json").read_text()) for f in (folder, tmp_path / "cut"))
    assert one["scenarios"] == two["scenarios"]


def ground_of(monkeypatch: pytest.MonkeyPatch, **options: Any) -> Holdout:
    """The ground of a real run."""
    kept: list[Holdout] = []

    def keep(*arguments: Any) -> Holdout | None:
        made = make_holdout(*arguments)
        assert made is not None
        kept.append(made)
        return made

    monkeypatch.setattr("robust.scenarios.run.make_ground", keep)
    run(surrogate=None, scenarios={"universal": [1], "cases": 40, **options})
    return kept[0]


def test_no_patient_is_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = ground_of(monkeypatch)
    groups = np.array([case.group for case in ground.batch.cases])
    assert {0, 1} == set(ground.half.tolist())
    assert not set(groups[ground.half == 0]) & set(groups[ground.half == 1])
    for _, fitting, trying in ground.halves():
        assert not set(fitting.tolist()) & set(trying.tolist())
        assert len(fitting) + len(trying) == len(groups)


def test_where_a_half_has_fewer_images_than_asked_for_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ground = ground_of(monkeypatch)
    assert universal(ground, 39) is None


def test_the_model_is_asked_no_more_often_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the nearest image of those that worked is kept, at each number of questions."""
    ground = ground_of(monkeypatch)
    batch = ground.batch.take([0])
    wrong = ground.others.x[ground.another(0, 0) or 0][None]
    asked = Asked(ground, batch, [1, 3], ThreatModel("Linf", float("inf")))
    near: Tensor = torch.lerp(batch.x, wrong, 0.999)
    for image in (wrong, near, batch.x):
        assert asked(image).sum() == 1
    assert torch.equal(asked.found[1], wrong)
    assert torch.equal(asked.found[3], near)
    with pytest.raises(EnoughAsked):
        asked(wrong)


class _Wide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3))] * 5, 1)


class _Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).repeat(1, 2) * torch.nan


@pytest.mark.parametrize(
    ("model", "channels", "said"),
    [
        (_Wide(), 1, "gives 5 classes, the data have 2"),
        (_Blind(), 1, "NaN or infinite logits"),
        (trained(28), 3, "the surrogate fails on images of shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), 1, "the surrogate fails on images"),
    ],
)
def test_a_surrogate_that_does_not_fit_is_refused_in_one_line(
    model: nn.Module, channels: int, said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        run(surrogate=Classifier(model.eval(), channels=channels), scenarios={"cases": 10})
    assert "\n" not in str(error.value)


def test_queries_name_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install foolbox"):
        run(surrogate=None, scenarios={"queries": [10]})


@pytest.mark.parametrize(
    "table", [{"patch": [1.5]}, {"universal": [0]}, {"queries": [0]}, {"cases": 0}, {"patches": []}]
)
def test_a_wrong_plan_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="scenarios"):
        run(surrogate=None, scenarios=table)


def test_nobody_plays_where_nothing_was_asked_for() -> None:
    assert run(surrogate=None, scenarios={}).scenarios == ()
