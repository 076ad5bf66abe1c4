"""An attacker who may touch a part of each image: nothing else changes, and the budget goes there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, PGD, Streams, ThreatModel, make_attack
from robust.engine.touch.region import WithinRegion, confined
from robust.engine.verified_attack import AttackSetup, attack_batch
from robust.records import AuditedTask
from robust.tasks.contract import Batch
from robust.tasks.segmentation import Segmentation
from tests.tasks.drawn import LEVELS, NAMES, SLICES, drawn, pointwise

DENSE = sorted(name for name, kind in ATTACKS.items() if kind().traits.dense)
NORMS_AND_EPS = {"Linf": 0.16, "L2": 1.5, "L2-slice": 1.0, "L1": 8.0}
QUICK: dict[str, dict[str, Any]] = {
    "ALMAProx": {"steps": 20},
    "APGD": {"steps": 5},
    "AutoAttack": {"steps": 2, "queries": 5},
    "SEA": {"steps": 3},
    "Square": {"queries": 20},
}


def confined_batch(touch: str, volumes: bool = False) -> tuple[Segmentation, Batch, Any]:
    """Two drawn cases, with the task and the network."""
    cases = [drawn(2, volumes=volumes)[i] for i in range(2)]
    model = pointwise(blur=True).eval().requires_grad_(False)
    record = AuditedTask("segmentation", NAMES, touch=touch)
    task = Segmentation(record, "error", ("background", *NAMES), (1, 2))
    x = torch.stack([case.image for case in cases])
    kept = torch.from_numpy(task.keep(model(x), cases))
    return task, Batch((0, 1), tuple(cases), x, task.labels(cases, x), kept), model


def attacked(name: str, norm: str, touch: str, volumes: bool = False) -> tuple[Tensor, Tensor]:
    """How an attack moved each image, and the region in which it may."""
    task, batch, model = confined_batch(touch, volumes)
    attack = make_attack(name, **QUICK.get(name, {}))
    eps = math.inf if attack.minimum_norm else NORMS_AND_EPS[norm]
    setup = AttackSetup(attack, "key", ThreatModel(norm, eps), task, seed=0)
    x_adv, outcomes = attack_batch(model, setup, batch)
    assert [one.failure for one in outcomes] == [None, None]
    region = task.region(batch)
    assert region is not None
    return x_adv - batch.x, region


@pytest.mark.parametrize("touch", ["inside", "outside"])
@pytest.mark.parametrize("name", DENSE)
def test_no_pixel_outside_the_region_changes(name: str, touch: str) -> None:
    moved, region = attacked(name, make_attack(name).norms[0], touch)
    assert not bool(moved[~region].any())
    assert bool(moved[region].any())


@pytest.mark.parametrize("volumes", [False, True])
@pytest.mark.parametrize("name", ["Noise", "FGSM", "PGD", "SegPGD"])
def test_the_whole_l2_budget_is_spent_in_the_region(name: str, volumes: bool) -> None:
    norm = "L2-slice" if volumes else "L2"
    moved, region = attacked(name, norm, "inside", volumes)
    assert not bool(moved[~region].any())
    slices = moved[:, 0] if volumes else moved
    length = slices.flatten(2).norm(dim=2)
    assert length.shape[1] == (SLICES if volumes else 1)
    used = length / NORMS_AND_EPS[norm]
    assert bool((used < 1 + 1e-5).all())
    # The box takes a little of noise: it is not drawn again.
    assert bool((used > (0.9 if name == "Noise" else 1 - 1e-4)).all())


@pytest.mark.parametrize("touch", ["inside", "outside"])
def test_on_a_pointwise_network_those_pixels_fall_that_must(touch: str) -> None:
    """Of two classes: a pixel falls exactly if it may change and lies within eps of the border."""
    eps = 0.15
    case = drawn(1)[0]  # without a lesion
    model = pointwise().eval().requires_grad_(False)
    assert case.mask is not None
    y = case.mask.long()[None]
    task = Segmentation(
        AuditedTask("segmentation", NAMES[:1], touch=touch), "error", ("background", "organ"), (1,)
    )
    x = case.image[None]
    batch = Batch((0,), (case,), x, y, torch.zeros(1, 1))

    def two(z: Tensor) -> Tensor:
        found: Tensor = model(z)[:, :2]
        return found

    attack = PGD(steps=40, loss="margin")
    streams = Streams.of(0, ["a"], "key")
    x_adv = confined(attack, task.region(batch))(two, x, y, ThreatModel("Linf", eps), streams)
    fallen = two(x_adv).argmax(1) != y
    border = (LEVELS[0] + LEVELS[1]) / 2
    inside = task.region(batch)
    assert inside is not None
    expected = ((x - border).abs() < eps) & inside
    near = ((x - border).abs() - eps).abs() < 1e-4
    assert torch.equal(fallen[~near[:, 0]], expected[:, 0][~near[:, 0]])
    assert 0 < int(fallen.sum()) < int(inside.sum())


@dataclass(frozen=True)
class Asking:
    """An attack that notes what the model it is given shows of an image of ones."""

    minimum_norm: ClassVar[bool] = False

    def __call__(
        self, model: Any, x: Tensor, y: Tensor, threat: Any, streams: Any, target: Any = None
    ) -> Tensor:
        assert len(x) == len(y) == 1, "one case after another"
        return model(torch.ones_like(x))


def test_the_model_sees_clean_pixels_elsewhere() -> None:
    x = torch.rand(3, 1, 4, 4)
    region = torch.rand(3, 1, 4, 4) < 0.5
    streams = Streams.of(0, ["a", "b", "c"], "key")
    threat = ThreatModel("Linf", 1.0)
    seen = WithinRegion(Asking(), region)(lambda z: z, x, x[:, 0].long(), threat, streams)
    assert torch.equal(seen, torch.where(region, 1.0, x))
    whole = Asking()
    assert confined(whole, None) is whole
