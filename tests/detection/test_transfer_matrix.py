"""The transfer matrix: complete, with its controls, and refused where a rule is broken."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from detectors import Features, KernelDensity, Mahalanobis, QuantizedFeatures, Reference
from detectors.contract import Learned
from robust.detection.cross_fitting import FeatureSet
from robust.detection.transfer_matrix import evaluate_transfer
from robust.errors import InputError
from tests.detection.worlds import data, density, successes, world


def test_an_attack_without_a_success_is_empty_with_its_reason_and_never_0_or_1() -> None:
    w = world()
    none = successes(w.attacked(1.0, part=0.0), w)
    some = successes(w.attacked(1.0, part=0.08), w)
    matrix = evaluate_transfer({"KD": density(w)}, data(w, {"none": none, "some": some}))
    assert matrix.unfitted_reasons == {"none": "no attack succeeded"}
    assert list(matrix.metrics) == [("KD", "some", "some")]
    assert matrix.metrics["KD", "some", "some"].too_few


def test_the_matrix_with_controls() -> None:
    w = world()
    strong = successes(w.attacked(2.0), w)
    weak = successes(w.attacked(0.4, part=0.5), w)
    noise = FeatureSet(w.attacked(0.1, part=0.0).features, w.clean.cases)
    detectors = {
        "KD": density(w),
        "Mahalanobis": Mahalanobis().fit(w.reference),
        "QFeat": QuantizedFeatures().fit(w.reference),
    }
    matrix = evaluate_transfer(
        detectors, data(w, {"strong": strong, "weak": weak}, {"noise": noise})
    )
    assert len(matrix.metrics) == 3 * 2 * 3 and len(matrix.null_controls) == 6
    assert matrix.alarms == () and matrix.unfitted_reasons == {}
    for detector in detectors:
        here = {
            name: matrix.metrics[detector, "strong", name].auc.all_clean
            for name in ("strong", "noise")
        }
        assert here["strong"] is not None and here["noise"] is not None
        assert here["strong"].value > 0.8 and abs(here["noise"].value - 0.5) < 0.15


def test_planted_evaluation_images_in_the_reference() -> None:
    w = world()
    f = w.clean.features.take(torch.arange(30))
    w.reference = Reference(
        Features.cat([w.reference.features, f]),
        torch.cat([w.reference.labels, torch.from_numpy(w.labels[:30])]),
    )
    with pytest.raises(InputError, match="30 of 200 images to be scored are among the reference"):
        evaluate_transfer({"KD": density(w)}, data(w))


@dataclass(frozen=True)
class Scaled(KernelDensity):
    """Standardises what it scores by what it scores."""

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        found = super().statistics(features, learned)
        return (found - found.mean()) / found.std()


@dataclass(frozen=True)
class Ranked(KernelDensity):
    """Scores by the rank among what it scores."""

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        return super().combine(statistics, learned, head).argsort().argsort().double()


@pytest.mark.parametrize("planted", [Scaled(1.0), Ranked(1.0)], ids=repr)
def test_planted_scaler_on_what_is_scored(planted: KernelDensity) -> None:
    w = world()
    moved = successes(w.attacked(1.0), w)
    with pytest.raises(InputError, match="learns from what it scores"):
        evaluate_transfer({"KD": planted.fit(w.reference)}, data(w, {"a": moved}))


def test_planted_failures_as_positives() -> None:
    w = world()
    with pytest.raises(InputError, match="positives of PGD are classified correctly"):
        evaluate_transfer({"KD": density(w)}, data(w, {"PGD": w.attacked(1.0, part=0.5)}))
