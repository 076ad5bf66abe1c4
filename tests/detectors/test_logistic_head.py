"""The logistic head weighs both sides alike."""

from __future__ import annotations

import pytest
import torch

from detectors._logistic_head import fit_logistic, logistic
from tests.detectors.draws import draw, sides


def test_duplicates_do_not_weigh() -> None:
    """Twice the attacked images say nothing new: classes are weighted, not counted."""
    clean, adversarial = (side.deep for side in sides())
    single = fit_logistic(clean, adversarial)
    double = fit_logistic(clean, torch.cat([adversarial, adversarial]))
    x = draw(40, 7).deep
    both = torch.stack([logistic(single, x), logistic(double, x)])
    assert float(torch.corrcoef(both)[0, 1]) > 0.999


def test_statistics_that_are_not_finite_are_refused() -> None:
    good = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_logistic(good, torch.full((4, 2), torch.nan))
