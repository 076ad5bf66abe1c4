"""The worst case over attacks, against its definition case by case in plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition, Ranking, Scorer, margins
from robust.metrics.worst_case import Ball, CellOutcome, inside_of, worst_case

CASES, CLASSES = 200, 3


def condition(rng: np.random.Generator, clean: np.ndarray, targeted: bool) -> Condition:
    """A random attack: it moves somewhere, fails at times, and has ties with others."""
    attacked = rng.random(CASES) < 0.8
    failed = attacked & (rng.random(CASES) < 0.2)
    good = attacked & ~failed
    logits = np.where(good[:, None], rng.integers(0, 4, clean.shape), clean).astype(float)
    labels = np.arange(CASES) % CLASSES
    success = good & (margins(logits, labels) > 0)
    if targeted:
        success &= logits.argmax(1) == 0
    moved = np.where(good, rng.choice([0.1, 0.2, 0.3], CASES), np.nan)
    return Condition(logits, attacked, failed, success, moved, *[2 * moved] * 4)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
def test_it_is_the_image_that_the_definition_chooses(norm: str, targeted: bool) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(CASES) % CLASSES
    clean = Condition.clean(rng.normal(size=(CASES, CLASSES)))
    scale = 1 if norm == "Linf" else 2
    cells = [
        CellOutcome(condition(rng, clean.kept, targeted), scale * eps)
        for eps in (0.1, 0.2, 0.3, math.inf)
    ]
    ball = Ball(norm, scale * 0.2, values=12)
    found = worst_case(clean, partial(margins, labels=labels), cells, ball)
    for case in range(CASES):
        best, place = (False, margins(clean.kept, labels)[case]), -1
        for i, cell in enumerate(cells):
            one = cell.condition
            moved = (one.linf if norm == "Linf" else one.l2)[case]
            value = (bool(one.success[case]), margins(one.kept, labels)[case])
            if one.evaluated[case] and moved <= ball.limit and value > best:
                best, place = value, i
        assert found.cell[case] == place
        chosen = clean if place < 0 else cells[place].condition
        assert (found.condition.kept[case] == chosen.kept[case]).all()
        assert found.condition.success[case] == best[0]
        tried = [c.condition for c in cells if c.eps <= ball.eps or math.isinf(c.eps)]
        assert found.condition.attacked[case] == any(c.attacked[case] for c in tried)
        assert found.condition.evaluated[case] == any(c.evaluated[case] for c in tried)


def test_an_image_just_outside_the_ball_does_not_count_but_rounding_does() -> None:
    clean = Condition.clean(np.array([[1.0, 0.0]] * 2))
    yes, no = np.ones(2, bool), np.zeros(2, bool)
    for norm, room in (("Linf", 2e-7), ("L2", 2e-7 * math.sqrt(300))):
        moved = 0.1 + room * np.array([0.9, 1.1])
        other = Condition(clean.kept[:, ::-1], yes, no, yes, *[moved] * 5)
        ball = Ball(norm, 0.1, values=300)
        found = worst_case(
            clean, partial(margins, labels=np.zeros(2, int)), [CellOutcome(other, math.inf)], ball
        )
        assert found.condition.success.tolist() == [True, False]


def test_without_an_attack_it_is_the_clean_image() -> None:
    clean = Condition.clean(np.array([[1.0, 0.0], [0.0, 1.0]]))
    found = worst_case(clean, partial(margins, labels=np.zeros(2, int)), [], Ball("Linf", 0.1, 1))
    assert (found.cell == -1).all() and not found.condition.attacked.any()
    assert (found.condition.kept == clean.kept).all()


@pytest.mark.parametrize("findings", [(), (1,), (1, 2)])
def test_the_attacker_on_the_auc_takes_every_image_and_never_does_worse(
    findings: tuple[int, ...],
) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        labels = np.arange(CASES) % CLASSES
        clean = Condition.clean(rng.normal(size=(CASES, CLASSES)))
        cells = [
            CellOutcome(condition(rng, clean.kept, seed % 2 == 0), eps) for eps in (0.1, 0.2, 0.3)
        ]
        ball = Ball("Linf", 0.2, values=12)
        ranking = Ranking(labels, findings, CLASSES)
        scorer = Scorer(ByGroup(range(CASES)), labels, ("a", "b", "c"), findings)
        found = [(c.condition.kept, inside_of(c.condition, ball)) for c in cells]
        pushed = scorer.pushed(clean, found)
        for case in range(0, CASES, 17):
            inside = [c.condition for c in cells]
            own = [
                ranking.of(c.kept)[case]
                for c in inside
                if c.evaluated[case] and c.linf[case] <= ball.limit
            ]
            every = np.stack([ranking.of(clean.kept)[case], *own])
            up = ranking.positive[case]
            assert (pushed[case] == np.where(up, every.min(0), every.max(0))).all()
        worst = worst_case(clean, scorer.damage, cells, ball).condition
        worst = replace(worst, failed=np.zeros(CASES, bool))  # with many of them, no AUC is given
        (scores,) = scorer.score(worst, [np.ones(CASES, bool)], pushed)
        assert scores.auc is not None and scores.attacker_auc is not None
        assert scores.attacker_auc.value <= scores.auc.value
