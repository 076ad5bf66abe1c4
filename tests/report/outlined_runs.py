"""Small audits of a segmentation model: discs in rings, told apart by their brightness alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from robust.auditing import audit
from robust.cases import Cases, cases_from
from robust.models import Segmenter
from robust.records import Report

STRUCTURES = ("ring", "core")
BACKGROUND, RING, CORE = 0.25, 0.5, 0.75
"""Brightness of each class before noise; the model's borders lie in the middle between them."""


def outlined_cases(count: int = 24, side: int = 20, depth: int | None = None) -> Cases:
    """`count` images or volumes of `count // 2` patients; every third one has no core."""
    draws = torch.Generator().manual_seed(0)
    space = (side, side) if depth is None else (depth, side, side)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in space), indexing="ij")
    images, masks = [], []
    for i in range(count):
        middle = torch.rand(len(space), generator=draws) * 3 + torch.tensor(space) / 2 - 1.5
        away = sum((axis - at) ** 2 for axis, at in zip(axes, middle, strict=True)) ** 0.5
        outer = 3 + 4 * float(torch.rand((), generator=draws))
        mask = (away < outer).long() + (away < outer / 2).long() * (i % 3 > 0)
        bright = torch.tensor([BACKGROUND, RING, CORE])[mask]
        noise = 0.16 * (torch.rand(space, generator=draws) - 0.5)
        images.append((bright + noise)[None])
        masks.append(mask.to(torch.uint8))
    groups = [f"patient {i // 2}" for i in range(count)]
    return cases_from(torch.stack(images), torch.stack(masks), groups, classes=STRUCTURES)


def outlining_model(axes: int = 2, shift: float = 0.0) -> Segmenter:
    """Reads each pixel by its brightness; `shift` moves both of its borders up."""
    network = (nn.Conv2d if axes == 2 else nn.Conv3d)(1, 3, 1)
    first, second = (BACKGROUND + RING) / 2 + shift, (RING + CORE) / 2 + shift
    weights = torch.tensor([0.0, 20.0, 50.0])
    with torch.no_grad():
        network.weight.copy_(weights.view(3, 1, *([1] * axes)))
        network.bias.copy_(torch.tensor([0.0, -20 * first, -20 * first - 30 * second]))
    return Segmenter(network.eval(), channels=1, head="softmax")


def outline_audit(
    out: Path | None = None, *, depth: int | None = None, shift: float = 0.0, **settings: Any
) -> Report:
    """The audit of that model under FGSM and PGD, at an eps below its margin and one above."""
    settings = {"attacks": ["FGSM", "PGD"], "eps": [0.03, 0.09], **settings}
    model = outlining_model(2 if depth is None else 3, shift)
    settings.setdefault("doubts", {"probe": False})
    return audit(model, outlined_cases(depth=depth), out=out, **settings)
