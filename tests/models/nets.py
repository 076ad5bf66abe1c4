"""A small network, images and weights for tests of loading."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TINY = "test_resnet"
"""One of timm's own networks for tests: 373,000 parameters, 160 x 160, mean = std = 0.5."""


def small(outputs: int = 3) -> nn.Module:
    """A network with batch-norm and dropout, so that its mode and buffers matter."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 4, 3, stride=2),
                norm=nn.BatchNorm2d(4),
                relu=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(2),
                flat=nn.Flatten(),
                drop=nn.Dropout(0.5),
                head=nn.Linear(16, outputs),
            )
        )
        net.norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    return net.eval()


def images(n: int = 5, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(2))


class Trap:
    """Runs code when it is unpickled: makes a folder that the tests look for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def wrapped(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {"".join(prefixes) + name: value for name, value in state.items()}


def _bytes(thing: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()
