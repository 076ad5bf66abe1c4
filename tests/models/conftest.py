"""Networks that tests of loading share."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from tests.models.nets import TINY, images, small


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network: nn.Module = timm.create_model(TINY, num_classes=3)
    return network.eval()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`small()` as TorchScript, and exported for any batch and for batches of five."""
    folder = tmp_path_factory.mktemp("programs")
    paths = {name: folder / name for name in ("script.pt", "any.pt2", "five.pt2")}
    net = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(paths["script.pt"])
        free = ({0: torch.export.Dim.DYNAMIC},)
        exported = torch.export.export(net, (images(),), dynamic_shapes=free)
        torch.export.save(exported, paths["any.pt2"])
        torch.export.save(torch.export.export(net, (images(),)), paths["five.pt2"])
    return paths
