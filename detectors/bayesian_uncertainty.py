"""Dropout uncertainty, alone or with kernel density (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.base import Detector, Pairs, Reference
from detectors.features import Features
from detectors.heads import LogisticHead
from detectors.kernel_density import KernelDensity

PASSES = 50


@dataclass
class BayesianUncertainty(Detector):
    """How much the probabilities vary when units are dropped at random.

    Reads what `with_uncertainty` adds to the features. With pairs: a logistic head over the
    uncertainty and the kernel density, as in Feinman et al.
    """

    needs_pairs: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    bandwidth: float | None = None
    """Of the kernel density, which is used with pairs alone."""

    def fit(self, reference: Reference, pairs: Pairs | None = None) -> None:
        reference.classes()
        self._head = None
        if pairs is not None:
            self._density = KernelDensity(self.bandwidth)
            self._density.fit(reference)
            sides = (self._statistics(side) for side in (pairs.clean, pairs.adversarial))
            self._head = LogisticHead.fit(*sides)

    def score(self, features: Features) -> Tensor:
        if not hasattr(self, "_head"):
            raise RuntimeError("fit the detector first")
        return _known(features) if self._head is None else self._head(self._statistics(features))

    def _statistics(self, features: Features) -> Tensor:
        return torch.stack([_known(features), self._density.score(features)], 1)


def with_uncertainty(
    features: Features, model: nn.Module, x: Tensor, *, passes: int = PASSES, seed: int = 0
) -> Features:
    """The features with the variance of the probabilities over dropout passes, summed over classes.

    Dropout alone is at work, all else stays in evaluation mode. The same seed draws the same masks
    for a batch of the same shape. ValueError for a network without a dropout layer.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    if not layers:
        raise ValueError("BayesianUncertainty needs a network with dropout; this one has none")

    def drop(module: nn.Module, args: tuple[Tensor], out: Tensor) -> Tensor:
        assert isinstance(module, nn.Dropout)
        return F.dropout(args[0], module.p, training=True)

    handles = [layer.register_forward_hook(drop) for layer in layers]
    try:
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            drawn = torch.stack([model(x).softmax(1) for _ in range(passes)])
    finally:
        for handle in handles:
            handle.remove()
    return replace(features, uncertainty=drawn.var(0).sum(1))


def _known(features: Features) -> Tensor:
    if features.uncertainty is None:
        raise ValueError("no dropout passes were made; call with_uncertainty first")
    return features.uncertainty
