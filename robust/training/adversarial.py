"""Adversarial training: PGD-AT (Madry et al. 2018, 1706.06083), TRADES (Zhang et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from attacks.dense import is_dense
from attacks.losses import climb
from robust.training.recipe import AdversarialSpec

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits `(n, k)` and labels `(n,)`, or dense ones, to the mean loss."""

TRADES_NOISE = 1e-3
"""Standard deviation of the noise that TRADES starts from: the divergence has no gradient at 0."""


def adversarial_loss(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
    share: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The loss to minimise on displayed images `x (n, c, *space)`, and the logits behind it.

    `share` multiplies means over cases that are not in `loss`: 1 but for a part of a batch.
    """
    if spec.method == "trades":
        return trades(model, x, y, spec, streams, loss, share)
    return pgd_at(model, x, y, spec, streams, loss)


def pgd_at(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
) -> tuple[Tensor, Tensor]:
    """The loss on adversarial images of PGD, and their logits."""
    logits = model(perturb(model, x, y, spec, streams))
    return loss(logits, y), logits


def trades(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    spec: AdversarialSpec,
    streams: Streams,
    loss: Loss,
    share: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The clean loss plus beta times the KL divergence to adversarial images; the clean logits."""
    x_adv = perturb(model, x, y, spec, streams)
    clean = model(x)
    moved = share * divergence(clean, model(x_adv)).mean()
    return loss(clean, y) + spec.beta * moved, clean


def divergence(clean: Tensor, moved: Tensor) -> Tensor:
    """KL(clean || moved) of the predictions, `(n,)`; of dense logits the mean over the pixels."""
    terms = F.kl_div(moved.log_softmax(1), clean.log_softmax(1), reduction="none", log_target=True)
    return terms.sum(1).flatten(1).mean(1) if is_dense(clean) else terms.sum(1)


def perturb(
    model: nn.Module, x: Tensor, y: Tensor, spec: AdversarialSpec, streams: Streams
) -> Tensor:
    """Images within `spec.eps` of `x (n, c, *space)` that the method of `spec` trains on.

    The model is in evaluation mode meanwhile (batch statistics of adversarial images would leak
    into what is attacked) and its weights require no gradient; both are restored.
    """
    if spec.eps == 0:
        return x
    threat = ThreatModel("Linf", spec.eps)
    with frozen(model):
        if spec.method == "trades":
            return _perturb_trades(model, x, spec, streams, threat)
        attack = PGD(
            spec.steps, spec.step_size, schedule="constant", keep="last", margin_fallback=False
        )
        return attack(model, x, y, threat, streams)


def _perturb_trades(
    model: nn.Module, x: Tensor, spec: AdversarialSpec, streams: Streams, threat: ThreatModel
) -> Tensor:
    """Images whose prediction is far, in KL divergence, from that on `x`."""
    with torch.no_grad():
        clean = model(x)
    x_adv = threat.project(x + TRADES_NOISE * streams.normal(x), x)
    for _ in range(spec.steps):
        _, gradient = climb(model, x_adv, lambda logits: divergence(clean, logits))
        step = spec.step_size * threat.eps * threat.steepest(gradient)
        x_adv = threat.project(x_adv + step, x)
    return x_adv


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients of weights; afterwards every module is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, mode in modes:
            module.training = mode


def warmed_up_eps(eps: float, warmup: float, epochs: float) -> float:
    """The eps after a number of epochs: it grows linearly from 0 over `warmup` of them."""
    return eps if warmup <= 0 else eps * min(1.0, epochs / warmup)


__all__ = [
    "adversarial_loss",
    "divergence",
    "frozen",
    "perturb",
    "pgd_at",
    "trades",
    "warmed_up_eps",
]
