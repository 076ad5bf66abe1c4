"""Randomized smoothing against linear models, whose smoothed radius is margin / |w|."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from attacks.streams import Streams
from robust.certificates.contract import ABSTAINED
from robust.certificates.smoothing.randomized_smoothing import (
    RandomizedSmoothing,
    certified_radius,
)
from robust.errors import InputError
from robust.models import Classifier
from tests.toys import Linear


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def reads(function: Callable[[Tensor], Tensor]) -> Classifier:
    return Classifier(Function(function), head="softmax", channels=1)


def streams(n: int, seed: int = 0) -> Streams:
    return Streams.of(seed, range(n), "test")


def linear_cases(n: int, pixels: int = 4) -> tuple[Classifier, Tensor, Tensor, Tensor]:
    """A two-class linear model, images, classes and true radii; noisy images are not clipped."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(1, pixels, generator=generator, dtype=torch.float64)
    x = torch.rand(n, 1, 1, pixels, generator=generator, dtype=torch.float64)
    model = Linear(weight, -weight.sum(1) / 2)
    with torch.no_grad():
        margin = model(x)[:, 1]
    classifier = Classifier(model, head="softmax", channels=1)
    return classifier, x, (margin > 0).long(), margin.abs() / weight.norm()


def test_the_radius_of_a_linear_model_is_margin_over_norm() -> None:
    classifier, x, y, truth = linear_cases(40)
    found = RandomizedSmoothing(sigma=0.25, n=2000)(classifier, x, streams(40))
    proven = found.radius > 0
    assert torch.equal(found.predicted[proven], y[proven])
    assert bool((found.predicted[~proven] == ABSTAINED).all())
    assert float(truth[~proven].max()) < 0.07 < float(truth[proven].max())
    assert bool((found.radius <= truth).all())
    near = truth < 0.4
    assert float((truth - found.radius)[near].max()) < 0.07


def test_a_larger_sigma_proves_the_same_radius_of_a_linear_model() -> None:
    classifier, x, _, truth = linear_cases(20)
    for sigma in (0.25, 0.5):
        found = RandomizedSmoothing(sigma=sigma, n=4000)(classifier, x, streams(20))
        inner = (truth > 0.1) & (truth < 0.4)
        assert float((truth - found.radius)[inner].abs().max()) < 0.2 * sigma


@pytest.mark.parametrize("alpha", [0.001, 0.05])
@pytest.mark.parametrize("truth", [0.05, 0.2, 0.4])
def test_false_radii_are_as_rare_as_alpha_over_10000_repeats(alpha: float, truth: float) -> None:
    """Counts are drawn with the known probability; more than alpha false ones are refused."""
    sigma, n, repeats = 0.25, 1000, 10_000
    counts = np.random.default_rng(0).binomial(n, norm.cdf(truth / sigma), repeats)
    values, times = np.unique(counts, return_counts=True)
    radii = np.array([certified_radius(int(c), n, sigma, alpha) for c in values])
    false = int(times[radii > truth].sum())
    assert binomtest(false, repeats, alpha, alternative="greater").pvalue > 0.01
    if alpha == 0.05:  # nor is anything given away
        assert false > 0.6 * alpha * repeats


@pytest.mark.slow
def test_false_radii_are_as_rare_as_alpha_over_10000_repeats_of_real_noise() -> None:
    classifier, x, y, truth = linear_cases(64)
    alpha, repeats = 0.05, 10_000
    i = int((truth - 0.2).abs().argmin())
    smoothing = RandomizedSmoothing(sigma=0.25, n0=10, n=100, alpha=alpha, batch=200)
    found = smoothing(classifier, x[[i]].expand(repeats, -1, -1, -1), streams(repeats))
    false = int(((found.radius > truth[i]) | (found.predicted == 1 - y[i])).sum())
    assert binomtest(false, repeats, alpha, alternative="greater").pvalue > 0.01
    assert false > 0.3 * alpha * repeats


@pytest.mark.parametrize(("n", "sigma"), [(1000, 0.25), (10_000, 0.5), (100_000, 1.0)])
def test_the_cap_is_that_of_all_votes(n: int, sigma: float) -> None:
    cap = sigma * norm.ppf(0.001 ** (1 / n))
    smoothing = RandomizedSmoothing(sigma=sigma, n=n)
    assert smoothing.cap == pytest.approx(cap, abs=1e-9)
    if n == 1000:
        one = reads(lambda x: torch.stack([x.new_zeros(len(x)), x.new_ones(len(x))], 1))
        found = smoothing(one, torch.rand(2, 1, 3, 3), streams(2))
        assert found.radius.numpy() == pytest.approx([cap, cap], abs=1e-6)
        assert bool((found.radius <= smoothing.cap).all())


def test_the_radius_from_counts_is_that_of_the_exact_one_sided_interval() -> None:
    for n in (100, 100_000):
        for share in (0.2, 0.52, 0.95, 0.9999, 1.0):
            for alpha in (0.001, 0.05):
                count = round(share * n)
                one_sided = binomtest(count, n, alternative="greater")
                low = one_sided.proportion_ci(1 - alpha, method="exact").low
                radius = 0.25 * norm.ppf(low) if low > 0.5 else 0.0
                assert certified_radius(count, n, 0.25, alpha) == pytest.approx(radius, abs=1e-9)


def test_a_deviation_of_the_noise_is_taken_off_the_probability() -> None:
    whole = certified_radius(95, 100, 0.25, 0.05)
    less = certified_radius(95, 100, 0.25, 0.05, deviation=0.01)
    assert norm.cdf(less / 0.25) == pytest.approx(norm.cdf(whole / 0.25) - 0.01)


def test_a_result_depends_neither_on_the_batch_nor_on_the_neighbours() -> None:
    classifier, x, _, _ = linear_cases(6)
    whole = RandomizedSmoothing(n=300)(classifier, x, streams(6))
    parts = RandomizedSmoothing(n=300, batch=7)(classifier, x, streams(6))
    assert torch.equal(whole.radius, parts.radius)
    alone = RandomizedSmoothing(n=300)(classifier, x[[4]], Streams.of(0, [4], "test"))
    assert torch.equal(alone.radius, whole.radius[[4]])


def test_memory_that_runs_out_halves_the_batch_and_changes_no_result() -> None:
    classifier, x, _, _ = linear_cases(3)
    whole = RandomizedSmoothing(n=300, batch=64)(classifier, x, streams(3))
    inner, sizes = classifier.network, []

    def small(z: Tensor) -> Tensor:
        sizes.append(len(z))
        if len(z) > 20:
            raise MemoryError
        return inner(z)

    parts = RandomizedSmoothing(n=300, batch=64)(reads(small), x, streams(3))
    assert torch.equal(whole.radius, parts.radius)
    assert max(sizes) == 64 and max(sizes[2:]) <= 32


def test_sums_of_floats_would_certify_a_false_radius() -> None:
    """A network can tell from the last digits of float sums that the pixels were 0.5, not 0."""

    def fine_digits(x: Tensor) -> Tensor:
        coarse = (x.flatten(1).double() * 2**26 % 1 == 0).all(1).double()
        return torch.stack([1 - coarse, coarse], 1)

    sigma, half, zero = 0.4, torch.full((1, 1, 2, 3), 0.5), torch.zeros(1, 1, 2, 3)
    noise = torch.randn(10_000, 1, 2, 3, generator=torch.Generator().manual_seed(0)) * sigma
    votes = fine_digits(half + noise).argmax(1).sum()
    distance, naive = 0.5 * math.sqrt(6), certified_radius(int(votes), 10_000, sigma, 0.001)
    at_zero = fine_digits(zero + noise).argmax(1).double().mean()
    assert naive > distance and at_zero < 0.4  # class 1 is proven where class 0 is predicted

    smoothing = RandomizedSmoothing(sigma=sigma)
    sound = smoothing(reads(fine_digits), torch.cat([half, zero]), streams(2))
    assert sound.predicted[1] == 0
    assert sound.predicted[0] != 1 or float(sound.radius.sum()) < distance


def test_votes_that_are_not_finite_are_for_no_class() -> None:
    def often_nan(x: Tensor) -> Tensor:
        bright = x.flatten(1)[:, 0] > 0.5
        logits = torch.stack([x.new_ones(len(x)), x.new_zeros(len(x))], 1)
        return logits.masked_fill(bright[:, None], math.nan)

    dark, middle = torch.full((1, 1, 1, 1), 0.25), torch.full((1, 1, 1, 1), 0.5)
    x = torch.cat([dark, middle])
    found = RandomizedSmoothing(n=1000)(reads(often_nan), x, streams(2))
    assert found.predicted.tolist() == [0, ABSTAINED]
    assert float(found.radius[0]) < 0.25

    with pytest.raises(InputError, match="NaN or infinite logits for every noisy image"):
        nothing = reads(lambda x: x.new_full((len(x), 2), math.nan))
        RandomizedSmoothing(n=100)(nothing, x, streams(2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"sigma": math.inf}, "sigma must be above 0"),
        ({"n": 0}, "at least 1"),
        ({"n0": 0}, "at least 1"),
        ({"n": 9}, "take at least 10"),
        ({"alpha": 0.0}, "between 0 and 1"),
        ({"alpha": 1.0}, "between 0 and 1"),
        ({"batch": 0}, "batch must be at least 1"),
    ],
)
def test_fields_without_meaning_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        RandomizedSmoothing(**fields)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
