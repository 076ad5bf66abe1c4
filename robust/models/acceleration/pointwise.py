"""Convolutions of 1 x 1 pixel by oneDNN, also on few images in one thread."""

from __future__ import annotations

from torch import nn


def prefer_onednn(network: nn.Module) -> int:
    """Let 1 x 1 convolutions run by oneDNN whatever the batch, in place; how many there are.

    With one thread and fewer than 16 images torch leaves them to a way of its own that takes 1.2 to
    1.5 times as long forward and backward, unless they are dilated. A kernel of one pixel has
    nothing to dilate, so that its result is the same.
    """
    found = [
        layer
        for layer in network.modules()
        if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.dilation == (1, 1)
    ]
    for layer in found:
        layer.dilation = (2, 2)
    return len(found)
