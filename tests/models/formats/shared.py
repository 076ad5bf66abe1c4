"""What tests of model formats share: an odd image, central differences, the same network twice."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from robust.models import Classifier, prepare, weights_hash


def odd_images(n: int = 3, height: int = 45, width: int = 61) -> Tensor:
    """Smooth images in steps of 1/255, of another shape than any network's input."""
    coarse = torch.rand(n, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(5))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (20 + fine * 215).round() / 255


def require_sound(load: Callable[[], Classifier], x: Tensor) -> Classifier:
    """Two loads have one hash; copies and float64 give the same logits; gradients are true."""
    first, second = load(), load()
    assert weights_hash(first) == weights_hash(second)
    ready = prepare(first)
    with torch.no_grad():
        torch.testing.assert_close(ready(x), second(x))
    exact = copy.deepcopy(ready).double()
    x64 = x[:1].double()
    with torch.no_grad():
        torch.testing.assert_close(exact(x64).float(), second(x[:1]), rtol=1e-3, atol=1e-3)
    # Noise, since equal neighbours are ties of a maximum, where there is no gradient.
    generator = torch.Generator().manual_seed(1)
    require_gradient(exact, torch.rand(x64.shape, generator=generator, dtype=torch.float64))
    return first


def require_gradient(model: Classifier, x: Tensor) -> None:
    """The gradient equals central differences on eight directions."""

    def loss(image: Tensor) -> Tensor:
        return (model(image) * torch.arange(1, model(x).shape[1] + 1)).sum()

    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x), x)
    assert gradient.abs().max() > 0
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(8):
        way = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        with torch.no_grad():
            slope = (loss(x + 1e-8 * way) - loss(x - 1e-8 * way)) / 2e-8
        errors.append(abs(float((gradient * way).sum() - slope)) / max(abs(float(slope)), 1e-9))
    assert sorted(errors)[4] < 1e-3, errors
