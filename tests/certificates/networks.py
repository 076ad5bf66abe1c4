"""Small trained networks in float64, of at most 60 ReLUs, for certificates and exact solvers."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from attacks.streams import Streams
from robust.certificates.bounds.boxes import Box, image_box
from robust.certificates.bounds.network_graph import NetworkGraph
from robust.certificates.contract import Certificate
from robust.models.classifier import Classifier
from tests.toys import fit, predicted


class Residual(nn.Module):
    """Two dense layers, the second of which is added to the first; its pixels are averaged first."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(16, 10)
        self.second = nn.Linear(10, 10)
        self.last = nn.Linear(20, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x.view(x.shape[0], -1)))
        h = nn.functional.leaky_relu(h - 0.5 * self.second(h), 0.1)
        logits: Tensor = self.last(torch.cat([h, 1 - h], 1))
        return logits


def dense(classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 14), nn.ReLU(), nn.Linear(14, classes))


def deep(classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(inplace=True)),
        *(nn.Dropout(0.5), nn.Linear(8, 6), nn.ReLU6(), nn.Identity(), nn.Linear(6, classes)),
    )


def convolutional(classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 2, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(2), nn.ReLU()),
        *(nn.MaxPool2d(2, 1, padding=1), nn.AvgPool2d(2, 1), nn.Conv2d(2, 4, 2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)),
    )


def pooled(classes: int) -> nn.Module:
    """The maximum before the ReLU, over windows that overlap and reach beyond the image."""
    return nn.Sequential(
        *(nn.Conv2d(1, 2, 2), nn.MaxPool2d(2, 2, padding=1), nn.ReLU(), nn.Flatten()),
        nn.Linear(8, classes),
    )


KINDS = {
    "dense": dense,
    "deep": deep,
    "convolutional": convolutional,
    "pooled": pooled,
    "residual": Residual,
}
QUICK = ("pooled", "residual")
SOME_SLOW = [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
"""All kinds, of which two are quick."""


@cache
def trained_network(kind: str, classes: int, seed: int = 0) -> tuple[Classifier, Tensor]:
    """A network trained on noisy patterns of 4 x 4 pixels, and eight cases that it reads right."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.rand(classes, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.arange(256) % classes
    noise = torch.randn(256, 1, 4, 4, generator=generator, dtype=torch.float64)
    x = (means[y] + 0.2 * noise).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = KINDS[kind](classes).double()
        network.train()
        fit(network, x[:-32], y[:-32], epochs=100)
    x, y = x[-32:], y[-32:]
    x = x[predicted(network, x) == y][:8]
    assert len(x) == 8
    return Classifier(network, head="softmax").double().eval(), x


def radius(certificate: Certificate, model: Classifier, x: Tensor) -> Tensor:
    return certificate(model, x, Streams.of(0, range(len(x)))).radius


def box_of(x: Tensor, eps: float) -> Box:
    return image_box(x, torch.full((len(x),), eps, dtype=torch.float64))


def values(graph: NetworkGraph, x: Tensor) -> list[Tensor]:
    """What every node holds on images."""
    found: list[Tensor] = []
    for node in graph.nodes:
        inputs = [found[parent] for parent in node.parents]
        found.append(node.forward(*inputs) if inputs else x.double())  # type: ignore[union-attr]
    return found


def corners_and_inside(x: Tensor, eps: Tensor, count: int, seed: int = 0) -> Tensor:
    """Images within `eps (n,)` of `x (n, c, h, w)`: half at corners; `(count, n, c, h, w)`."""
    generator = torch.Generator().manual_seed(seed)
    draws = 2 * torch.rand(count, *x.shape, generator=generator, dtype=torch.float64) - 1
    draws[::2] = draws[::2].sign()
    return (x + eps.view(-1, 1, 1, 1) * draws).clamp(0, 1)
