"""Energy is its formula."""

from __future__ import annotations

import numpy as np

from detectors import Energy
from tests.detectors.gaussians import draw


def test_energy_is_its_formula() -> None:
    new, _ = draw(50)
    np.testing.assert_allclose(
        Energy(2.0).logit_score(new.logits).numpy(),
        -2 * (new.logits / 2).exp().sum(1).log().numpy(),
    )
