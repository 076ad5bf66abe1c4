"""Which attacks count as white boxes, which as black ones, and what is the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import foolbox
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import (
    FGSM,
    PGD,
    Attack,
    AttackTraits,
    AutoAttack,
    Knowledge,
    Noise,
    Square,
    ThreatModel,
    from_foolbox,
)
from robust import Classifier, audit, open_cases
from robust.auditing import audit_plan
from robust.diagnostics.reattack import find_robust_cases
from robust.engine.cells import Cell
from robust.engine.run_store import Outcome
from robust.plan.load import make_plan
from robust.report.text.headline import verdicts
from tests.diagnostics.defects import Turned
from tests.engine.nets import trained

EPS = 4 / 255


@dataclass
class Outcomes:
    """As a run's store, with the rows that each attack fooled of ten that it was run on."""

    fooled: dict[str, set[int]]

    def outcomes(self, key: str) -> list[Outcome]:
        rows = self.fooled[key.split("|")[0]]
        return [Outcome(i, np.zeros(2), *[EPS] * 5, i in rows, False, 1.0, None) for i in range(10)]


def left_by(**attacks: tuple[Attack, set[int]]) -> Any:
    """The robust cases where each attack fooled these rows."""
    threat = ThreatModel("Linf", EPS)
    cells = [Cell(label, attack, threat, True) for label, (attack, _) in attacks.items()]
    store: Any = Outcomes({label: rows for label, (_, rows) in attacks.items()})
    return find_robust_cases(store, cells, "Linf", 1)


def test_white_boxes_leave_what_black_boxes_fell() -> None:
    jump = from_foolbox(foolbox.attacks.GenAttack())
    left = left_by(
        uniform=(Noise(), {0}),
        PGD=(PGD(), {1, 2}),
        FGSM=(FGSM(), {3}),
        Square=(Square(), {1, 4}),
        genetic=(jump, {5}),
        AutoAttack=(AutoAttack(), {2, 6}),
    )
    assert left.rows == [0, 4, 5, 6, 7, 8, 9]
    assert left.fooled_otherwise == {4, 5, 6}
    assert left.fooled_by_black_box == {4, 5}


@pytest.mark.parametrize(
    "attack", [Square(), Noise(), from_foolbox(foolbox.attacks.LinfAdditiveUniformNoiseAttack())]
)
def test_without_a_gradient_attack_nothing_withstood_one(attack: Attack) -> None:
    assert left_by(alone=(attack, set())) is None


def test_an_ensemble_alone_is_an_attack_with_gradients() -> None:
    assert left_by(alone=(AutoAttack(), {1})).rows == list(range(10))


# ---------------------------------------------------------------- in an audit


def test_the_baseline_is_found_under_any_name() -> None:
    """A label moves neither flag nor column; an attack that is called Noise is no baseline."""
    plan = make_plan(
        {
            "model": {"factory": "tests.engine.nets:small", "channels": 1},
            "data": {"path": "phantom:chest_xray", "count": 20, "pixels": 28},
            "attacks": [
                {"name": "Noise", "label": "uniform"},
                {"name": "FGSM", "label": "Noise"},
            ],
            "audit": {"eps": ["4/255"]},
            "doubts": {"probe": False},
        }
    )
    report = audit_plan(plan, device="cpu")
    assert {row.attack: row.baseline for row in report.rows} == {"uniform": True, "Noise": False}
    (verdict,) = verdicts(report)
    assert verdict.noise is not None and verdict.noise.attack == "uniform"


@dataclass(frozen=True)
class Sampled:
    """A black box that tries the given images: those of an attack on the sound network."""

    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "scores"
    traits: ClassVar[AttackTraits] = AttackTraits()
    passes: ClassVar[int] = 1
    stream_key: ClassVar[str] = "Sampled()"

    def __call__(
        self, model: Any, x: Tensor, y: Tensor, threat: Any, streams: Any, target: Any = None
    ) -> Tensor:
        with torch.enable_grad():
            return PGD(start="image")(trained(28).eval(), x, y, threat, streams, target)


def flags(made: nn.Module, attacks: list[Attack]) -> set[str]:
    """Names of the flags of a small audit."""
    cases = open_cases("phantom:chest_xray", count=40, pixels=28)
    options: dict[str, Any] = {"eps": ["8/255"], "device": "cpu", "gallery": 0}
    report = audit(Classifier(made, channels=1), cases, attacks=attacks, **options)
    return {flag.name for flag in report.flags}


@pytest.mark.slow
def test_a_black_box_of_the_plan_feeds_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients point the wrong way, and the probe's own black box has one query."""
    monkeypatch.setattr("robust.diagnostics.reattack.QUERIES", 1)
    flag, white, black = "black box beats white box", PGD(steps=10), Sampled()
    assert flag not in flags(Turned(trained(28)), [white])
    assert flag in flags(Turned(trained(28)), [white, black])
    assert flag not in flags(trained(28), [white, black])
