"""The attack on a smoothed classifier against linear models, where the nearest image is known."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import binom

from attacks.streams import Streams
from robust.certificates.smoothing.attack import (
    FALSE_SUCCESS,
    MeanSoftmax,
    attack_passes,
    attack_smoothed,
    outvoted,
)
from robust.certificates.smoothing.denoised_smoothing import DenoisedSmoothing
from robust.certificates.smoothing.randomized_smoothing import RandomizedSmoothing
from robust.models import Classifier
from tests.certificates.smoothing.test_denoised_smoothing import Shrink
from tests.certificates.smoothing.test_randomized_smoothing import streams
from tests.toys import Linear


def interior_cases() -> tuple[Classifier, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A linear model and grey images so near to its boundary that the box does not bind."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(1, 16, generator=generator, dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    model = Linear(weight, -weight.sum(1) / 2)
    with torch.no_grad():
        margin = model(x)[:, 1]
    distance = margin.abs() / weight.norm()
    far = distance > 0.04
    classifier = Classifier(model, head="softmax", channels=1)
    return classifier, x[far], (margin > 0).long()[far], distance[far]


def test_it_finds_what_is_there_and_nothing_nearer() -> None:
    """A smoothed linear model errs beyond the same hyperplane."""
    classifier, x, y, distance = interior_cases()
    certificate = RandomizedSmoothing(sigma=0.1, n=2000)
    assert len(x) >= 4
    for i in range(len(x)):
        one = slice(i, i + 1)
        near, far = 0.9 * float(distance[i]), 1.7 * float(distance[i])
        assert attack_smoothed(certificate, classifier, x[one], y[one], near, streams(1)) == [None]
        (found,) = attack_smoothed(certificate, classifier, x[one], y[one], far, streams(1))
        assert found is not None and distance[i] < found <= far * (1 + 1e-6)


def test_it_goes_through_the_denoiser() -> None:
    """Behind one that halves each pixel the boundary lies elsewhere."""
    classifier, x, _, _ = interior_cases()
    certificate = DenoisedSmoothing(Shrink(0.5), sigma=0.1, n=2000)
    with torch.no_grad():
        margin = classifier(x / 2)[:, 1]
        distance = 2 * margin.abs() / classifier.network.weight.norm()
    i = int(distance.argmin())
    one, y = slice(i, i + 1), (margin > 0).long()
    sizes = (0.9 * float(distance[i]), 1.3 * float(distance[i]))
    found = [attack_smoothed(certificate, classifier, x[one], y[one], s, streams(1)) for s in sizes]
    assert found[0] == [None] and found[1][0] is not None


def test_what_it_climbs_is_the_mean_softmax_and_its_gradient() -> None:
    classifier, x, _, _ = interior_cases()
    mean = MeanSoftmax(classifier, 0.3, streams(len(x)), draws=5)
    pixels = x.clone().requires_grad_(True)
    log = mean(pixels)
    again = streams(len(x))
    shares = torch.stack(
        [classifier(pixels + 0.3 * again.normal(x)).softmax(1) for _ in range(5)]
    ).mean(0)
    assert torch.allclose(log, shares.log())
    one, other = (torch.autograd.grad(v[:, 0].sum(), pixels)[0] for v in (log, shares.log()))
    assert torch.allclose(one, other)
    assert not torch.equal(mean(pixels), log)  # new draws at every call


def test_a_case_does_not_depend_on_its_neighbours() -> None:
    classifier, x, y, distance = interior_cases()
    certificate = RandomizedSmoothing(sigma=0.1, n=500)
    eps = 1.5 * float(distance.median())
    whole = attack_smoothed(certificate, classifier, x, y, eps, streams(len(x)))
    alone = [
        attack_smoothed(certificate, classifier, x[[i]], y[[i]], eps, Streams.of(0, [i], "test"))[0]
        for i in range(len(x))
    ]
    assert [d is None for d in whole] == [d is None for d in alone]
    assert None in whole and any(whole)


def test_a_label_that_is_as_likely_as_another_is_hardly_ever_outvoted() -> None:
    """The probability of a false verdict, exactly, for two classes and for three."""
    n = 1000
    for classes in (2, 3):
        winning = [
            count
            for count in range(n + 1)
            if outvoted(torch.tensor([n - count, count, *[0] * (classes - 2)]), 0)
        ]
        assert 0 < binom.pmf(winning, n, 0.5).sum() <= FALSE_SUCCESS / classes
        assert min(winning) == winning[-1] - len(winning) + 1 and 570 < min(winning) < 585
    assert not outvoted(torch.tensor([0, 0]), 0)
    assert not outvoted(torch.tensor([900, 100]), 0)
    assert outvoted(torch.tensor([100, 500, 400]), 0)


def test_what_it_costs_is_told() -> None:
    """Counted: forward and backward passes of single images."""
    counted = 0

    def count(module: object, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        nonlocal counted
        counted += len(out) * (2 if out.requires_grad else 1)

    classifier, x, y, distance = interior_cases()
    certificate = RandomizedSmoothing(sigma=0.1, n=300, batch=100)
    handle = classifier.network.register_forward_hook(count)
    attack_smoothed(certificate, classifier, x, y, 3 * float(distance.max()), streams(len(x)))
    handle.remove()
    told = attack_passes(certificate) * len(x)
    assert 0.8 * told < counted <= told + 10  # a few passes measure memory
    assert np.isclose(told / len(x), 2 * 16 * 20 + 100 + 300, rtol=0.05)
