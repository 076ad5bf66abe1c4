"""How fast every detector fits and scores, on features as wide as a ResNet-18's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from detectors import DETECTORS, Features, FittedDetector, Reconstruction, Reference
from detectors.bayesian_uncertainty import UNCERTAINTY
from tests.detectors.draws import images

STAGES = (64, 128, 256, 512)
CASES = 400


def draw(seed: int, shift: float = 0.0) -> Features:
    """Two classes as clouds in every layer; `shift` moves them off the data."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CASES)[:, None] % 2
    layers = {
        f"layer{i}": torch.randn(CASES, width, generator=generator) + labels + shift
        for i, width in enumerate(STAGES, 1)
    }
    logits = 4 * torch.eye(2)[labels[:, 0]] + torch.randn(CASES, 2, generator=generator)
    unsure = torch.rand(CASES, 1, generator=generator) + shift
    return Features(logits, layers, {UNCERTAINTY: unsure, repr(Reconstruction()): unsure})


@pytest.fixture(scope="module")
def learned_from() -> tuple[Reference, Features, Features]:
    """Reference, clean images and attacked ones."""
    return Reference(draw(0), torch.arange(CASES) % 2, images=images), draw(1), draw(2, shift=1.0)


def fitted(
    name: str, reference: Reference, clean: Features, adversarial: Features
) -> FittedDetector:
    """A detector with all that it can learn."""
    detector = DETECTORS[name]().fit(reference)
    if not detector.detector.has_head:
        return detector
    return detector.with_head(detector.statistics(clean), detector.statistics(adversarial))


@pytest.mark.benchmark(group="detectors: fit")
@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_fit(benchmark: Any, learned_from: tuple[Reference, Features, Features], name: str) -> None:
    detector = benchmark.pedantic(fitted, args=(name, *learned_from), rounds=3)
    benchmark.extra_info.update(cases=CASES, widths=STAGES)
    assert (detector.head is not None) == detector.detector.has_head


@pytest.mark.benchmark(group="detectors: score")
@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_score(
    benchmark: Any, learned_from: tuple[Reference, Features, Features], name: str
) -> None:
    detector = fitted(name, *learned_from)
    seen = draw(3)
    scores = benchmark.pedantic(detector.score, args=(seen,), rounds=5, warmup_rounds=1)
    benchmark.extra_info.update(cases=CASES, widths=STAGES)
    assert scores.shape == (CASES,) and bool(torch.isfinite(scores).all())
