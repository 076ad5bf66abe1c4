"""Small segmenters with random weights, with images and labels, in each form of dense logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from attacks.losses import IGNORE

FORMS = ("2-D exclusive", "2-D overlapping", "3-D exclusive")


@dataclass(frozen=True)
class Segmented:
    """A model in float64 whose labels are what it predicts, and a mask to reach."""

    model: nn.Module
    x: Tensor
    y: Tensor
    target: Tensor
    """The labels moved aside; the attacker has no wish in the first columns."""

    def goal(self, aimed: bool, rows: slice | list[int] = slice(None)) -> Tensor | None:
        """The target of those cases, or None."""
        return self.target[rows] if aimed else None


@cache
def segmented(form: str, n: int = 3) -> Segmented:
    """Of one of `FORMS`: three classes in images, two structures, or two classes in volumes."""
    volume, overlapping = form.startswith("3-D"), form.endswith("overlapping")
    conv = nn.Conv3d if volume else nn.Conv2d
    outputs = 3 if form == "2-D exclusive" else 2
    space = (4, 6, 7) if volume else (8, 9)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(conv(1, 6, 3, padding=1), nn.Tanh(), conv(6, outputs, 3, padding=1))
        x = torch.rand(n, 1, *space, dtype=torch.float64)
    x[..., 0, :] = 0
    model = model.double().eval().requires_grad_(False)
    with torch.no_grad():
        model[2].weight *= 4
        model[2].bias -= model(x).transpose(0, 1).flatten(1).mean(1)
        logits = model(x)
    y = (logits > 0).long() if overlapping else logits.argmax(1)
    target = y.roll(2, -1)
    target[..., :2] = IGNORE
    return Segmented(model, x, y, target)
