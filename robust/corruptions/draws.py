"""Random parameters of a case, drawn from its stream alone."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.streams import Streams


def parameters(streams: Streams, count: int) -> Tensor:
    """Uniform on [0, 1), `(n, count)` on the CPU: `count` numbers for each case."""
    return streams.uniform(torch.empty(len(streams), count))


def whole(uniform: float, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included, from one uniform on [0, 1)."""
    return low + min(int(uniform * (high - low + 1)), high - low)
