"""Exponential moving average of weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def make_average(network: nn.Module) -> nn.Module:
    """A copy for the average, without gradients and in evaluation mode."""
    average = copy.deepcopy(network).eval()
    for parameter in average.parameters():
        parameter.requires_grad_(False)
    return average


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the network after step number `step`, counted from 1.

    Early on the decay is smaller, min(decay, (1 + step) / (10 + step)), or a short training would
    end near its first weights. Buffers are copied: batch statistics are averages themselves.
    """
    keep = min(decay, (1 + step) / (10 + step))
    averages: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(network.parameters())
    torch._foreach_lerp_(averages, weights, 1 - keep)
    for averaged, buffer in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(buffer)
