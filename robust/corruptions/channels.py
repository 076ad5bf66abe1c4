"""Grey and colour: brightness as Pillow weighs it (ITU-R 601-2), grey images as three channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def luma(x: Tensor) -> Tensor:
    """Brightness `(n, 1, *space)` of `(n, c, *space)`: three channels weighted, else their mean."""
    if x.shape[1] != len(LUMA):
        return x.mean(1, keepdim=True)
    red, green, blue = (x[:, i : i + 1] for i in range(len(LUMA)))
    # In this form three equal channels have their brightness to the bit.
    return green + LUMA[0] * (red - green) + LUMA[2] * (blue - green)


def through_rgb(x: Tensor, operator: Callable[[Tensor], Tensor]) -> Tensor:
    """What an operator on colour images does to grey ones, as MedMNIST-C has it.

    It spoils three equal channels and stores their brightness.
    """
    if x.shape[1] == 1:
        return luma(operator(torch.cat([x, x, x], 1)))
    return operator(x)
