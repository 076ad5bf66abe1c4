"""Learning rate schedules in closed form, so that resuming needs no state; the optimiser."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Optimizer

from robust.training.recipe import TrainingSpec

FIRST, LAST, RISING = 1 / 25, 1e-4, 0.3
"""Of one cycle: where it begins and ends as parts of lr, and the share of steps on which it rises;
Smith and Topin 2018 (arXiv 1708.07120)."""


def learning_rate(spec: TrainingSpec, step: int, per_epoch: int) -> float:
    """The learning rate of a step, counted from 0 over all epochs."""
    total = spec.epochs * per_epoch
    if spec.schedule == "onecycle":
        rising = RISING * total
        if step < rising:
            return spec.lr * _between(FIRST, 1.0, step / rising)
        return spec.lr * _between(1.0, LAST, (step - rising) / max(1.0, total - rising))
    warm = spec.warmup * per_epoch
    if step < warm:
        return spec.lr * min(1.0, (step + 1) / warm)
    if spec.schedule == "constant":
        return spec.lr
    return spec.lr * _between(1.0, 0.0, (step - warm) / max(1.0, total - warm))


def _between(first: float, last: float, share: float) -> float:
    """From `first` to `last` along half a cosine."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def make_optimiser(network: nn.Module, spec: TrainingSpec) -> Optimizer:
    """The optimiser; only matrices and kernels have weight decay, not biases and normalisations."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if spec.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    return torch.optim.AdamW(groups, lr=spec.lr)
