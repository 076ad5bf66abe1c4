"""Linear segmenters whose worst case is known, and images for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from attacks import Attack, ThreatModel
from tests.attacks.cases import streams
from tests.attacks.segmentation.closed_forms import Array, Labels, Scores


class Pointwise(nn.Module):
    """Scores `weight @ channels + bias` of each pixel; as logits, or one score z as (0, z)."""

    def __init__(self, weight: Tensor, bias: Tensor, *, two_logits: bool = False) -> None:
        super().__init__()
        self.weight, self.bias, self.two_logits = weight, bias, two_logits

    def forward(self, x: Tensor) -> Tensor:
        z = torch.einsum("kc,nc...->nk...", self.weight.to(x), x)
        z = z + self.bias.to(x).view(1, -1, *[1] * (x.ndim - 2))
        return torch.cat([torch.zeros_like(z), z], 1) if self.two_logits else z


@dataclass(frozen=True, eq=False)
class PointwiseCases:
    """Cases of one linear segmenter; no test may change them."""

    model: Pointwise
    x: Tensor
    y: Tensor

    def attacked(self, attack: Attack, threat: ThreatModel, target: Tensor | None = None) -> Tensor:
        """The images that an attack returns."""
        return attack(self.model, self.x, self.y, threat, streams(len(self.x)), target)

    def predicted(self, x: Tensor) -> Tensor:
        """In the form of `y`."""
        logits = self.model(x)
        return (logits > 0).long() if self.y.shape == logits.shape else logits.argmax(1)


def flat(image: Tensor) -> Array:
    """`(c, *space)` as `(c, pixels)`."""
    return image.flatten(1).double().numpy()


def labels_of(mask: Tensor) -> Labels:
    """`(*space)` as `(pixels,)`."""
    return mask.flatten().numpy()


def scores_of(predicted: Tensor, y: Tensor, structure: int = 1) -> Scores:
    """Of one mask `(*space)`."""
    return Scores.of(labels_of(predicted) == structure, labels_of(y) == structure)


@cache
def pointwise_cases(
    n: int,
    seed: int,
    *,
    rows: int = 1,
    channels: int = 1,
    space: tuple[int, ...] = (8, 8),
    overlapping: bool = False,
    box: bool = True,
) -> PointwiseCases:
    """Images in float64 with 3 % of the pixels wrong; with `box`, a fifth of them black or white.

    One row of weights is one score with two logits; several are so many logits.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, channels, generator=generator, dtype=torch.float64)
    weight = 4 * weight / weight.norm(dim=1, keepdim=True)
    x = torch.rand(n, channels, *space, generator=generator, dtype=torch.float64)
    x = (1.25 * x - 0.125).clamp(0, 1) if box else 0.3 + 0.4 * x
    spread = 0.2 * torch.randn(rows, generator=generator, dtype=torch.float64)
    two_logits = rows == 1 and not overlapping
    model = Pointwise(weight, spread - weight.sum(1) / 2, two_logits=two_logits)
    logits = model(x)
    y = (logits > 0).long() if overlapping else logits.argmax(1)
    classes = 2 if overlapping else logits.shape[1]
    wrong = torch.rand(y.shape, generator=generator) < 0.03
    return PointwiseCases(model, x, torch.where(wrong, (y + 1) % classes, y))
