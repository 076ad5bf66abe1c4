"""JPEG is that of Pillow, and knows no other image of the batch."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from robust.cases.jpeg import through_jpeg


def test_it_is_the_jpeg_of_pillow() -> None:
    x = torch.rand(2, 1, 24, 20, generator=torch.Generator().manual_seed(0))
    found = through_jpeg(x, 90)
    for image, back in zip(x, found, strict=True):
        levels = (image[0] * 255).round().to(torch.uint8).numpy()
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "JPEG", quality=90)
        wanted = np.asarray(Image.open(file), np.float32) / 255
        assert np.abs(back[0].numpy() - wanted).max() <= 2 / 255
    assert torch.equal(through_jpeg(x[1:], 90), found[1:])
    outside = torch.full((1, 3, 16, 16), 1.4)
    assert float(through_jpeg(outside, 90).max()) <= 1.0
