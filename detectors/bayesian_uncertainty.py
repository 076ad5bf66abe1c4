"""Dropout uncertainty, alone or with kernel density (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from detectors._hooks import before_all, computing_once, hooked
from detectors._logistic_head import fit_logistic, logistic
from detectors.contract import Detector, ExtraPasses, Learned, Reference
from detectors.features import Features, dropout_layers
from detectors.kernel_density import KernelDensity

UNCERTAINTY = "uncertainty"
"""The name of the dropout uncertainty in `Features.extras`."""


@dataclass(frozen=True)
class BayesianUncertainty(Detector):
    """How much the classifier's probabilities vary when units are dropped at random.

    Score: `sum_k Var_t(p_k^t(x))`, the variance of each probability over dropout passes t, summed
    over classes. With a head: the log odds of a logistic regression over this uncertainty and the
    log kernel density of `KernelDensity`, as in Feinman et al. Needs a network with dropout, and
    a pass for each draw through the layers from the first dropout on. Differentiable.

    Use it where the network was trained with dropout.
    """

    has_head: ClassVar[bool] = True
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    needs_dropout: ClassVar[bool] = True
    bandwidth: float | None = None
    """Of the kernel density, as in `KernelDensity`; it counts only with a head."""

    def learn(self, reference: Reference) -> Learned:
        """What `KernelDensity` learns."""
        return KernelDensity(self.bandwidth).learn(reference)

    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """The uncertainty `(n, 1)`; ValueError for a network without dropout."""

        def measure() -> Tensor:
            count, seed = passes.dropout_passes, passes.seed
            return uncertainty(passes.extract.model, passes.x, passes=count, seed=seed)

        return {UNCERTAINTY: passes.once(UNCERTAINTY, measure)}

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The uncertainty and the log density `(n, 2)`."""
        density = KernelDensity(self.bandwidth).statistics(features, learned)
        return torch.cat([features.extra(UNCERTAINTY), density], 1)

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """A logistic regression over both."""
        return fit_logistic(clean, adversarial)

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The uncertainty, or the log odds of the head."""
        return statistics[:, 0] if head is None else logistic(head, statistics)


def uncertainty(model: nn.Module, x: Tensor, *, passes: int, seed: int = 0) -> Tensor:
    """The variance of the probabilities over dropout passes, summed over classes: `(n, 1)`.

    Only dropout is active, everything else stays in evaluation mode. Within a pass all images lose
    the same units, so that the value of an image does not depend on the batch. Gradients flow where
    asked for. ValueError for a network without a dropout layer.

    The layers before the first dropout compute once what they would compute in every pass.
    """
    draw = torch.Generator()

    def drop(module: nn.Module, args: tuple[Tensor], out: Tensor) -> Tensor:
        assert isinstance(module, nn.Dropout)
        kept = torch.rand(out.shape[1:], generator=draw) >= module.p
        return args[0] * (kept / max(1 - module.p, 1e-12)).to(out)

    layers = dropout_layers(model)

    def probabilities() -> Tensor:
        draw.manual_seed(seed)
        with hooked(after=[(layer, drop) for layer in layers]):
            return torch.stack([model(x).softmax(1) for _ in range(passes)])

    plain, before = before_all(model, layers, x)
    with computing_once(before):
        drawn = probabilities()
        with torch.no_grad():
            same = torch.allclose(model(x), plain, rtol=1e-4, atol=1e-5)
    if not same:  # something between the layers writes to what they have returned
        drawn = probabilities()
    return drawn.var(0).sum(1, keepdim=True)
