"""Detectors against closed forms, scikit-learn, numpy and pytorch-ood, at float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import KernelDensity as SklearnDensity
from torch import Tensor

from detectors import LID, Energy, Features, KernelDensity, Mahalanobis, MaxSoftmax, Reference
from detectors.kernel_density import GRID, choose_bandwidth
from detectors.lid import lid_mle, lid_tle

CLASSES = 3


def draw(n: int, d: int = 12, seed: int = 0) -> tuple[Features, Tensor]:
    """Two layers of features around a mean a class; the logits predict most labels."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (n,), generator=g)
    mix = torch.randn(d, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    deep = torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + 3 * labels[:, None]
    early = torch.randn(n, 5, generator=g, dtype=torch.float64) * 1e-2 + 40 + labels[:, None]
    logits = torch.nn.functional.one_hot(labels, CLASSES) * 2.0 + torch.randn(
        n, CLASSES, generator=g, dtype=torch.float64
    )
    return Features(logits, {"early": early, "deep": deep}), labels


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 5.0])
def test_kernel_density_is_that_of_scikit_learn(bandwidth: float) -> None:
    reference, labels = draw(200)
    new, _ = draw(80, seed=1)
    detector = KernelDensity(bandwidth)
    detector.fit(Reference(reference, labels))
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


def test_mahalanobis_is_that_of_scikit_learn() -> None:
    reference, labels = draw(300)
    new, _ = draw(50, seed=1)
    detector = Mahalanobis()
    detector.fit(Reference(reference, labels))
    found = detector.statistics(new)
    for place, name in enumerate(("early", "deep")):
        x = reference.layers[name].numpy()
        means = np.stack([x[labels.numpy() == c].mean(0) for c in range(CLASSES)])
        tied = EmpiricalCovariance(assume_centered=True).fit(x - means[labels.numpy()])
        y = new.layers[name].numpy()
        wanted = np.min([tied.mahalanobis(y - mean) for mean in means], axis=0) / 2
        np.testing.assert_allclose(found[:, place].numpy(), wanted, rtol=1e-5)


def test_mahalanobis_of_a_singular_covariance_is_that_of_the_pseudo_inverse() -> None:
    reference, labels = draw(300)
    deep = reference.deep.clone()
    deep[:, 3] = deep[:, 1] - deep[:, 2]
    deep[:, 4] = 7.0
    detector = Mahalanobis()
    detector.fit(Reference(Features(reference.logits, {"deep": deep}), labels))
    means = torch.stack([deep[labels == c].mean(0) for c in range(CLASSES)])
    spread = deep - means[labels]
    inverse = np.linalg.pinv((spread.T @ spread / len(deep)).numpy(), hermitian=True)
    apart = (deep[:, None] - means).numpy()
    wanted = np.einsum("ncd,de,nce->nc", apart, inverse, apart).min(1) / 2
    found = detector.statistics(Features(reference.logits, {"deep": deep}))[:, 0]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)


def test_mahalanobis_is_that_of_pytorch_ood() -> None:
    ood = pytest.importorskip("pytorch_ood.detector", reason="make peers")
    reference, labels = draw(300)
    new, _ = draw(50, seed=1)
    theirs = ood.Mahalanobis(None)
    theirs.fit_features(reference.deep.float(), labels)
    wanted = theirs.predict_features(new.deep.float())
    ours = Mahalanobis()
    ours.fit(Reference(Features(reference.logits, {"deep": reference.deep}), labels))
    found = ours.statistics(new)[:, 0]
    ratio = found / wanted.double()
    assert float(ratio.std() / ratio.mean()) < 1e-3  # the same up to the factor of the definition


def plain_lid(x: np.ndarray, points: np.ndarray, k: int) -> np.ndarray:  # type: ignore[type-arg]
    """The paper's formula as it stands there."""
    found = []
    for row in x:
        r = np.sort(np.linalg.norm(points - row, axis=1))[:k]
        found.append(-1 / np.mean(np.log(r / r[-1])))
    return np.array(found)


def test_lid_is_the_formula_of_the_paper() -> None:
    reference, labels = draw(100)
    new, _ = draw(50, seed=1)
    detector = LID(k=20, batch=100)
    detector.fit(Reference(reference, labels))
    found = detector.statistics(new).numpy()
    for place, name in enumerate(("early", "deep")):
        wanted = plain_lid(new.layers[name].numpy(), reference.layers[name].numpy(), 20)
        np.testing.assert_allclose(found[:, place], wanted, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 5, 20])
def test_lid_of_distances_that_follow_a_power_law(d: int) -> None:
    k = 20
    uniform = torch.rand(
        100_000, k, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    distances = (uniform ** (1 / d)).sort(1).values
    assert float(lid_mle(distances).mean()) == pytest.approx(k * d / (k - 2), rel=0.03)


def manifold(d: int, n: int, ambient: int = 40) -> Tensor:
    """A curved d-dimensional surface in many dimensions."""
    g = torch.Generator().manual_seed(d)
    flat = torch.rand(n, d, generator=g, dtype=torch.float64)
    mix = torch.randn(d, ambient, generator=g, dtype=torch.float64)
    line = flat @ mix
    return torch.cat([line, 0.1 * line.square()], 1)


@pytest.mark.parametrize("estimator", ["mle", "tle"])
def test_lid_finds_the_dimension_of_a_manifold(estimator: str) -> None:
    k, found = 20, {}
    for d in (1, 5, 20):
        points = manifold(d, 4000)
        labels = torch.arange(4000) % 2
        features = Features(torch.zeros(4000, 2, dtype=torch.float64), {"deep": points})
        detector = LID(k=k, batch=3000, estimator=estimator)  # type: ignore[arg-type]
        detector.fit(Reference(features, labels))
        found[d] = float(
            detector.measure(detector.known(), features, skip_nearest=True)[:, 0].median()
        )
    bias = k / (k - 2) if estimator == "mle" else 1.0
    assert found[1] == pytest.approx(bias, rel=0.15)
    assert found[5] == pytest.approx(5 * bias, rel=0.15)
    assert found[20] > 1.5 * found[5] > found[1]


def test_tle_is_that_of_scikit_dimension() -> None:
    """The case by case numbers of its released code, where that is installed."""
    skdim = pytest.importorskip("skdim.id", reason="pip install scikit-dimension")
    x = np.random.default_rng(0).normal(size=(200, 6))
    points = torch.from_numpy(x)
    distances, index = torch.cdist(points, points).topk(21, largest=False)
    near = index[:, 1:]
    between = torch.cdist(points, points)[near[:, :, None], near[:, None, :]]
    ours = lid_tle(distances[:, 1:], between).numpy()
    theirs = [
        skdim.TLE()._idtle(x[rows], d[None])
        for rows, d in zip(near.numpy(), distances[:, 1:].numpy(), strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_the_tight_estimator_in_a_case_done_by_hand() -> None:
    """Neighbours at 1 and 2 on one line: measurements 2/3 twice, 1 and mirror images."""
    distances = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    between = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    r = 2.0

    def reach(u: float, w: float, v2: float) -> float:
        a = u * u + v2 - w * w
        if u == r:
            return r * v2 / (r * r + v2 - w * w)
        return r * (math.sqrt(a * a + 4 * v2 * (r * r - u * u)) - a) / (2 * (r * r - u * u))

    logs = sum(
        math.log(reach(u, w, v2) / r)
        for u, w in ((1, 2), (2, 1))
        for v2 in (1.0, 2 * u * u + 2 * w * w - 1.0)
    )
    wanted = -2 * 4 / (logs + 2 * math.log(1 / 2))
    assert float(lid_tle(distances, between)) == pytest.approx(wanted)


def test_baselines_are_their_formulas() -> None:
    new, _ = draw(50)
    probabilities = new.logits.exp() / new.logits.exp().sum(1, keepdim=True)
    np.testing.assert_allclose(
        MaxSoftmax().score(new).exp().numpy(), 1 / probabilities.amax(1).numpy()
    )
    np.testing.assert_allclose(
        Energy(2.0).score(new).numpy(), -2 * (new.logits / 2).exp().sum(1).log().numpy()
    )
