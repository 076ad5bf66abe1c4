"""Near copies in feature space: found whatever the dimensions, and none by chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from detectors import (
    BayesianUncertainty,
    Detector,
    Features,
    FittedDetector,
    KernelDensity,
    Reference,
)
from detectors.bayesian_uncertainty import UNCERTAINTY
from robust.detection.cross_fitting import FeatureSet
from robust.detection.feature_copies import copies_among, likeness
from robust.detection.transfer_matrix import EvaluationData, evaluate_transfer
from robust.errors import InputError

N = 200
DETECTORS = pytest.mark.parametrize(
    "detector", [KernelDensity(), BayesianUncertainty()], ids=lambda one: type(one).__name__
)


def features(values: Tensor, labels: Tensor) -> Features:
    chance = torch.Generator().manual_seed(int(values.abs().sum() * 100))
    noise = torch.rand(len(values), 1, generator=chance)
    return Features(3 * torch.eye(2)[labels], {"deep": values}, {UNCERTAINTY: noise})


def draw(dimensions: int, seed: int, count: int = N) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


LABELS = torch.arange(N) % 2


def reference(values: Tensor) -> Reference:
    return Reference(features(values, LABELS), LABELS)


@pytest.mark.parametrize("dimensions", [2, 4, 16, 64])
def test_independent_images_are_no_copies_whatever_the_dimensions(dimensions: int) -> None:
    for seed in range(0, 10, 2):
        known = reference(draw(dimensions, seed))
        images = features(draw(dimensions, seed + 1), LABELS)
        like = likeness(images, known)
        assert not like.copies and abs(like.nearness - 0.5) < 0.12
        assert not copies_among(images, np.arange(N))


@pytest.mark.parametrize(("dimensions", "noise"), [(4, 0.005), (16, 0.1), (64, 0.1)])
def test_near_copies_are_found_with_what_they_are_copies_of(dimensions: int, noise: float) -> None:
    known, others = draw(dimensions, 0), draw(dimensions, 1)
    others[:30] = known[50:80] + noise * draw(dimensions, 2)[:30]
    others[100:110] = others[190:200] + noise * draw(dimensions, 3)[:10]
    images = features(others, LABELS)
    found = likeness(images, reference(known)).copies
    assert {a for a, _ in found} <= set(range(30)) and len(found) >= 28
    assert all(b == a + 50 for a, b in found)
    pairs = {frozenset(pair) for pair in copies_among(images, np.arange(N))}
    assert len(pairs & {frozenset((100 + i, 190 + i)) for i in range(10)}) >= 9
    groups = np.arange(N)
    groups[190:200] = groups[100:110]
    assert not copies_among(images, groups)


def test_features_without_detail_have_no_copies() -> None:
    same = features(torch.ones(N, 5), LABELS)
    assert not likeness(same, reference(torch.ones(N, 5))).copies
    assert not copies_among(same, np.arange(N))


def evaluated(clean: Tensor, known: Tensor, detector: Detector) -> float:
    """The AUC of a detector on features in which attacks leave no trace."""
    at, learned = draw(32, 9), reference(known)
    detectors: dict[str, FittedDetector] = {"detector": detector.fit(learned)}
    data = EvaluationData(
        learned,
        FeatureSet(features(clean, LABELS), np.arange(N)),
        {"attack": FeatureSet(features(at, 1 - LABELS), np.arange(N))},
        {},
        LABELS.numpy(),
        np.arange(N),
    )
    (found,) = evaluate_transfer(detectors, data).metrics.values()
    assert found.auc.all_clean is not None
    return found.auc.all_clean.value


@DETECTORS
def test_features_without_signal_give_no_auc_of_one_through_near_copies(detector: Detector) -> None:
    known = draw(32, 0)
    assert 0.4 < evaluated(draw(32, 1), known, detector) < 0.6
    for noise in (1e-4, 0.05, 0.3):
        with pytest.raises(InputError, match="near copies of reference images"):
            evaluated(known + noise * draw(32, 2), known, detector)


@DETECTORS
def test_images_derived_from_the_reference_are_refused_though_none_is_a_near_copy(
    detector: Detector,
) -> None:
    known = draw(32, 0)
    derived = known + 0.75 * draw(32, 2)
    assert not likeness(features(derived, LABELS), reference(known)).copies
    with pytest.raises(InputError, match="lie nearer to the reference"):
        evaluated(derived, known, detector)


@DETECTORS
def test_near_copies_in_two_folds_are_refused(detector: Detector) -> None:
    clean = draw(32, 1)
    clean[1::2] = clean[::2] + 0.05 * draw(32, 3)[::2]
    with pytest.raises(InputError, match="near copy lie in two folds"):
        evaluated(clean, draw(32, 0), detector)
