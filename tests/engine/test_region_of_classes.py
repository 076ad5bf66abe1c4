"""Attacks on classes within a box or a mask: the optimum of a linear model, and nothing outside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from attacks import APGD, BIM, FGSM, FMN, PGD, Attack, MarginPGD, Streams, ThreatModel
from robust.auditing import audit, audit_plan
from robust.engine.touch.region import WithinRegion
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.report.text.words import words
from robust.tasks.region import box_region
from tests.engine.nets import BRIEF, classifier, phantoms
from tests.toys import _to_hyperplane, linear_cases

BOX = (0.25, 0.0, 0.75, 0.6)
GRADIENTS: list[Attack] = [
    PGD(steps=10),
    APGD(steps=10),
    FMN(steps=20),
    BIM(),
    FGSM(),
    MarginPGD(),
]


def regions(kind: str, x: Tensor) -> Tensor:
    if kind == "box":
        return box_region(x, BOX, "inside")
    drawn = torch.rand(len(x), 1, *x.shape[2:], generator=torch.Generator().manual_seed(1))
    return drawn < 0.4


def within(
    attack: Attack,
    norm: str,
    eps: float,
    kind: str,
    together: bool = False,
    box: str = "binding",
    n: int = 8,
) -> tuple[Any, Tensor, Tensor, Tensor, Tensor]:
    model, x, y = linear_cases(box, n=n)
    region = regions(kind, x)
    confined = WithinRegion(attack, region, together)
    x_adv = confined(model, x, y, ThreatModel(norm, eps), Streams.of(0, range(len(x))), None)
    outside = ~region.expand_as(x)
    assert torch.equal(x_adv[outside], x[outside]), "to the bit"
    return model, x, y, region, x_adv


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", GRADIENTS, ids=lambda attack: type(attack).__name__)
def test_a_batch_in_one_box_finds_what_its_cases_find_alone(attack: Attack, norm: str) -> None:
    if norm not in attack.norms:
        pytest.skip(f"{type(attack).__name__} does not work in {norm}")
    assert attack.traits.keeps_still
    eps = math.inf if attack.minimum_norm else {"Linf": 0.05, "L2": 0.3}[norm]
    alone = within(attack, norm, eps, "box")[-1]
    together = within(attack, norm, eps, "box", True)[-1]
    assert torch.allclose(together, alone, atol=1e-9)


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("attack", [PGD(steps=40, start="image"), APGD(steps=40)])
def test_the_optimum_in_linf_is_reached(attack: Attack, kind: str) -> None:
    """Each pixel of the region at eps or at the box, and no other moved."""
    eps = 0.1
    model, x, y, region, x_adv = within(attack, "Linf", eps, kind)
    raises = model.weight.view(1, *x.shape[1:]) * (1 - 2 * y).view(-1, 1, 1, 1)
    best = (x + eps * raises.sign()).clamp(0, 1)
    optimum = ((best - x) * raises * region).flatten(1).sum(1)
    gained = ((x_adv - x) * raises).flatten(1).sum(1)
    assert torch.allclose(gained, optimum, rtol=1e-6)


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        (PGD(steps=100, start="image"), "mask"),
        (APGD(steps=100), "box"),
        pytest.param(PGD(steps=100, start="image"), "box", marks=pytest.mark.slow),
        pytest.param(APGD(steps=100), "mask", marks=pytest.mark.slow),
    ],
)
def test_the_optimum_in_l2_is_reached(attack: Attack, kind: str) -> None:
    """By the conditions of Karush, Kuhn and Tucker it is clip(t u) on the region: bisect t."""
    eps = 0.8
    model, x, y, region, x_adv = within(attack, "L2", eps, kind, n=4)
    raises = model.weight.view(1, *x.shape[1:]) * (1 - 2 * y).view(-1, 1, 1, 1) * region
    low, high = torch.zeros(len(x), 1, 1, 1), torch.full((len(x), 1, 1, 1), 1e3)
    for _ in range(100):
        t = (low + high) / 2
        length = ((x + t * raises).clamp(0, 1) - x).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        low, high = torch.where(length < eps, t, low), torch.where(length < eps, high, t)
    optimum = (((x + low * raises).clamp(0, 1) - x) * raises).flatten(1).sum(1)
    assert float((x_adv - x).flatten(1).norm(dim=1).max()) <= eps * (1 + 1e-9)
    gained = ((x_adv - x) * raises).flatten(1).sum(1)
    assert torch.allclose(gained, optimum, rtol=1e-6)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_nearest_image_in_a_region(norm: str) -> None:
    model, x, y, region, x_adv = within(FMN(steps=100), norm, math.inf, "mask", box="free")
    with torch.no_grad():
        raises = model.weight * (1 - 2 * y)[:, None]
        gap = model(x).diff(dim=1).abs()[:, 0]
    worst = 0.0
    for i, inside in enumerate(region.flatten(1)):
        exact = _to_hyperplane(
            x[i : i + 1].flatten(1)[:, inside],
            raises[i : i + 1, inside],
            *(gap[i : i + 1], norm, True),
        )
        if float(exact) < 0.3:  # else the box of the image forbids it, nearly
            found = ThreatModel(norm, 0).distance(x_adv[i : i + 1], x[i : i + 1])
            assert exact <= found * (1 + 1e-9)
            worst = max(worst, float(found / exact) - 1)
    assert worst < 1e-2, worst


def plan_of(folder: Path, **tables: Any) -> Any:
    """A folder of images with a region each, in its left half, and a network."""
    rows = ["file,label,patient,region"]
    for i in range(12):
        pixels = (phantoms(24)[i].image[0].numpy() * 255).astype(np.uint8)
        mask = np.zeros_like(pixels)
        mask[:, :14] = 255
        Image.fromarray(pixels).save(folder / f"{i}.png")
        Image.fromarray(mask if i else mask[:, 1:]).save(folder / f"m{i}.png")
        rows.append(f"{i}.png,{['normal', 'ill'][i % 2]},p{i},m{i}.png")
    rows[1] = rows[1].replace("m0", tables.pop("first", "m1"))
    (folder / "cases.csv").write_text("\n".join(rows), encoding="utf-8")
    raw = {
        "model": {"factory": "tests.engine.nets:small", "channels": 1, "head": "softmax"},
        "data": {"path": str(folder), "group": "patient", "region": "region"},
        "attacks": [{"name": "Noise"}, {"name": "BIM"}],
        "audit": {"eps": ["8/255"], "touch": "inside"},
        "doubts": {"probe": False},
        "report": {"gallery": 0},
    }
    return make_plan(
        {
            name: {**one, **tables.get(name, {})} if isinstance(one, dict) else one
            for name, one in raw.items()
        }
    )


def test_a_plan_names_the_region_of_each_case(tmp_path: Path) -> None:
    report = audit_plan(plan_of(tmp_path))
    assert report.task.touch == "inside" and not report.task.is_segmentation
    assert words(report).where == " inside the region of each case"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"first": "m0"}, r"m0.png"),
        ({"data": {"region": "regoin"}}, "regoin"),
        ({"data": {"region": None}}, "has no region; name the column of masks: region"),
        ({"audit": {"box": [0, 0, 1, 1], "touch": "outside"}}, "no pixel of an image"),
    ],
)
def test_a_wrong_region_is_one_line(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as raised:
        audit_plan(plan_of(tmp_path, **change))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("box", [[0.5, 0, 0.5, 1], [0, 0, 1.2, 1], [0.6, 0, 0.4, 1], [0, 0, 1]])
def test_a_wrong_box_is_refused(box: list[float]) -> None:
    with pytest.raises(InputError, match="box") as raised:
        make_plan({"audit": {"box": box}}, "audit")
    assert "\n" not in str(raised.value)


def test_an_audit_within_a_box_says_so_and_finds_less() -> None:
    options: dict[str, Any] = {"attacks": ["PGD"], "eps": ["8/255"], **BRIEF}
    whole = audit(classifier(), phantoms(24), **options)
    report = audit(classifier(), phantoms(24), box=list(BOX), **options)
    assert words(report).where == " inside the box left 25 %, top 0 %, right 75 %, bottom 60 %"
    part, all_of_it = report.worst.robust_accuracy, whole.worst.robust_accuracy
    assert part is not None and all_of_it is not None and part.value > all_of_it.value
    outside = audit(classifier(), phantoms(24), box=list(BOX), touch="outside", **options)
    assert outside.task.touch == "outside" and outside.task.box == BOX


@pytest.mark.parametrize("scenario", [{"universal": [2]}, {"patch": [0.1]}, {"spatial": {}}])
def test_what_changes_the_whole_image_is_refused(scenario: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="lets the attacker touch a part"):
        audit(
            *(Classifier(classifier().network, channels=1), phantoms(8)),
            attacks=["FGSM"],
            box=list(BOX),
            scenarios=scenario,
        )
