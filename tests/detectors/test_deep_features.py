"""The forest on the deep feature scores as scikit-learn's does."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from detectors import DeepFeatures
from tests.detectors.draws import draw, fit, sides


def test_trees_score_as_scikit_learn_does() -> None:
    forest = RandomForestClassifier(30, class_weight="balanced", random_state=0)
    rows = torch.cat([side.deep for side in sides()]).numpy()
    forest.fit(rows, np.r_[np.zeros(60), np.ones(40)])
    x = draw(80, 7)
    np.testing.assert_allclose(
        fit(DeepFeatures(), True).score(x).numpy(),
        forest.predict_proba(x.deep.numpy())[:, 1],
        rtol=1e-12,
    )
