"""Adversarial training: PGD-AT, Madry et al. 2018 (1706.06083), TRADES, Zhang et al. 2019."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from attacks.losses import climb
from robust.training.recipe import AdversarialSpec

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits `(n, k)` and labels `(n,)` to the mean loss."""

NEAR = 1e-3
"""Where TRADES starts to climb: at the image itself the divergence has no gradient."""


def adversarial_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The loss to minimise on a batch of displayed images, and the logits it was made from."""
    if spec.method == "trades":
        return trades(model, x, y, spec, streams, loss, eps)
    return pgd_at(model, x, y, spec, streams, loss, eps)


def pgd_at(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The loss on the worst images that PGD finds."""
    logits = model(perturb(model, x, y, spec, streams, eps))
    return loss(logits, y), logits


def trades(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The loss on the images as they are, and beta times how far predictions can be moved."""
    x_adv = perturb(model, x, y, spec, streams, eps)
    clean = model(x)
    return loss(clean, y) + spec.beta * divergence(clean, model(x_adv)).mean(), clean


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """KL(clean || moved) of the predictions, `(n,)`."""
    found = F.kl_div(moved.log_softmax(1), clean.log_softmax(1), reduction="none", log_target=True)
    return found.sum(1)


def perturb(
    model: nn.Module, x: Tensor, y: Tensor, spec: AdversarialSpec, streams: Streams, eps: float
) -> Tensor:
    """Images within eps of `x` that the method of `spec` trains on.

    The model is in evaluation mode meanwhile (batch statistics of adversarial images would leak
    into what is attacked) and its weights want no gradient; both are restored.
    """
    if eps == 0:
        return x
    threat = ThreatModel("Linf", eps)
    with frozen(model):
        if spec.method == "trades":
            return _drift(model, x, spec, streams, threat)
        attack = PGD(
            spec.steps, spec.step_size, schedule="constant", keep="last", margin_fallback=False
        )
        return attack(model, x, y, threat, streams)


def _drift(
    model: nn.Module, x: Tensor, spec: AdversarialSpec, streams: Streams, threat: ThreatModel
) -> Tensor:
    """Away from the prediction on the image itself."""
    with torch.no_grad():
        clean = model(x)
    x_adv = threat.project(x + NEAR * streams.normal(x), x)
    for _ in range(spec.steps):
        _, gradient = climb(model, x_adv, lambda logits: divergence(clean, logits))
        step = spec.step_size * threat.eps * threat.steepest(gradient)
        x_adv = threat.project(x_adv + step, x)
    return x_adv


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients of weights, module by module as it was after."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode


def warmed(eps: float, warmup: float, epochs: float) -> float:
    """eps after so many epochs: it grows from 0 over `warmup` of them."""
    return eps if warmup <= 0 else eps * min(1.0, epochs / warmup)


__all__ = [
    "adversarial_loss",
    "divergence",
    "frozen",
    "perturb",
    "pgd_at",
    "trades",
    "warmed",
]
