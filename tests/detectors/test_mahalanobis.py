"""Mahalanobis distance against scikit-learn, numpy and pytorch-ood; the input step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from detectors import Extractor, FeatureReader, Features, Mahalanobis, Reference, find_layers
from detectors.contract import ExtraPasses
from detectors.mahalanobis import STEPS, distances, step_name
from tests.detectors import draws
from tests.detectors.draws import K, network, with_head
from tests.detectors.gaussians import CLASSES, draw


def test_mahalanobis_is_that_of_scikit_learn() -> None:
    reference, labels = draw(300)
    new, _ = draw(50, seed=1)
    detector = Mahalanobis().fit(Reference(reference, labels))
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
    detector = Mahalanobis().fit(Reference(Features(reference.logits, {"deep": deep}), labels))
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
    one_layer = Features(reference.logits, {"deep": reference.deep})
    ours = Mahalanobis().fit(Reference(one_layer, labels))
    found = ours.statistics(new)[:, 0]
    ratio = found / wanted.double()
    assert float(ratio.std() / ratio.mean()) < 1e-3  # the same up to the factor of the definition


def test_a_layer_that_does_not_vary_is_refused() -> None:
    flat = draws.draw(50, 0)
    flat = dataclasses.replace(flat, layers={"flat": torch.ones(50, 3, dtype=torch.float64)})
    with pytest.raises(ValueError, match="'flat' does not vary"):
        Mahalanobis().fit(Reference(flat, torch.arange(50) % K))


def test_the_best_input_step_is_found_on_both_sides() -> None:
    """Only at one step do the distances of attacked images differ."""
    g = torch.Generator().manual_seed(0)

    def side(n: int, shift: float) -> Features:
        layers = {"deep": torch.randn(n, 3, generator=g, dtype=torch.float64)}
        extras = {}
        for step in STEPS[1:]:
            found = torch.randn(n, 1, generator=g, dtype=torch.float64)
            extras[step_name(step)] = found + shift * (step == 0.002)
        return Features(torch.zeros(n, 2, dtype=torch.float64), layers, extras)

    known = Reference(side(60, 0.0), torch.arange(60) % K)
    fitted = Mahalanobis(step="auto").fit(known)
    detector = with_head(fitted, side(90, 0.0), side(90, 3.0))
    assert detector.head is not None and STEPS[int(detector.head["best"])] == 0.002
    clean, attacked = detector.score(side(80, 0.0)), detector.score(side(80, 3.0))
    assert float((attacked[:, None] > clean).double().mean()) > 0.95
    with pytest.raises(ValueError, match="step must be"):
        Mahalanobis(step=-0.1)


def test_an_input_step_brings_an_image_nearer_to_its_class() -> None:
    model, x = network(), torch.rand(40, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    with torch.no_grad():
        fitted = Mahalanobis(step=1e-3).fit(Reference(extract(x), torch.arange(40) % K))
        before = distances(extract(x), fitted.learned)[:, -1]
        seen = FeatureReader(extract, [fitted])(x)
        after = fitted.statistics(seen)[:, -1]
    assert float((after < before).double().mean()) > 0.9
    with pytest.raises(ValueError, match="read them with a FeatureReader"):
        fitted.statistics(extract(x))


def test_the_direction_of_the_step_is_computed_once_for_all_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = network(), torch.rand(12, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    passes: list[int] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        known = Reference(extract(x), torch.arange(12) % K)
        every = [Mahalanobis(step="auto").fit(known), Mahalanobis(step=0.001).fit(known)]
        passes.clear()
        seen = FeatureReader(extract, every)(x)
    assert len(passes) == 1 + 1 + len(STEPS[1:])  # plain, direction, one for each step
    assert set(seen.extras) == {step_name(step) for step in STEPS[1:]}
    alone = every[1].extras(ExtraPasses(extract, x, 0, 0))
    assert torch.equal(alone[step_name(0.001)], seen.extras[step_name(0.001)])
