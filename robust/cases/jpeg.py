"""JPEG compression and decompression of a batch of images."""

from __future__ import annotations

import torch
from torch import Tensor


def through_jpeg(x: Tensor, quality: int) -> Tensor:
    """Images `(n, c, h, w)` in [0, 1] with 1 or 3 channels, saved as 8-bit JPEG and read back."""
    from torchvision.io import decode_jpeg, encode_jpeg  # seconds, so only where it is used

    levels = (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    return torch.stack([decode_jpeg(encode_jpeg(one, quality)) for one in levels]).to(x) / 255
