"""The held-out split: no patient on both sides."""

from __future__ import annotations

import numpy as np

from tests.scenarios.play import holdout


def test_no_patient_is_on_both_sides() -> None:
    split = holdout()
    groups = np.array([case.group for case in split.batch.cases])
    assert {0, 1} == set(split.half.tolist())
    assert not set(groups[split.half == 0]) & set(groups[split.half == 1])
    for _, fitting, trying in split.halves():
        assert not set(fitting.tolist()) & set(trying.tolist())
        assert len(fitting) + len(trying) == len(groups)
