"""Kernel density against scikit-learn, and the choice of its bandwidth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity as SklearnDensity

from detectors import Features, KernelDensity, Reference
from detectors.kernel_density import GRID, choose_bandwidth
from tests.detectors.gaussians import CLASSES, draw


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 5.0])
def test_kernel_density_is_that_of_scikit_learn(bandwidth: float) -> None:
    reference, labels = draw(200)
    new, _ = draw(80, seed=1)
    detector = KernelDensity(bandwidth).fit(Reference(reference, labels))
    predicted = new.logits.argmax(1)
    wanted = np.empty(len(new))
    for label in range(CLASSES):
        fitted = SklearnDensity(bandwidth=bandwidth).fit(reference.deep[labels == label].numpy())
        mine = (predicted == label).numpy()
        wanted[mine] = fitted.score_samples(new.deep.numpy()[mine])
    np.testing.assert_allclose(-detector.score(new).numpy(), wanted, rtol=1e-5)


def test_bandwidth_is_that_of_the_likeliest_held_out_images() -> None:
    """Against leaving out one image after the other with scikit-learn."""
    reference, labels = draw(60, d=3)
    found = choose_bandwidth(Reference(reference, labels))
    deep = reference.deep.numpy()

    def likelihood(bandwidth: float) -> float:
        total = 0.0
        for i in range(len(deep)):
            others = (labels.numpy() == int(labels[i])) & (np.arange(len(deep)) != i)
            total += SklearnDensity(bandwidth=bandwidth).fit(deep[others]).score(deep[i : i + 1])
        return total

    step = float(GRID[1] / GRID[0])
    assert likelihood(found) >= max(likelihood(found * step), likelihood(found / step))


def test_an_image_of_the_same_group_does_not_make_a_bandwidth_narrow() -> None:
    reference, labels = draw(60, d=3)
    twice = Features.cat([reference, reference])
    groups = torch.arange(60).repeat(2)
    both = torch.cat([labels, labels])
    with pytest.raises(ValueError, match="coincide"):
        choose_bandwidth(Reference(twice, both))
    grouped = choose_bandwidth(Reference(twice, both, groups))
    assert grouped == pytest.approx(choose_bandwidth(Reference(reference, labels)), rel=0.5)
