"""Holm's correction: by hand, and against Bonferroni's, which it contains."""

from __future__ import annotations

import numpy as np

from robust.metrics.multiple_tests import holm


def test_by_hand() -> None:
    # The levels are .05 / 4, / 3, / 2 and / 1; the third fails, and with it all that follow.
    assert holm([0.04, 0.012, 0.03, 0.016], 0.05) == [False, True, False, True]
    assert holm([], 0.05) == []


def test_it_rejects_what_bonferroni_does_and_rarely_anything_without_an_effect() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        p_values = rng.random(20)
        rejected = np.array(holm(p_values.tolist(), 0.05))
        assert (rejected >= (p_values <= 0.05 / 20)).all()
        wrong += rejected.any()
    assert wrong / 400 < 0.09
