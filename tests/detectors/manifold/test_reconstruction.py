"""Reconstruction against closed forms, scikit-learn, and an attacker who knows it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from detectors import Extractor, FeatureReader, Reconstruction, Reference
from detectors.contract import ExtraPasses
from detectors.manifold.autoencoder import fit_autoencoder, redraw
from detectors.manifold.principal_components import principal_axes, project
from robust.metrics.by_group import ByGroup

SIDE, K = 6, 3
D = SIDE * SIDE


def plane(n: int, seed: int, noise: float) -> Tensor:
    """Images `(n, 1, 6, 6)` of a plane with 3 dimensions, with isotropic noise."""
    axes = torch.linalg.qr(
        torch.randn(D, K, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    ).Q
    g = torch.Generator().manual_seed(seed)
    along = torch.randn(n, K, generator=g, dtype=torch.float64) * torch.tensor([0.5, 0.4, 0.3])
    x = 0.5 + along @ axes.T + noise * torch.randn(n, D, generator=g, dtype=torch.float64)
    return x.reshape(n, 1, SIDE, SIDE)


def reader(detector: Reconstruction, images: Tensor) -> tuple[FeatureReader, nn.Module]:
    """Reads images with a network whose features nobody looks at."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 2)).double()
    extract = Extractor(model, ["1"])
    with torch.no_grad():
        labels = torch.arange(len(images)) % 2
        parts = images.split(50)  # type: ignore[no-untyped-call]
        fitted = detector.fit(Reference(extract(images), labels, images=lambda: parts))
    return FeatureReader(extract, [fitted]), model


def scores(detector: Reconstruction, images: Tensor, x: Tensor) -> Tensor:
    read, _ = reader(detector, images)
    with torch.no_grad():
        return read(x).extra(repr(detector))[:, 0]


@pytest.mark.parametrize("components", [3, 0.5, 0.9])
def test_the_residual_is_that_of_scikit_learn(components: int | float) -> None:
    from sklearn.decomposition import PCA

    known, new = plane(120, 0, 0.1), plane(30, 1, 0.3)
    oracle = PCA(components, svd_solver="full").fit(known.flatten(1).float().numpy())
    flat = new.flatten(1).numpy()
    wanted = np.sqrt(np.square(flat - oracle.inverse_transform(oracle.transform(flat))).mean(1))
    found = scores(Reconstruction(components=components), known, new)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


def test_residuals_of_noise_are_chi_square_and_the_auc_is_closed() -> None:
    """Noise s about a plane leaves s^2 chi^2 with d - k degrees: AUC = P(F < (s1 / s0)^2).

    In most of 20 repeats the interval holds it, and the mean AUC is it; without attack it is 0.5.
    """
    s0, s1, n, repeats = 0.10, 0.11, 300, 20
    read, _ = reader(Reconstruction(components=K), plane(200, 0, 0.0))

    def residuals(seed: int, noise: float) -> np.ndarray:  # type: ignore[type-arg]
        with torch.no_grad():
            return next(iter(read(plane(n, seed, noise)).extras.values()))[:, 0].numpy()

    attacked, by_group = np.arange(2 * n) >= n, ByGroup(range(2 * n))
    clean = [residuals(seed, s0) for seed in range(100, 100 + repeats)]
    law = stats.chi2(D - K)
    assert stats.kstest(np.concatenate(clean) ** 2 * D / s0**2, law.cdf).pvalue > 0.01
    for noise, start in ((s1, 200), (s0, 300)):
        wanted = stats.f(D - K, D - K).cdf((noise / s0) ** 2)
        found = []
        for place, low in enumerate(clean):
            both = np.concatenate([low, residuals(start + place, noise)])
            area = by_group.auc(both, attacked, np.ones(2 * n, bool))
            assert area is not None and area.low is not None and area.high is not None
            found.append((area.value, area.low < wanted < area.high))
        values, covered = np.array(found).T
        assert covered.sum() >= 16
        assert abs(values.mean() - wanted) < 3 * values.std(ddof=1) / repeats**0.5
    assert wanted == pytest.approx(0.5)


@pytest.mark.slow
def test_a_linear_autoencoder_is_pca() -> None:
    """Training finds the plane; at the optimum, map and residuals are those of the closed form."""
    images = plane(200, 0, 0.1)
    flat = images.flatten(1)
    mean, axes = principal_axes(flat, K)
    weights = fit_autoencoder(images, K, activation="none", steps=400, seed=0)
    with torch.no_grad():
        drawn = redraw(images, weights, "none").flatten(1)
    best = (project(flat, mean, axes) - flat).square().mean()
    assert float((drawn - flat).square().mean()) < 1.5 * float(best)
    moving = {k: v.clone().requires_grad_(k not in ("mean", "scale")) for k, v in weights.items()}
    newton = torch.optim.LBFGS(
        [v for v in moving.values() if v.requires_grad], max_iter=300, history_size=50,
        tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        newton.zero_grad()
        value = (redraw(images, moving, "none") - images).square().mean() / best
        value.backward()  # type: ignore[no-untyped-call]
        return value

    newton.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        drawn = redraw(images, moving, "none").flatten(1)
        residual, wanted = (
            (drawn - flat).norm(dim=1),
            (project(flat, mean, axes) - flat).norm(dim=1),
        )
        centred = drawn - drawn.mean(0)
        found = torch.linalg.svd(centred).Vh[:K]
    cosines = torch.linalg.svdvals(found @ axes.T)
    assert float((1 - cosines.amin() ** 2).clamp_min(0).sqrt()) < 1e-3
    assert float(((residual - wanted) / wanted).abs().amax()) < 1e-3


@pytest.mark.parametrize("side", [5, 6, 8, 11])
def test_an_autoencoder_draws_images_of_any_size_and_again_the_same(side: int) -> None:
    images = torch.rand(20, 3, side, side + 1, generator=torch.Generator().manual_seed(0)).double()
    first = fit_autoencoder(images, 4, activation="relu", steps=5, seed=1)
    again = fit_autoencoder(images, 4, activation="relu", steps=5, seed=1)
    other = fit_autoencoder(images, 4, activation="relu", steps=5, seed=2)
    assert redraw(images, first, "relu").shape == images.shape
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encode"], other["encode"])


@pytest.mark.parametrize("method", ["pca", "autoencoder"])
def test_scores_do_not_depend_on_company_and_have_gradients(method: str) -> None:
    detector = Reconstruction(method=method, components=3, size=4, steps=20)  # type: ignore[arg-type]
    known, x = plane(60, 0, 0.1), plane(7, 1, 0.2)
    read, _ = reader(detector, known)
    whole = read(x).extra(repr(detector))[:, 0]
    order = torch.tensor([4, 2, 6, 0, 1, 5, 3])
    assert torch.allclose(read(x[order]).extra(repr(detector))[:, 0], whole[order], rtol=1e-9)
    assert torch.allclose(read(x[2:3]).extra(repr(detector))[:, 0], whole[2:3], rtol=1e-9)
    moving = x[:2].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda images: read(images).extra(repr(detector)), (moving,), atol=1e-4
    )


def test_an_attacker_who_knows_it_stays_on_the_plane() -> None:
    """The same step with its part off the plane left out fools as well and is not seen."""
    detector = Reconstruction(components=K)
    known, x = plane(200, 0, 0.02), plane(100, 1, 0.02)
    read, _ = reader(detector, known)

    def score(images: Tensor) -> Tensor:
        return read(images).extra(repr(detector))[:, 0]

    def area(images: Tensor) -> float:
        with torch.no_grad():
            clean, moved = score(x), score(images)
        return float((moved[:, None] > clean).double().mean())

    towards = torch.autograd.grad(
        read(moving := x.clone().requires_grad_(True)).logits[:, 0].sum(), moving
    )[0]
    static = x + 0.1 * towards.sign()
    assert area(static) > 0.95
    knowing = static.clone()
    for _ in range(60):
        moving = knowing.detach().requires_grad_(True)
        down = torch.autograd.grad(score(moving).sum(), moving)[0]
        knowing = x + (moving.detach() - 0.005 * down.sign() - x).clamp(-0.1, 0.1)
    assert area(knowing) < 0.5


def test_what_cannot_be_learned_or_read_is_said_in_one_line() -> None:
    known = plane(20, 0, 0.1)
    with pytest.raises(ValueError, match="learned from images with 1 channels, this one has 3"):
        fitted = Reconstruction(components=3)
        three = ExtraPasses(reader(fitted, known)[0].extract, known.expand(-1, 3, -1, -1), 0, 0)
        axes = torch.zeros(3, D)
        fitted.extras(three, {"mean": known[0], "axes": axes})
    with pytest.raises(ValueError, match="components must be at most 18"):
        reader(Reconstruction(components=19), known)
    with pytest.raises(ValueError, match="all equal"):
        reader(Reconstruction(), torch.ones(20, 1, 6, 6).double())
    read, _ = reader(Reconstruction(components=3), known)
    features = read.extract(known)
    labels = torch.arange(20) % 2
    with pytest.raises(ValueError, match="give Reference"):
        Reconstruction().fit(Reference(features, labels))
    with pytest.raises(ValueError, match="holds no image"):
        Reconstruction().fit(Reference(features, labels, images=list))
    with pytest.raises(ValueError, match="grey = true"):
        mixed = [known, known.expand(-1, 3, -1, -1)]
        Reconstruction().fit(Reference(features, labels, images=lambda: mixed))
    for fields, says in (
        ({"method": "ica"}, "pca or autoencoder"),
        ({"components": 0}, "components must be"),
        ({"components": 1.5}, "components must be"),
        ({"size": 3}, "at least 4"),
        ({"activation": "tanh"}, "relu or none"),
        ({"steps": 0}, "steps must be"),
    ):
        with pytest.raises(ValueError, match=says):
            Reconstruction(**fields)  # type: ignore[arg-type]
