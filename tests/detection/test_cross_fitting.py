"""The protocol finds what is there, finds nothing where nothing is, and sees its rules broken."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from detectors import (
    DETECTORS,
    DeepFeatures,
    Detector,
    Features,
    KernelDensity,
    Mahalanobis,
    Pairs,
    QuantizedFeatures,
    Reference,
)
from detectors.bayesian_uncertainty import UNCERTAINTY
from detectors.contract import Learned
from robust.detection.cross_fitting import (
    FeatureSet,
    Scored,
    check_learns_nothing,
    check_positives,
    check_separate,
    cross_fit,
    detection_metrics,
    successes,
)
from robust.detection.null_control import NullResult, alarms, null_control
from robust.detection.transfer_matrix import evaluate_transfer
from robust.errors import InputError
from robust.metrics.bootstrap import Bootstrap
from robust.metrics.groups import folds_by_group, half_of_the_groups
from robust.records import Estimate


@dataclass
class World:
    """A reference, and cases two of which belong to each patient and resemble each other."""

    reference: Reference
    clean: FeatureSet
    labels: np.ndarray  # type: ignore[type-arg]
    groups: np.ndarray  # type: ignore[type-arg]

    def attacked(self, shift: float, part: float = 1.0, seed: int = 0) -> FeatureSet:
        """Twins of the clean images, moved by `shift`; a `part` of the attacks succeeded."""
        f = self.clean.features
        wrong = 3.0 * torch.eye(2, dtype=torch.float64)[1 - torch.from_numpy(self.labels)]
        fails = torch.rand(len(f), generator=torch.Generator().manual_seed(seed)) >= part
        logits = torch.where(fails[:, None], f.logits, wrong)
        return FeatureSet(Features(logits, {"deep": f.deep + shift}), self.clean.cases)


def world(n: int = 200, d: int = 16, seed: int = 0) -> World:
    g = torch.Generator().manual_seed(seed)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2
        return torch.randn(count, d, generator=g, dtype=torch.float64) + labels[:, None], labels

    def classify(labels: Tensor) -> Tensor:
        noise = torch.randn(len(labels), 2, generator=g, dtype=torch.float64)
        return 3 * torch.eye(2, dtype=torch.float64)[labels] + 0.3 * noise

    known, known_labels = draw(200)
    one, labels = draw(n // 2)
    other = one + 0.5 * torch.randn(one.shape, generator=g, dtype=torch.float64)
    both = labels.repeat(2)
    return World(
        Reference(Features(classify(known_labels), {"deep": known}), known_labels),
        FeatureSet(Features(classify(both), {"deep": torch.cat([one, other])}), np.arange(n)),
        both.numpy(),
        np.tile(np.arange(n // 2), 2),
    )


def density() -> KernelDensity:
    return KernelDensity(1.0)


def learned(detector: Detector, w: World) -> Detector:
    detector.learned = detector.learn(w.reference)
    return detector


def test_folds_keep_groups_whole_and_are_of_one_size() -> None:
    groups = np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 9, 60))
    folds = folds_by_group(groups, seed=3)
    for group in range(60):
        assert len(set(folds[groups == group])) == 1
    sizes = np.bincount(folds)
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 8
    assert (folds_by_group(groups, 3) == folds).all()
    assert (folds_by_group(groups, 4) != folds).any()
    with pytest.raises(InputError, match="3 groups cannot be cut into 5 folds"):
        folds_by_group(np.arange(3), 0)


def test_every_case_is_scored_once_by_a_detector_that_has_not_seen_its_group() -> None:
    w, met = world(), []

    class Spy(DeepFeatures):
        def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
            self.taught = {r.numpy().tobytes() for r in clean}
            return super().learn_head(clean, adversarial)

        def combine(self, statistics: Tensor) -> Tensor:
            met.append((self.taught, [r.numpy().tobytes() for r in statistics]))
            return super().combine(statistics)

    folds = folds_by_group(w.groups, 0)
    spy = learned(Spy(trees=3), w)
    clean, moved = w.clean.measured(spy), w.attacked(2.0).measured(spy)
    found = cross_fit(spy, clean, moved, {"a": moved}, folds)["a"]
    assert np.isfinite(found.clean).all() and np.isfinite(found.positive).all()
    of = {r.numpy().tobytes(): int(g) for r, g in zip(w.clean.features.deep, w.groups, strict=True)}
    for taught, rows in met:
        known = {of[row] for row in taught}
        assert not known & {of[row] for row in rows if row in of}


def test_a_shift_is_seen_and_more_of_it_better() -> None:
    w = world()
    folds = folds_by_group(w.groups, 0)
    near, far = w.attacked(0.3), w.attacked(3.0)
    for make in (density, Mahalanobis):
        detector = learned(make(), w)
        sides = {name: side.measured(detector) for name, side in (("near", near), ("far", far))}
        found = cross_fit(detector, w.clean.measured(detector), sides["far"], sides, folds)
        seen = {name: detection_metrics(one, Bootstrap(w.groups)) for name, one in found.items()}
        far_auc, near_auc = seen["far"].auc, seen["near"].auc
        assert far_auc is not None and near_auc is not None
        assert far_auc.value > 0.95 > near_auc.value > 0.5
        assert far_auc.low <= far_auc.value <= far_auc.high
        rates = [rate.value for rate in seen["far"].seen.values() if rate is not None]
        assert rates == sorted(rates) and rates[-1] > 0.8


def test_figures_are_those_of_scikit_learn_and_thresholds_of_clean_images() -> None:
    rng = np.random.default_rng(0)
    clean, positive = rng.normal(0, 1, 400), rng.normal(1, 2, 150)
    found = detection_metrics(
        Scored(clean, positive, np.arange(400), np.arange(150)), Bootstrap(np.arange(400))
    )
    truth = np.r_[np.zeros(400), np.ones(150)]
    assert found.auc is not None and found.positives == 150 and not found.few
    assert found.auc.value == pytest.approx(roc_auc_score(truth, np.r_[clean, positive]))
    for share, rate in found.seen.items():
        threshold = np.sort(clean)[::-1][int(share * 400)]
        assert rate is not None and rate.value == pytest.approx(
            np.mean(positive > threshold), abs=0.01
        )
        assert np.mean(clean > np.quantile(clean, 1 - share, method="higher")) <= share


def test_a_cell_without_a_success_is_empty_with_its_reason_and_never_0_or_1() -> None:
    w = world()
    none = successes(w.attacked(1.0, part=0.0).features, w.labels, w.clean.cases)
    some = successes(w.attacked(1.0, part=0.08).features, w.labels, w.clean.cases)
    matrix = evaluate_transfer(
        {"KD": density()},
        w.reference,
        w.clean,
        {"none": none, "some": some},
        {},
        w.labels,
        w.groups,
    )
    assert matrix.empty == {"none": "no attack succeeded"}
    assert list(matrix.cells) == [("KD", "some", "some")]
    assert matrix.cells["KD", "some", "some"].few
    assert (
        detection_metrics(
            Scored(np.zeros(9), np.zeros(0), np.arange(9), np.arange(0)), Bootstrap(np.arange(9))
        ).auc
        is None
    )


def test_the_matrix_with_controls() -> None:
    w = world()
    strong = successes(w.attacked(2.0).features, w.labels, w.clean.cases)
    weak = successes(w.attacked(0.4, part=0.5).features, w.labels, w.clean.cases)
    noise = FeatureSet(w.attacked(0.1, part=0.0).features, w.clean.cases)
    detectors = {"KD": density(), "Mahalanobis": Mahalanobis(), "QFeat": QuantizedFeatures()}
    attacks = {"strong": strong, "weak": weak}
    matrix = evaluate_transfer(
        detectors, w.reference, w.clean, attacks, {"noise": noise}, w.labels, w.groups
    )
    assert len(matrix.cells) == 3 * 2 * 3 and len(matrix.nulls) == 6
    assert matrix.alarms == () and matrix.empty == {}
    for detector in detectors:
        here = {name: matrix.cells[detector, "strong", name].auc for name in ("strong", "noise")}
        assert here["strong"] is not None and here["noise"] is not None
        assert here["strong"].value > 0.8 and abs(here["noise"].value - 0.5) < 0.15


def test_planted_groups_on_two_sides() -> None:
    w = world()
    by_image = folds_by_group(np.arange(200), 0)
    with pytest.raises(InputError, match="lies in two folds"):
        check_separate(w.reference, w.clean, by_image, w.groups)


def test_planted_evaluation_images_in_the_reference() -> None:
    w = world()
    f = w.clean.features.take(torch.arange(30))
    taught = Reference(
        Features.cat([w.reference.features, f]),
        torch.cat([w.reference.labels, torch.from_numpy(w.labels[:30])]),
    )
    with pytest.raises(InputError, match="30 of 200 images to be scored are among the reference"):
        evaluate_transfer({"KD": density()}, taught, w.clean, {}, {}, w.labels, w.groups)


def test_planted_duplicates() -> None:
    """Copies under another patient's name: oversampling before the split."""
    w = world()
    f = w.clean.features
    twice = FeatureSet(Features.cat([f, f]), np.arange(400))
    groups = np.r_[w.groups, w.groups + 1000]
    with pytest.raises(InputError, match="duplicate lie in two folds"):
        check_separate(w.reference, twice, folds_by_group(groups, 0), groups)


def test_planted_scaler_on_what_is_scored() -> None:
    class Scaled(KernelDensity):
        def statistics(self, features: Features) -> Tensor:
            found = super().statistics(features)
            return (found - found.mean()) / found.std()

    class Ranked(KernelDensity):
        def combine(self, statistics: Tensor) -> Tensor:
            return super().combine(statistics).argsort().argsort().double()

    w = world()
    moved = successes(w.attacked(1.0).features, w.labels, w.clean.cases)
    for planted in (Scaled(1.0), Ranked(1.0)):
        with pytest.raises(InputError, match="learns from what it scores"):
            evaluate_transfer(
                {"KD": planted}, w.reference, w.clean, {"a": moved}, {}, w.labels, w.groups
            )


def test_planted_failures_as_positives() -> None:
    w = world()
    with pytest.raises(InputError, match="positives of PGD are read correctly"):
        evaluate_transfer(
            {"KD": density()},
            w.reference,
            w.clean,
            {"PGD": w.attacked(1.0, part=0.5)},
            {},
            w.labels,
            w.groups,
        )
    kept = successes(w.attacked(1.0, part=0.5).features, w.labels, w.clean.cases)
    check_positives(kept, w.labels, "PGD")
    assert 60 < len(kept.cases) < 140


def test_planted_memory_is_heard_by_the_null() -> None:
    """A detector that knows the clean images it is to score, as a density fitted on them does."""
    w = world()
    folds = folds_by_group(w.groups, 0)
    clean_in_the_first_draw = ~half_of_the_groups(w.groups, folds, 0)

    class Knowing(KernelDensity):
        def statistics(self, features: Features) -> Tensor:
            rows = w.clean.features.take(torch.from_numpy(clean_in_the_first_draw)).deep
            known = {row.numpy().tobytes() for row in rows}
            new = [float(row.numpy().tobytes() not in known) for row in features.deep]
            return torch.tensor(new)[:, None]

    def null(detector: Detector, draws: int) -> NullResult:
        side = w.clean.measured(learned(detector, w))
        return null_control(detector, side, w.groups, folds, 0, draws)

    loud, sound = null(Knowing(1.0), 2), null(density(), 8)
    assert loud.auc.value > 0.7
    assert 0.4 < sound.auc.value < 0.6 and sound.p > 0.001


def test_holm_counts_all_controls() -> None:
    def null(value: float, p: float) -> NullResult:
        return NullResult(Estimate(value, value, value, 100, 50), p)

    assert alarms({"a": null(0.8, 0.004), "b": null(0.8, 0.2)}) == ["a"]
    assert alarms({"a": null(0.8, 0.006), "b": null(0.8, 0.2)}) == []
    assert alarms({"a": null(0.52, 1e-9), "b": null(0.3, 0.009)}) == ["b"]
    assert alarms({}) == []


def test_learning_while_scoring_is_noticed_and_nothing_else() -> None:
    w = world()
    moved = w.attacked(1.0)
    for kind in DETECTORS.values():
        detector = kind()
        unsure = {UNCERTAINTY: torch.rand(200, 1, dtype=torch.float64)}
        clean, adversarial = (replace(f, extras=unsure) for f in (w.clean.features, moved.features))
        detector.fit(w.reference, Pairs(clean, adversarial))
        check_learns_nothing(detector, clean)


@pytest.mark.slow
def test_sound_runs_hardly_ever_raise_an_alarm() -> None:
    """Two hundred runs without any defect."""
    loud = 0
    for seed in range(200):
        w = world(n=120, seed=seed)
        folds = folds_by_group(w.groups, seed)
        nulls = {}
        for make in (density, Mahalanobis, QuantizedFeatures):
            detector = learned(make(), w)
            side = w.clean.measured(detector)
            nulls[make.__name__] = null_control(detector, side, w.groups, folds, seed)
        loud += bool(alarms(nulls))
    assert loud < 5
