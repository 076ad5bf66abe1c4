"""A small convolutional autoencoder as tensors (Masci et al. 2011, ICANN), trained on the CPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Activation = Literal["relu", "none"]
Weights = Mapping[str, Tensor]

WIDTH = 8
"""Channels of the first layer; the second has twice as many."""
BATCH = 64
RATE = 3e-3
"""First step size of Adam, which falls to zero on a line."""


def redraw(x: Tensor, weights: Weights, activation: Activation) -> Tensor:
    """Images `(n, c, h, w)` through the code and back; without activation a linear map."""
    act = torch.relu if activation == "relu" else torch.positive
    mean, scale = weights["mean"].to(x), weights["scale"].to(x)
    w = {name: value.to(x) for name, value in weights.items()}
    half = act(F.conv2d((x - mean) / scale, w["down 1"], w["down 1 bias"], stride=2, padding=1))
    quarter = act(F.conv2d(half, w["down 2"], w["down 2 bias"], stride=2, padding=1))
    code = F.linear(quarter.flatten(1), w["encode"], w["encode bias"])
    back = act(F.linear(code, w["decode"], w["decode bias"]).reshape(quarter.shape))
    up = act(_enlarge(back, half.shape, w["up 1"], w["up 1 bias"]))
    drawn: Tensor = _enlarge(up, x.shape, w["up 2"], w["up 2 bias"]) * scale + mean
    return drawn


def _enlarge(x: Tensor, shape: torch.Size, weight: Tensor, bias: Tensor) -> Tensor:
    """A transposed convolution that ends at the rows and columns of `shape`."""
    more = [wanted - (2 * have - 1) for wanted, have in zip(shape[2:], x.shape[2:], strict=True)]
    return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=more)


def fit_autoencoder(
    images: Tensor, code: int, *, activation: Activation, steps: int, seed: int
) -> dict[str, Tensor]:
    """The weights that redraw images `(n, c, h, w)`, float64 on the CPU, through `code` numbers.

    In double precision, so that the number of threads and the processor change nothing that counts.
    Adam on the mean squared error, `steps` batches of at most `BATCH` images drawn by seed.
    """
    draw = torch.Generator().manual_seed(seed)
    weights = _start(images, code, draw)
    learned = {name: value for name, value in weights.items() if name not in ("mean", "scale")}
    for value in learned.values():
        value.requires_grad_(True)
    optimiser = torch.optim.Adam(list(learned.values()), lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)
    unit = float(weights["scale"]) ** 2
    with torch.enable_grad():
        for rows in _batches(len(images), steps, draw):
            x = images[rows]
            loss = (redraw(x, weights, activation) - x).square().mean() / unit
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            falling.step()
    return {name: value.detach() for name, value in weights.items()}


def _batches(count: int, steps: int, draw: torch.Generator) -> list[Tensor]:
    """Which images each step sees: all in turn, in a new order each time."""
    each = min(BATCH, count)
    rounds = math.ceil(steps * each / count)
    order = torch.cat([torch.randperm(count, generator=draw) for _ in range(rounds)])
    return list(order[: steps * each].reshape(steps, each))


def _start(images: Tensor, code: int, draw: torch.Generator) -> dict[str, Tensor]:
    """Random weights whose layers keep the size of what goes through them (He et al. 2015)."""
    channels, rows, columns = images.shape[1:]
    inner = 2 * WIDTH * math.ceil(rows / 4) * math.ceil(columns / 4)
    fans: dict[str, tuple[tuple[int, ...], int, int]] = {
        "down 1": ((WIDTH, channels, 3, 3), 9 * channels, WIDTH),
        "down 2": ((2 * WIDTH, WIDTH, 3, 3), 9 * WIDTH, 2 * WIDTH),
        "encode": ((code, inner), inner, code),
        "decode": ((inner, code), code, inner),
        # A pixel of the enlarged image is reached from a quarter of the nine weights.
        "up 1": ((2 * WIDTH, WIDTH, 3, 3), 9 * 2 * WIDTH // 4, WIDTH),
        "up 2": ((WIDTH, channels, 3, 3), 9 * WIDTH // 4, channels),
    }
    mean = images.mean(0)
    weights = {"mean": mean, "scale": (images - mean).std()}
    for name, (shape, fan_in, biases) in fans.items():
        drawn = torch.randn(shape, generator=draw, dtype=images.dtype)
        weights[name] = drawn * math.sqrt(2 / fan_in)
        weights[f"{name} bias"] = torch.zeros(biases, dtype=images.dtype)
    return weights
