"""Benign transformations keep shape and box, and treat each image by itself."""

from __future__ import annotations

import pytest
import torch

from robust.detection.benign_changes import BENIGN_CHANGES


@pytest.mark.parametrize("name", BENIGN_CHANGES)
def test_changes_keep_shape_and_box_and_look_at_each_image_alone(name: str) -> None:
    change = BENIGN_CHANGES[name]
    for channels in (1, 3):
        x = torch.rand(4, channels, 40, 36)
        y = change(x)
        assert y.shape == x.shape and y.dtype == x.dtype
        assert 0 <= float(y.min()) <= float(y.max()) <= 1 and not torch.equal(x, y)
        assert torch.allclose(change(x[2:3]), y[2:3], atol=1e-6)
    flat = torch.full((1, 1, 32, 32), 0.4)
    inner = change(flat)[:, :, 8:-8, 8:-8]
    assert float((inner - 0.4).abs().max()) < 0.03
