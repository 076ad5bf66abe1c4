"""The null control alarms where a detector knows the images it scores, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from detectors import Features, FittedDetector, KernelDensity, Mahalanobis, QuantizedFeatures
from detectors.contract import Learned
from robust.detection.null_control import NullResult, alarms, null_control
from robust.metrics.groups import folds_by_group, half_of_the_groups
from robust.records import Estimate
from tests.detection.worlds import density, world


@dataclass(frozen=True)
class Knowing(KernelDensity):
    """Remembers some of the clean images that it is to score."""

    known: frozenset[bytes] = frozenset()

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        new = [float(row.numpy().tobytes() not in self.known) for row in features.deep]
        return torch.tensor(new)[:, None]


def test_planted_memory_is_found() -> None:
    """A detector that knows the clean images it is to score, as a density fitted on them does."""
    w = world()
    folds = folds_by_group(w.groups, 0)
    clean_in_the_first_draw = ~half_of_the_groups(w.groups, folds, 0)
    rows = w.clean.features.take(torch.from_numpy(clean_in_the_first_draw)).deep
    knowing = Knowing(1.0, frozenset(row.numpy().tobytes() for row in rows))

    def null(detector: FittedDetector, draws: int) -> NullResult:
        return null_control(detector, w.clean.measure(detector), w.groups, folds, 0, draws)

    loud, sound = null(knowing.fit(w.reference), 2), null(density(w), 8)
    assert loud.auc.value > 0.7
    assert 0.4 < sound.auc.value < 0.6 and sound.p > 0.001


def test_holm_counts_all_controls() -> None:
    def null(value: float, p: float) -> NullResult:
        return NullResult(Estimate(value, value, value, 100, 50), p)

    assert alarms({"a": null(0.8, 0.004), "b": null(0.8, 0.2)}) == ["a"]
    assert alarms({"a": null(0.8, 0.006), "b": null(0.8, 0.2)}) == []
    assert alarms({"a": null(0.52, 1e-9), "b": null(0.3, 0.009)}) == ["b"]
    assert alarms({}) == []


@pytest.mark.slow
def test_sound_runs_hardly_ever_raise_an_alarm() -> None:
    """Two hundred runs without any defect."""
    loud = 0
    for seed in range(200):
        w = world(n=120, seed=seed)
        folds = folds_by_group(w.groups, seed)
        nulls = {}
        for kind in (KernelDensity(1.0), Mahalanobis(), QuantizedFeatures()):
            detector = kind.fit(w.reference)
            clean = w.clean.measure(detector)
            nulls[repr(kind)] = null_control(detector, clean, w.groups, folds, seed)
        loud += bool(alarms(nulls))
    assert loud < 5
