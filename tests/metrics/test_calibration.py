"""Calibration: against torchmetrics and scikit-learn, closed forms, and how often intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from experiments.coverage.data import calibration_truth, judged
from robust.cases import Cases
from robust.metrics.arrays import Array, Places
from robust.metrics.by_group import ByGroup
from robust.metrics.calibration import (
    BINS,
    Confidences,
    answers_labels,
    brier_score,
    calibration_error,
    chance_error,
)
from robust.metrics.scores import Condition, Scorer
from robust.tasks.classification import Classification
from tests.engine.nets import phantoms
from tests.metrics.test_intervals import holds, rarely


def drawn(classes: int, cases: int = 400) -> tuple[Array, Places]:
    rng = np.random.default_rng(classes)
    return 2 * rng.normal(size=(cases, classes)), rng.integers(0, classes, cases)


def every(cases: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.ones(cases, bool)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_against_torchmetrics_and_scikit_learn(classes: int) -> None:
    logits, labels = drawn(classes)
    found, by_group = Confidences.of(logits, labels), ByGroup(range(400))
    chances = torch.from_numpy(logits).softmax(1)
    theirs = multiclass_calibration_error(
        chances, torch.from_numpy(labels), num_classes=classes, n_bins=BINS, norm="l1"
    )
    ece = calibration_error(by_group, found, every(400))
    assert ece is not None and ece.value == pytest.approx(float(theirs), abs=1e-6)
    brier = brier_score(by_group, found, every(400))
    wanted = brier_score_loss(
        labels if classes > 2 else labels == 1,
        chances.numpy() if classes > 2 else chances[:, 1].numpy(),
        scale_by_half=False,
        labels=list(range(classes)) if classes > 2 else None,
    )
    assert brier is not None and brier.value == pytest.approx(wanted, abs=1e-12)


def test_sure_predictions_are_in_the_last_bin() -> None:
    """torchmetrics puts a confidence of exactly 1 in a bin of its own."""
    logits = np.array([[0.0, 800.0], [0.0, 3.5]])
    found = Confidences.of(logits, np.array([0, 1]))
    assert found.bins.tolist() == [BINS - 1, BINS - 1] and found.confidence[0] == 1.0
    error = calibration_error(ByGroup(range(2)), found, every(2))
    gap = (found.confidence.sum() - 1) / 2
    assert error is not None and error.value == pytest.approx(gap)
    assert found.squares[0] == 2.0


def test_a_constant_confidence_is_off_by_what_it_says_too_much() -> None:
    """Sure to .9 on cases of which 3 of 4 are right: ECE .15, Brier 2 (.75 .1^2 + .25 .9^2)."""
    logits = np.repeat([[0.0, np.log(9)]], 80, 0)
    found = Confidences.of(logits, (np.arange(80) % 4 > 0).astype(int))
    by_group = ByGroup(range(80))
    ece, brier = (f(by_group, found, every(80)) for f in (calibration_error, brier_score))
    assert ece is not None and ece.value == pytest.approx(0.15)
    assert brier is not None and brier.value == pytest.approx(2 * (0.75 * 0.01 + 0.25 * 0.81))


def test_what_chance_makes_of_a_calibrated_model() -> None:
    """The mean over labels that are drawn as the confidences say, of 30 to 300 cases."""
    rng = np.random.default_rng(0)
    for cases in (30, 300):
        logits = np.stack([np.zeros(cases), rng.normal(2, 1.5, cases)], 1)
        chances = 1 / (1 + np.exp(-logits[:, 1]))
        seen = []
        for _ in range(400):
            labels = (rng.random(cases) < chances).astype(int)
            found = Confidences.of(logits, labels)
            ece = calibration_error(ByGroup([0] * cases), found, every(cases))
            assert ece is not None
            seen.append(ece.value)
        spread = np.std(seen) / 20
        assert chance_error(found, every(cases)) == pytest.approx(np.mean(seen), abs=4 * spread)


def test_few_groups_leave_no_interval_and_no_case_no_score() -> None:
    logits, labels = drawn(2, 40)
    found, by_group = Confidences.of(logits, labels), ByGroup((np.arange(40) % 8).tolist())
    ece = calibration_error(by_group, found, every(40))
    assert ece is not None and (ece.interval, ece.groups_needed) == (None, 10)
    none = ~every(40)
    assert calibration_error(by_group, found, none) is None
    assert chance_error(found, none) is None and brier_score(by_group, found, none) is None


@pytest.mark.parametrize(
    ("groups", "kind", "alike"),
    [
        (10, "sure and calibrated", 1.0),
        (50, "calibrated", 1.0),
        (50, "attacked", 0.5),
        pytest.param(200, "calibrated", 0.0, marks=pytest.mark.slow),
        pytest.param(200, "far too sure", 0.5, marks=pytest.mark.slow),
    ],
)
def test_intervals_hold_the_truth(groups: int, kind: str, alike: float) -> None:
    rng = np.random.default_rng([groups, *kind.encode()])
    truth = calibration_truth(kind)
    held = [0, 0]
    for _ in range(250):
        data = judged(rng, groups, kind, alike)
        found, by_group = Confidences.of(data.logits, data.labels), ByGroup(data.groups.tolist())
        for place, score in enumerate((calibration_error, brier_score)):
            held[place] += holds(score(by_group, found, every(len(data.labels))), truth[place])
    assert not rarely(held[0], 250) and not rarely(held[1], 250)


def test_scores_have_them_under_attack_too_and_not_of_labels_alone() -> None:
    cases: Cases = phantoms(40)
    task = Classification("error", (1,), None, cases.classes)
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(40, 2))
    clean = Condition.clean(logits)
    by_group = ByGroup(range(40))
    scorer = task.scorer(by_group, cases, clean)
    (before,) = scorer.score(clean, [every(40)])
    (after,) = scorer.score(Condition.clean(-4 * logits), [every(40)])
    assert before.ece and after.ece and before.brier and after.brier and before.ece_chance
    labels = np.array([entry.label for entry in cases.entries])
    wanted = Confidences.of(-4 * logits, labels)
    assert after.brier.value == pytest.approx(wanted.squares.mean())
    alone = np.eye(2)[rng.integers(0, 2, 40)]
    (said,) = task.scorer(by_group, cases, Condition.clean(alone)).score(clean, [every(40)])
    assert (said.ece, said.ece_chance, said.brier) == (None, None, None)
    assert answers_labels(alone) and not answers_labels(logits)
    assert not answers_labels(np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert isinstance(scorer, Scorer) and scorer.probabilities
