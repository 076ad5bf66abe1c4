"""Universal perturbations against the truth, on linear models."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from attacks import ThreatModel, UniversalPerturbation
from attacks.image_agnostic._fitting import random_batches
from attacks.image_agnostic.universal import apply_perturbation

CASES, SHAPE = 60, (1, 6, 6)


def weights_and_images(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights `(36,)`, images away from black and white, and what each is worth to the weights."""
    drawn = torch.Generator().manual_seed(seed)
    weights = torch.randn(36, generator=drawn)
    x = 0.3 + 0.4 * torch.rand(CASES, *SHAPE, generator=drawn)
    value = x.flatten(1) @ weights
    return weights, x, value - value.median()


def model_of(weights: Tensor, x: Tensor) -> Callable[[Tensor], Tensor]:
    """Two classes, as many images on either side."""
    middle = (x.flatten(1) @ weights).median()

    def model(z: Tensor) -> Tensor:
        value = z.flatten(1) @ weights - middle
        return torch.stack([-value, value], 1)

    return model


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("label", [0, 1])
def test_the_best_perturbation_of_a_linear_model_is_found(norm: str, label: int) -> None:
    """Towards a label it moves every image by eps times the dual norm of the weights."""
    weights, x, value = weights_and_images(label)
    model = model_of(weights, x)
    dual = weights.abs().sum() if norm == "Linf" else weights.norm()
    own = value < 0 if label else value > 0
    # Half of the images lie nearer to the boundary than eps can move them.
    eps = float(value[own].abs().median() / dual)
    threat = ThreatModel(norm, eps)
    y = torch.full((CASES,), 1 - label)[own]
    target = torch.full_like(y, label)
    drawn = torch.Generator().manual_seed(0)
    delta = UniversalPerturbation().fit(model, x[own], y, threat, drawn, target)
    assert delta.shape == (1, *SHAPE)
    assert float(threat.distance(delta, torch.zeros_like(delta)).max()) <= eps * (1 + 1e-5)
    fooled = model(apply_perturbation(x[own], delta, threat)).argmax(1) == label
    near = value[own].abs() < eps * dual * (1 - 1e-3)
    beyond = value[own].abs() > eps * dual * (1 + 1e-3)
    assert not fooled[beyond].any()
    assert int((~fooled & near).sum()) <= 1
    assert int(fooled.sum()) >= int(own.sum()) // 2 - 1


def test_a_perturbation_without_a_bound_is_refused() -> None:
    weights, x, _ = weights_and_images(0)
    model = model_of(weights, x)
    with pytest.raises(ValueError, match="finite eps"):
        UniversalPerturbation().fit(
            model,
            x,
            torch.zeros(CASES, dtype=torch.long),
            ThreatModel("Linf", float("inf")),
            torch.Generator(),
        )


def test_every_image_is_drawn_once_before_any_comes_again() -> None:
    drawn = random_batches(7, 3, torch.Generator().manual_seed(0))
    for _ in range(3):
        seen = torch.cat([next(drawn) for _ in range(3)])
        assert sorted(seen.tolist()) == list(range(7))
