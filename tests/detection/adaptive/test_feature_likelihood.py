"""Feature likelihood against scikit-learn's mixtures, and against what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from detectors import Features, Reference
from robust.detection.adaptive.feature_likelihood import (
    VARIANCE_FLOOR,
    fit_feature_likelihood,
)


def reference(n: int = 60, d: int = 3) -> Reference:
    """Two classes with means 0 and 3 in one layer."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    deep = torch.randn(n, d, generator=generator, dtype=torch.float64) + 3 * labels[:, None]
    return Reference(Features(torch.zeros(n, 3), {"deep": deep}), labels)


def test_likelihoods_are_those_of_scikit_learn_per_channel() -> None:
    known = reference()
    new = Features(torch.zeros(5, 3, dtype=torch.float64), {"deep": known.features.deep[:5] + 0.1})
    found = fit_feature_likelihood(known, seed=0)(new)
    x = known.features.deep.numpy()
    floor = VARIANCE_FLOOR * float(x.var(0).mean())
    for label in (0, 1):
        own = x[known.labels.numpy() == label]
        mixture = GaussianMixture(1, covariance_type="diag", reg_covar=floor, random_state=0)
        wanted = mixture.fit(own).score_samples(new.deep.numpy()) / 3
        np.testing.assert_allclose(found[:, label].numpy(), wanted, rtol=1e-6)
    assert bool((found[:, 2] == -torch.inf).all())  # a class of which nothing is known


def test_the_gradient_leads_towards_the_class() -> None:
    known = reference()
    x = torch.full((1, 3), 1.5, dtype=torch.float64, requires_grad=True)
    found = fit_feature_likelihood(known, seed=0)(Features(torch.zeros(1, 3), {"deep": x}))
    (gradient,) = torch.autograd.grad(found[0, 1], x)
    assert bool((gradient > 0).all())
    with pytest.raises(ValueError, match="2 classes or more"):
        fit_feature_likelihood(Reference(known.features, torch.zeros(60, dtype=torch.long)), 0)
