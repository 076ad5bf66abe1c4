"""Cross-fitting: no case meets a head that has seen its group, and every leak is found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from detectors import DETECTORS, DeepFeatures, Features, Mahalanobis, Reconstruction
from detectors.bayesian_uncertainty import UNCERTAINTY
from detectors.contract import Learned
from robust.detection.cross_fitting import (
    FeatureSet,
    ScoredImages,
    check_learns_nothing,
    check_positives,
    check_separate,
    cross_fit,
    detection_metrics,
    fit_folds,
)
from robust.errors import InputError
from robust.metrics.by_group import ByGroup
from robust.metrics.groups import folds_by_group
from tests.detection.worlds import density, successes, world
from tests.detectors.draws import images


@dataclass(frozen=True)
class Spy(DeepFeatures):
    """Notes which statistics its heads were fitted on, and which they scored."""

    met: list[tuple[set[bytes], list[bytes]]] = field(default_factory=list)

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        keys = [
            torch.frombuffer(bytearray(row.numpy().tobytes()), dtype=torch.uint8) for row in clean
        ]
        return {**super().fit_head(clean, adversarial), "taught": torch.stack(keys)}

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        assert head is not None
        taught = {row.numpy().tobytes() for row in head["taught"]}
        self.met.append((taught, [row.numpy().tobytes() for row in statistics]))
        own = {name: value for name, value in head.items() if name != "taught"}
        return super().combine(statistics, learned, own)


def test_every_case_is_scored_once_by_a_detector_that_has_not_seen_its_group() -> None:
    w = world()
    folds = folds_by_group(w.groups, 0)
    spy = Spy(trees=3)
    fitted = spy.fit(w.reference)
    clean, moved = w.clean.measure(fitted), w.attacked(2.0).measure(fitted)
    found = cross_fit(fitted, clean, moved, {"a": moved}, folds)["a"]
    assert np.isfinite(found.clean).all() and np.isfinite(found.positive).all()
    of = {r.numpy().tobytes(): int(g) for r, g in zip(w.clean.features.deep, w.groups, strict=True)}
    assert spy.met
    for taught, rows in spy.met:
        known = {of[row] for row in taught}
        assert not known & {of[row] for row in rows if row in of}


def test_a_shift_is_seen_and_more_of_it_better() -> None:
    w = world()
    folds = folds_by_group(w.groups, 0)
    near, far = w.attacked(0.3), w.attacked(3.0)
    for detector in (density(w), Mahalanobis().fit(w.reference)):
        sides = {name: side.measure(detector) for name, side in (("near", near), ("far", far))}
        found = cross_fit(detector, w.clean.measure(detector), sides["far"], sides, folds)
        seen = {name: detection_metrics(one, ByGroup(w.groups)) for name, one in found.items()}
        far_auc, near_auc = seen["far"].auc.all_clean, seen["near"].auc.all_clean
        assert far_auc is not None and near_auc is not None
        assert far_auc.value > 0.95 > near_auc.value > 0.5
        assert far_auc.low <= far_auc.value <= far_auc.high
        rates = [rate.value for rate in seen["far"].detection_rates.values() if rate is not None]
        assert rates == sorted(rates) and rates[-1] > 0.8


def test_figures_are_those_of_scikit_learn_and_thresholds_of_clean_images() -> None:
    rng = np.random.default_rng(0)
    clean, positive = rng.normal(0, 1, 400), rng.normal(1, 2, 150)
    found = detection_metrics(
        ScoredImages(clean, positive, np.arange(400), np.arange(150)), ByGroup(np.arange(400))
    )
    truth = np.r_[np.zeros(400), np.ones(150)]
    area = found.auc.all_clean
    assert area is not None and found.positives == 150 and not found.too_few
    assert area.value == pytest.approx(roc_auc_score(truth, np.r_[clean, positive]))
    for share, rate in found.detection_rates.items():
        threshold = np.sort(clean)[::-1][int(share * 400)]
        assert rate is not None and rate.value == pytest.approx(
            np.mean(positive > threshold), abs=0.01
        )
        assert np.mean(clean > np.quantile(clean, 1 - share, method="higher")) <= share


def test_without_a_positive_there_is_no_auc() -> None:
    none = ScoredImages(np.zeros(9), np.zeros(0), np.arange(9), np.arange(0))
    assert detection_metrics(none, ByGroup(np.arange(9))).auc.all_clean is None


def test_planted_groups_on_two_sides() -> None:
    w = world()
    by_image = folds_by_group(np.arange(200), 0)
    with pytest.raises(InputError, match="lies in two folds"):
        check_separate(w.reference, w.clean, by_image, w.groups)


def test_planted_duplicates() -> None:
    """Copies under another patient's name: oversampling before the split."""
    w = world()
    f = w.clean.features
    twice = FeatureSet(Features.cat([f, f]), np.arange(400))
    groups = np.r_[w.groups, w.groups + 1000]
    with pytest.raises(InputError, match="duplicate lie in two folds"):
        check_separate(w.reference, twice, folds_by_group(groups, 0), groups)


def test_planted_failures_as_positives() -> None:
    w = world()
    attacked = w.attacked(1.0, part=0.5)
    with pytest.raises(InputError, match="positives of PGD are classified correctly"):
        check_positives(attacked, w.labels, "PGD")
    kept = successes(attacked, w)
    check_positives(kept, w.labels, "PGD")
    assert 60 < len(kept.cases) < 140


def test_learning_while_scoring_is_noticed_and_nothing_else() -> None:
    w = world()
    moved = w.attacked(1.0)
    for kind in DETECTORS.values():
        fitted = kind().fit(replace(w.reference, images=images))
        unsure = {
            name: torch.rand(200, 1, dtype=torch.float64)
            for name in (UNCERTAINTY, repr(Reconstruction()))
        }
        clean, adversarial = (replace(f, extras=unsure) for f in (w.clean.features, moved.features))
        if kind.has_head:
            sides = fitted.statistics(clean), fitted.statistics(adversarial)
            fitted = fitted.with_head(*sides)
        check_learns_nothing(fitted, clean)


@dataclass(frozen=True)
class Vanishing(DeepFeatures):
    """Scores that differ by denormal numbers alone, as those of a kernel that reaches no image."""

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        return statistics[:, 0].double() * 1e-44


def test_scores_that_hardly_differ_stay_finite() -> None:
    w = world()
    folds = folds_by_group(w.groups, 0)
    fitted = Vanishing(trees=3).fit(w.reference)
    clean, moved = w.clean.measure(fitted), w.attacked(2.0).measure(fitted)
    for fold in fit_folds(fitted, clean, moved, folds):
        found = fold.suspicion(w.attacked(2.0).features)
        assert bool(torch.isfinite(found).all()) and float(found.abs().max()) < 1e-30
