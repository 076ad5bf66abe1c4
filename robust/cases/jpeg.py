"""JPEG compression and decompression of a batch of images."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor


def jpeg_levels(x: Tensor) -> Tensor:
    """The 8-bit levels that a JPEG of images in [0, 1] is made from."""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def through_jpeg(x: Tensor, quality: int) -> Tensor:
    """Images `(n, c, h, w)` in [0, 1] with 1 or 3 channels, saved as 8-bit JPEG and read back."""
    from torchvision.io import decode_jpeg, encode_jpeg  # seconds, so only where it is used

    def saved(levels: Tensor) -> Tensor:
        read: Tensor = decode_jpeg(encode_jpeg(levels, quality))
        return read

    levels = jpeg_levels(x).cpu()
    if x.is_cuda and len(x) > 1:
        # A GPU would wait longer for one thread than it takes for a pass.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            images = list(pool.map(saved, levels))
    else:
        images = [saved(one) for one in levels]
    return torch.stack(images).to(x) / 255
