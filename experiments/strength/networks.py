"""The networks on which attacks are compared: two classes and more, plain and hardened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import robust
from attacks import PGD, Streams, ThreatModel
from experiments.models import built, data_of
from experiments.speed.audits import pneumonia as published
from robust.cases.phantoms.draw import phantom
from robust.models import prepare, settle_head


@dataclass(frozen=True)
class Network:
    """A frozen network and cases that it reads right."""

    model: nn.Module
    x: Tensor
    y: Tensor
    eps: dict[str, float]
    """By norm, one at which some cases stand and some fall."""
    seeds: int = 5
    nearest: int = 1000
    """Gradients that a nearest image may cost."""
    ensembles: bool = True


def _right(model: nn.Module, x: Tensor, y: Tensor, n: int) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        rows = (model(x).argmax(1) == y).nonzero().flatten()[:n]
    return x[rows], y[rows]


def _convnet(outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.LazyLinear(outputs)),
    )


def _fitted(x: Tensor, y: Tensor, classes: int, epochs: int, eps: float = 0.0) -> nn.Module:
    """Trained on all of the data at once; with `eps`, on PGD images of three steps (PGD-AT)."""
    torch.manual_seed(0)
    model = _convnet(classes)
    model(x[:1])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    streams, threat = Streams.of(0, range(len(x))), ThreatModel("Linf", eps)
    for _ in range(epochs):
        seen = PGD(steps=3, step_size=0.7)(model, x, y, threat, streams) if eps else x
        loss = F.cross_entropy(model(seen), y)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return model.eval().requires_grad_(False)


def _chest(first: int, n: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(n) % 2
    images = [phantom("chest_xray", bool(y[i]), first + i, 28) for i in range(n)]
    return torch.stack([torch.from_numpy(i)[None] / 255 for i in images]), y


def phantoms(eps: float = 0.0) -> Network:
    model = _fitted(*_chest(0, 160), 2, 80, eps)
    sizes = {"Linf": 8 / 255 if eps else 4 / 255, "L2": 0.6 if eps else 0.2}
    return Network(model, *_right(model, *_chest(1000, 160), 100), sizes)


def patterns(classes: int, eps: float = 0.0) -> Network:
    """Noisy patterns of 16 x 16 pixels, one a class."""
    generator = torch.Generator().manual_seed(classes)
    means = 0.5 + 0.1 * torch.randn(classes, 1, 16, 16, generator=generator)
    y = torch.arange(700) % classes
    x = (means[y] + 0.15 * torch.randn(700, 1, 16, 16, generator=generator)).clamp(0, 1)
    model = _fitted(x[:500], y[:500], classes, 60, eps)
    sizes = {"Linf": 0.04 if eps else 0.02, "L2": 0.4 if eps else 0.2}
    return Network(model, *_right(model, x[500:], y[500:], 100), sizes)


def pneumonia() -> Network:
    """The published CNN on PneumoniaMNIST."""
    classifier, cases, _ = published()
    model, drawn = prepare(classifier), list(cases.sample(140))
    x = torch.stack([case.image for case in drawn])
    y = torch.tensor([case.label for case in drawn])
    settle_head(model, x[:2])
    return Network(model, *_right(model, x, y, 100), {"Linf": 4 / 255, "L2": 0.4})


def trained(name: str, count: int, eps: dict[str, float]) -> Network:
    """A folder of `experiments.models`, at its own size, at a budget that one core can afford."""
    folder = built(name)
    data = data_of(name, folder)
    model = prepare(robust.load_classifier(folder=folder))
    cases = robust.open_cases(data.path, **{**data.options(), "limit": None})
    drawn = list(cases.sample(2 * count))
    x = torch.stack([case.image for case in drawn])
    y = torch.tensor([case.label for case in drawn])
    settle_head(model, x[:2])
    right = _right(model, x, y, count)
    return Network(model, *right, eps, seeds=1, nearest=300, ensembles=False)


SMALL: dict[str, Callable[[], Network]] = {
    "phantoms, 2 classes": phantoms,
    "phantoms, 2 classes, hardened": lambda: phantoms(4 / 255),
    "PneumoniaMNIST, 2 classes": pneumonia,
    "patterns, 3 classes": lambda: patterns(3),
    "patterns, 3 classes, hardened": lambda: patterns(3, 0.03),
    "patterns, 7 classes": lambda: patterns(7),
    "patterns, 10 classes": lambda: patterns(10),
}
LARGE: dict[str, Callable[[], Network]] = {
    "chest 112 px, 2 classes": lambda: trained(
        "mobilenet-pretrained", 16, {"Linf": 1 / 255, "L2": 0.3}
    ),
    "chest 112 px, 3 classes": lambda: trained("chest-3", 16, {"Linf": 0.5 / 255, "L2": 0.2}),
    "chest 112 px, 2 classes, hardened": lambda: trained(
        "mobilenet-hardened", 16, {"Linf": 2 / 255, "L2": 0.6}
    ),
}
