"""Files hold on a GPU what they hold on the CPU."""

from __future__ import annotations

import pytest
import torch

from robust.cases.jpeg import through_jpeg
from robust.cases.stored_pixels import Stored, Window
from robust.storage.rounding import StoredBatch
from tests.storage.test_rounding import case

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "stored", [Stored(8), Stored(16), Stored(12, view=Window(2048, 1000)), Stored(8, inverted=True)]
)
def test_images_are_quantised_to_the_same_bits(stored: Stored, gpu: torch.device) -> None:
    own, eps = [case(stored, seed) for seed in range(5)], 1.7 * stored.step
    x = torch.stack([one.image for one in own])
    x_adv = (x + eps * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    there = StoredBatch.of(own, eps, gpu).quantise(x_adv.to(gpu))
    assert there.device.type == gpu.type
    assert torch.equal(there.cpu(), StoredBatch.of(own, eps).quantise(x_adv))


def test_jpeg_by_several_threads_is_the_same(gpu: torch.device) -> None:
    x = torch.rand(9, 3, 40, 32, generator=torch.Generator().manual_seed(0))
    here, there = through_jpeg(x, 95), through_jpeg(x.to(gpu), 95)
    assert torch.allclose(there.cpu(), here, atol=1e-7, rtol=0)
