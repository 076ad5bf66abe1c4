"""1 x 1 convolutions that oneDNN runs: the same results, and the way that torch takes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from attacks.losses import climb
from robust.models.acceleration.pointwise import prefer_onednn


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=2), nn.ReLU()),
        *(nn.Conv2d(8, 8, 1, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3)),
        *(nn.Flatten(), nn.LazyLinear(2)),
    )


def kernels(model: nn.Module, x: Tensor) -> set[str]:
    with torch.profiler.profile() as profile:
        climb(model, x, lambda logits: logits[:, 0])
    return {event.key for event in profile.key_averages()}


def test_logits_and_gradients_stay() -> None:
    model = network()
    x = torch.rand(3, 3, 12, 12)
    model(x)
    fast = copy.deepcopy(model)
    assert prefer_onednn(fast) == 3
    assert prefer_onednn(fast) == 0
    for one, other in zip(
        climb(model, x, lambda z: z[:, 0]), climb(fast, x, lambda z: z[:, 0]), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
def test_few_images_in_one_thread_run_by_onednn() -> None:
    threads, x = torch.get_num_threads(), torch.rand(2, 8, 64, 64)
    model = nn.Sequential(nn.Conv2d(8, 16, 1), nn.Flatten(), nn.LazyLinear(2))
    model(x)
    torch.set_num_threads(1)
    try:
        prefer_onednn(model)
        after = kernels(model, x)
    finally:
        torch.set_num_threads(threads)
    assert "aten::mkldnn_convolution" in after
