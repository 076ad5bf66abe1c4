"""Maximum softmax probability is its formula."""

from __future__ import annotations

import numpy as np

from detectors import MaxSoftmax
from tests.detectors.gaussians import draw


def test_max_softmax_is_its_formula() -> None:
    new, _ = draw(50)
    probabilities = new.logits.exp() / new.logits.exp().sum(1, keepdim=True)
    np.testing.assert_allclose(
        MaxSoftmax().logit_score(new.logits).exp().numpy(), 1 / probabilities.amax(1).numpy()
    )
