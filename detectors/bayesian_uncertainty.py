"""Dropout uncertainty, alone or with kernel density (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from detectors._logistic_head import fit_logistic, logistic
from detectors.contract import Detector, Learned, Reference
from detectors.features import Features
from detectors.kernel_density import KernelDensity

PASSES = 50
UNCERTAINTY = "uncertainty"


@dataclass
class BayesianUncertainty(Detector):
    """How much the probabilities vary when units are dropped at random.

    Reads what `uncertainty` gives. With pairs: a logistic head over the uncertainty and the kernel
    density, as in Feinman et al.
    """

    needs_pairs: ClassVar[bool] = False
    has_head: ClassVar[bool] = True
    differentiable: ClassVar[bool] = True
    bandwidth: float | None = None
    """Of the kernel density, which is used with pairs alone; None as in `KernelDensity`."""

    @property
    def extras(self) -> tuple[str, ...]:
        return (UNCERTAINTY,)

    def learn(self, reference: Reference) -> Learned:
        return KernelDensity(self.bandwidth).learn(reference)

    def statistics(self, features: Features) -> Tensor:
        """The uncertainty and the log density `(n, 2)`."""
        density = KernelDensity(self.bandwidth)
        density.learned = self.known()
        return torch.cat([features.extra(UNCERTAINTY), density.statistics(features)], 1)

    def learn_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        return fit_logistic(clean, adversarial)

    def combine(self, statistics: Tensor) -> Tensor:
        return statistics[:, 0] if self.head is None else logistic(self.head, statistics)


def dropout_layers(model: nn.Module) -> list[nn.Dropout]:
    """Those that drop something; ValueError for a network without any."""
    found = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    if not found:
        raise ValueError("BayesianUncertainty needs a network with dropout; this one has none")
    return found


def uncertainty(model: nn.Module, x: Tensor, *, passes: int = PASSES, seed: int = 0) -> Tensor:
    """The variance of the probabilities over dropout passes, summed over classes: `(n, 1)`.

    Dropout alone is at work, all else stays in evaluation mode. In one pass all images lose the
    same units, so that none depends on which others are looked at. Gradients flow where asked for.
    ValueError for a network without a dropout layer.
    """
    draw = torch.Generator().manual_seed(seed)

    def drop(module: nn.Module, args: tuple[Tensor], out: Tensor) -> Tensor:
        assert isinstance(module, nn.Dropout)
        kept = torch.rand(out.shape[1:], generator=draw) >= module.p
        return args[0] * (kept / max(1 - module.p, 1e-12)).to(out)

    handles = [layer.register_forward_hook(drop) for layer in dropout_layers(model)]
    try:
        drawn = torch.stack([model(x).softmax(1) for _ in range(passes)])
    finally:
        for handle in handles:
            handle.remove()
    return drawn.var(0).sum(1, keepdim=True)
