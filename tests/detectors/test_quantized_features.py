"""Quantised features: bits cut at the reference, scores as scikit-learn's machine gives them."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from detectors import QuantizedFeatures
from tests.detectors.draws import draw, fit, sides


def test_bits_are_cut_at_the_reference_alone() -> None:
    detector = fit(QuantizedFeatures(), True)
    moved = draw(30, 5, shift=100.0)
    assert bool((detector.statistics(moved) == 1).all())  # its own mean would give about half


def test_vectors_score_as_scikit_learn_does() -> None:
    machine = SVC(kernel="rbf", gamma=2.8, class_weight="balanced")
    detector = fit(QuantizedFeatures(), True)
    rows = [detector.statistics(side).numpy() for side in sides()]
    machine.fit(np.concatenate(rows), np.r_[np.zeros(60), np.ones(40)])
    np.testing.assert_allclose(
        detector.score(draw(80, 7)).numpy(),
        machine.decision_function(detector.statistics(draw(80, 7)).numpy()),
        atol=1e-6,
    )
