"""One contract for every detector: what it learns, when, and that scoring teaches it nothing."""

from __future__ import annotations

import pytest
import torch

from detectors import DETECTORS, Energy, Features, FittedDetector, KernelDensity, Reference
from detectors.bayesian_uncertainty import UNCERTAINTY
from detectors.contract import LogitDetector
from tests.detectors.draws import RESIDUAL, draw, fit, reference

CASES = [
    (name, head)
    for name, kind in DETECTORS.items()
    for head in (False, True)
    if (kind.has_head if head else not kind.needs_head)
]


@pytest.mark.parametrize(("name", "head"), CASES)
def test_what_is_off_the_data_is_more_suspicious(name: str, head: bool) -> None:
    detector = fit(DETECTORS[name](), head)
    clean, attacked = detector.score(draw(50, 7)), detector.score(draw(50, 8, shift=3.0))
    assert clean.shape == attacked.shape == (50,)
    above = (attacked[:, None] > clean[None]).double() + 0.5 * (attacked[:, None] == clean[None])
    assert float(above.mean()) > 0.85


@pytest.mark.parametrize(("name", "head"), CASES)
def test_scoring_teaches_nothing(name: str, head: bool) -> None:
    """A case scores the same alone, in any company, and after others were scored."""
    detector, features = fit(DETECTORS[name](), head), draw(40, 7)
    whole = detector.score(features)
    detector.score(draw(40, 9, shift=9.0))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(detector.score(features.take(order)), whole[order], rtol=1e-9)
    assert torch.allclose(detector.score(features.take(torch.tensor([3]))), whole[3:4], rtol=1e-9)


@pytest.mark.parametrize(("name", "head"), CASES)
def test_fitting_again_gives_the_same_scores(name: str, head: bool) -> None:
    features = draw(40, 7)
    again = fit(DETECTORS[name](), head).score(features)
    assert torch.equal(fit(DETECTORS[name](), head).score(features), again)


@pytest.mark.parametrize(("name", "head"), CASES)
def test_gradients_are_those_of_small_steps(name: str, head: bool) -> None:
    detector, features = fit(DETECTORS[name](), head), draw(5, 7)
    extras = features.extras[UNCERTAINTY], features.extras[RESIDUAL]
    leaves = [features.logits, *features.layers.values(), *extras]
    moving = [leaf.detach().requires_grad_(True) for leaf in leaves]

    def score(
        logits: torch.Tensor, early: torch.Tensor, deep: torch.Tensor, *extras: torch.Tensor
    ) -> torch.Tensor:
        named = dict(zip((UNCERTAINTY, RESIDUAL), extras, strict=True))
        return detector.score(Features(logits, {"early": early, "deep": deep}, named))

    if not detector.detector.differentiable:
        assert not score(*moving).requires_grad
        return
    assert torch.autograd.gradcheck(score, tuple(moving), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize(("name", "head"), CASES)
def test_float32_is_near_float64(name: str, head: bool) -> None:
    exact = fit(DETECTORS[name](), head).score(draw(40, 7))
    single = fit(DETECTORS[name](), head, dtype=torch.float32).score(
        draw(40, 7, dtype=torch.float32)
    )
    assert single.dtype == torch.float32
    spread = float(exact.std())
    assert float((single.double() - exact).abs().median()) < 1e-3 * spread


@pytest.mark.parametrize("name", DETECTORS)
def test_bad_input_is_said(name: str) -> None:
    detector = DETECTORS[name]()
    if detector.needs_head:
        with pytest.raises(RuntimeError, match=f"{name} learns from attacked images; fit its head"):
            detector.fit(reference()).score(draw(5, 0))
    elif not isinstance(detector, LogitDetector):
        one = Reference(draw(50, 0), torch.zeros(50, dtype=torch.long))
        with pytest.raises(ValueError, match="2 classes or more, this one has 1"):
            detector.fit(one)
    statistics = fit(detector, False).statistics(draw(5, 0))
    if not detector.has_head:
        with pytest.raises(ValueError, match=f"{name} has no head"):
            fit(detector, False).with_head(statistics, statistics)


def test_a_head_needs_both_sides() -> None:
    fitted = fit(KernelDensity(), False)
    some, none = fitted.statistics(draw(5, 0)), torch.zeros(0, 1, dtype=torch.float64)
    for clean, adversarial in ((none, some), (some, none)):
        with pytest.raises(ValueError, match="one has 0"):
            fitted.with_head(clean, adversarial)


def test_fitting_changes_neither_the_detector_nor_what_was_fitted_before() -> None:
    detector = KernelDensity()
    first = fit(detector, False)
    again = fit(detector, True)
    assert detector == KernelDensity() and first.head is None and again.head is not None
    assert repr(detector) == "KernelDensity(bandwidth=None)"
    with pytest.raises(AttributeError):
        detector.bandwidth = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", DETECTORS)
def test_all_that_is_learned_is_in_its_tensors(name: str) -> None:
    """Parameters and tensors make the same detector again: nothing else need be stored."""
    first = fit(DETECTORS[name](), DETECTORS[name].has_head)
    again = FittedDetector(DETECTORS[name](), first.learned, first.head)
    assert torch.equal(again.score(draw(40, 7)), first.score(draw(40, 7)))
    for part in (first.learned, first.head):
        assert all(isinstance(value, torch.Tensor) for value in (part or {}).values())
    moved = first.to(torch.device("cpu"))
    assert torch.equal(moved.score(draw(40, 7)), first.score(draw(40, 7)))


def test_a_logit_detector_is_one_method() -> None:
    class Margin(LogitDetector):
        def logit_score(self, logits: torch.Tensor) -> torch.Tensor:
            top = logits.topk(2).values
            return top[:, 1] - top[:, 0]

    features = draw(6, 0)
    scores = Margin().fit(reference()).score(features)
    assert scores.shape == (6,) and bool((scores <= 0).all())
    assert Energy().fit(reference()).learned == {}
