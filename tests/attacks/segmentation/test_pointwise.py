"""Attacks within an eps on pointwise linear segmenters: the closed form reached, never undercut."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from attacks import (
    APGD,
    BIM,
    FGSM,
    PGD,
    SEA,
    Attack,
    AutoAttack,
    CheapestPixels,
    CosPGD,
    Noise,
    SegPGD,
    ThreatModel,
)
from attacks.dense import IGNORE
from tests.attacks.segmentation import closed_forms as truth
from tests.attacks.segmentation.closed_forms import Scores
from tests.attacks.segmentation.toys import (
    PointwiseCases,
    flat,
    labels_of,
    pointwise_cases,
    scores_of,
)

MODELS, CASES = 5, 100
TOLERANCE = 1e-12
EPS = [0.02 + 0.07 * seed for seed in range(MODELS)]


@cache
def worst(cases: PointwiseCases, eps: float, row: int | None) -> list[Scores]:
    """The lowest scores of each case at eps in L-inf, of one structure."""
    own = 0 if row is None else row
    score = cases.model.weight[own].numpy(), float(cases.model.bias[own])
    masks = cases.y if row is None else cases.y[:, row]
    return [
        truth.worst_scores(*score, flat(x), labels_of(true) == 1, eps)
        for x, true in zip(cases.x, masks, strict=True)
    ]


def against_worst(
    cases: PointwiseCases, attack: Attack, eps: float, row: int | None = None
) -> tuple[int, int]:
    """Cases with the lowest accuracy, Dice and IoU at eps in L-inf, and cases below one of them.

    Of two classes, or with `row` of one of the overlapping structures, which alone is attacked.
    """
    y = cases.y
    if row is not None:
        y = torch.full_like(y, IGNORE)
        y[:, row] = cases.y[:, row]
    attacked = PointwiseCases(cases.model, cases.x, y)
    found = attacked.predicted(attacked.attacked(attack, ThreatModel("Linf", eps)))
    equal = below = 0
    for best, mask, true in zip(worst(cases, eps, row), found, cases.y, strict=True):
        mask, true = (mask, true) if row is None else (mask[row], true[row])
        reached = scores_of(mask, true)
        gaps = [
            reached.accuracy - best.accuracy,
            reached.dice - best.dice,
            reached.iou - best.iou,
        ]
        equal += max(gaps) < TOLERANCE
        below += min(gaps) < -TOLERANCE
    return equal, below


@pytest.mark.parametrize("attack", [PGD(), SegPGD(), CosPGD()], ids=["PGD", "SegPGD", "CosPGD"])
def test_linf_with_two_classes(attack: Attack) -> None:
    """500 images with one to three channels, a fifth of them black or white, five eps."""
    equal = below = 0
    for seed, eps in enumerate(EPS):
        hits = against_worst(pointwise_cases(CASES, seed, channels=1 + seed % 3), attack, eps)
        equal, below = equal + hits[0], below + hits[1]
    assert below == 0
    assert equal >= 0.99 * MODELS * CASES


@pytest.mark.parametrize("attack", [PGD(), SegPGD(), CosPGD()], ids=["PGD", "SegPGD", "CosPGD"])
def test_linf_per_class(attack: Attack) -> None:
    """Of three overlapping structures each on its own; the others do not count."""
    equal = below = 0
    for seed, eps in enumerate(EPS):
        cases = pointwise_cases(34, seed, rows=3, channels=2, overlapping=True)
        for row in range(3):
            hits = against_worst(cases, attack, eps, row)
            equal, below = equal + hits[0], below + hits[1]
    assert below == 0
    assert equal >= 0.99 * MODELS * 34 * 3


@pytest.mark.parametrize(
    "attack",
    [PGD(), SegPGD(), CosPGD(), PGD(loss="dice"), FGSM(), BIM(), APGD(steps=20), SEA(steps=10)],
    ids=["PGD", "SegPGD", "CosPGD", "Dice", "FGSM", "BIM", "APGD", "SEA"],
)
def test_linf_in_volumes(attack: Attack) -> None:
    equal, below = against_worst(pointwise_cases(60, 3, channels=2, space=(4, 5, 6)), attack, 0.1)
    assert below == 0
    assert equal >= 59


def test_the_comparison_can_fail() -> None:
    """Noise does not search, and steps that cannot cross the ball do not get there."""
    cases = pointwise_cases(60, 3, channels=2)
    for attack in (Noise(), PGD(steps=4, step_size=0.1)):
        equal, below = against_worst(cases, attack, 0.1)
        assert below == 0
        assert equal < 20


@pytest.mark.parametrize(
    "attack",
    [PGD(), SegPGD(), CosPGD(), PGD(loss="dice"), SEA(steps=10), AutoAttack(20, 50)],
    ids=["PGD", "SegPGD", "CosPGD", "Dice", "SEA", "AutoAttack"],
)
def test_several_exclusive_classes(attack: Attack) -> None:
    """Bounds on each class and on the accuracy; with colours the latter alone is known."""
    for channels in (1, 3):
        cases = pointwise_cases(40, channels, rows=4, channels=channels)
        weight, bias = cases.model.weight.numpy(), cases.model.bias.numpy()
        found = cases.predicted(cases.attacked(attack, ThreatModel("Linf", 0.1)))
        wrong = possible = 0.0
        for x, mask, y in zip(cases.x, found, cases.y, strict=True):
            case = weight, bias, flat(x), labels_of(y), 0.1
            accuracy = float((mask == y).double().mean())
            lowest = truth.lowest_accuracy(*case)
            assert accuracy >= lowest - TOLERANCE
            wrong, possible = wrong + 1 - accuracy, possible + 1 - lowest
            for structure in range(1, 4) if channels == 1 else ():
                worst = truth.worst_of_class(*case, structure)
                assert scores_of(mask, y, structure).dice >= worst.dice - TOLERANCE
        assert wrong > 0.7 * possible


# ---------------------------------------------------------------- L2


@cache
def budgets(
    n: int, space: tuple[int, ...], models: int
) -> list[tuple[PointwiseCases, float, list[float]]]:
    """Cases, an eps in L2 for them, and the lowest Dice of each there.

    Budgets make wrong from 15 to 75 % of the pixels, and no pixel meets the box.
    """
    found = []
    for seed in range(models):
        cases = pointwise_cases(n, seed, channels=1 + seed % 3, space=space, box=False)
        score = cases.model.weight[0].numpy(), float(cases.model.bias[0])
        each = [(*score, flat(x), labels_of(y) == 1) for x, y in zip(cases.x, cases.y, strict=True)]
        share = 0.15 + 0.6 * seed / max(models - 1, 1)
        eps = float(np.median([truth.smallest_l2(truth.costs(*case), share) for case in each]))
        found.append((cases, eps, [truth.minimum_dice_l2(*case, eps) for case in each]))
    return found


def gaps_in_l2(attack: Attack, n: int, space: tuple[int, ...], models: int = 3) -> np.ndarray:
    """Dice that an attack reaches above the lowest that the budget allows: `(cases,)`."""
    gaps = []
    for cases, eps, lowest in budgets(n, space, models):
        x_adv = cases.attacked(attack, ThreatModel("L2", eps))
        assert bool(((x_adv > 0) & (x_adv < 1)).all())
        for mask, y, least in zip(cases.predicted(x_adv), cases.y, lowest, strict=True):
            gaps.append(scores_of(mask, y).dice - least)
    return np.array(gaps)


def test_minimum_dice_in_l2() -> None:
    gaps = gaps_in_l2(CheapestPixels(steps=3), 12, (16, 16))
    assert gaps.min() >= -TOLERANCE
    assert gaps.max() <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("space", [(16, 16), (7, 6, 6)])
def test_minimum_dice_in_l2_of_a_thousand(space: tuple[int, ...]) -> None:
    gaps = gaps_in_l2(CheapestPixels(), 100, space, models=10)
    assert len(gaps) == 1000
    assert gaps.min() >= -TOLERANCE
    assert np.mean(gaps <= 0.02) >= 0.99


@pytest.mark.parametrize(
    "attack",
    [PGD(), PGD(loss="dice", restarts=2), SegPGD(), CosPGD(), SEA(steps=20), AutoAttack(20, 50)],
    ids=["PGD", "Dice", "SegPGD", "CosPGD", "SEA", "AutoAttack"],
)
def test_no_other_loss_shares_out_a_budget(attack: Attack) -> None:
    """None goes below the minimum in L2, and none comes near it: they push at all pixels."""
    gaps = gaps_in_l2(attack, 8, (16, 16))
    assert gaps.min() >= -TOLERANCE
    assert gaps.mean() > 0.15


def test_the_budget_of_a_slice_is_its_own() -> None:
    """In L2-slice every slice has a whole budget, and none gets more than that pays for."""
    cases = pointwise_cases(4, 1, space=(3, 12, 12), box=False)
    score = cases.model.weight[0].numpy(), float(cases.model.bias[0])
    eps = 0.5
    attack = CheapestPixels(rounds=2, steps=3)
    by_slice = cases.predicted(cases.attacked(attack, ThreatModel("L2-slice", eps)))
    whole = cases.predicted(cases.attacked(attack, ThreatModel("L2", eps)))
    wrong_in_slices = wrong_in_whole = 0
    for x, y, one, other in zip(cases.x, cases.y, by_slice, whole, strict=True):
        for number in range(3):
            case = *score, flat(x[:, number]), labels_of(y[number]) == 1
            accuracy = float((one[number] == y[number]).double().mean())
            assert accuracy >= truth.lowest_accuracy_l2(*case, eps) - TOLERANCE
        wrong_in_slices += int((one != y).sum())
        wrong_in_whole += int((other != y).sum())
    assert wrong_in_slices > 1.3 * wrong_in_whole
