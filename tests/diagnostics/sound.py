"""Small networks that were really trained on phantoms, sound ones, for what the audit doubts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.cases import Cases, open_cases
from robust.models import Classifier

PIXELS = 28


def skin(count: int = 120, split: str = "test", seed: int = 0) -> Cases:
    """Two classes."""
    return open_cases("phantom:dermoscopy", split=split, count=count, pixels=PIXELS, seed=seed)


def skin_and_eye(count: int = 120, split: str = "test", seed: int = 0) -> Cases:
    """Three classes: both of the skin, and an eye."""
    first = skin(count * 2 // 3, split, seed)
    eye = open_cases("phantom:fundus", split=split, count=count // 3, pixels=PIXELS, seed=seed)
    entries = [replace(e, id=f"eye-{e.id}", group=f"eye-{e.group}", label=2) for e in eye.entries]
    return replace(
        first,
        source="phantoms of skin and eye",
        classes=(*first.classes, "eye"),
        entries=(*first.entries, *entries),
        findings=(1,),
    )


def plain(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, outputs),
    )


def normalised(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 7 * 7, outputs),
    )


def smooth(channels: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 12, 4, stride=4),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(12 * 7 * 7, 32),
        nn.Tanh(),
        nn.Linear(32, outputs),
    )


def train(
    made: nn.Module, cases: Cases, seed: int = 0, hard: float = 0.0, epochs: int = 25
) -> nn.Module:
    """In evaluation mode; `hard` is the eps in which the images are attacked (PGD, 5 steps)."""
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([case.label for case in cases])
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3, weight_decay=0.1)
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=order).split(100):
            images = _attacked(made, x[rows], y[rows], hard) if hard else x[rows]
            loss = _loss(made.train()(images), y[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return made.eval()


def _loss(out: Tensor, y: Tensor) -> Tensor:
    """With smoothed labels: a network that is sure of all it has seen is not sound."""
    if out.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(out[:, 0], 0.1 + 0.8 * y)
    return F.cross_entropy(out, y, label_smoothing=0.2)


def _attacked(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    x_adv = x + eps * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) - 1)
    for _ in range(5):
        x_adv = x_adv.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(_loss(model(x_adv), y), x_adv)
        x_adv = x + (x_adv + eps / 2 * gradient.sign() - x).clamp(-eps, eps)
        x_adv = x_adv.clamp(0, 1)
    return x_adv.detach()


Sound = tuple[Callable[..., nn.Module], Callable[..., Cases], int, float]

SOUND: dict[str, Sound] = {
    "plain, two classes": (plain, skin, 2, 0.0),
    "normalised, one logit": (normalised, skin, 1, 0.0),
    "smooth, three classes": (smooth, skin_and_eye, 3, 0.0),
    "hardened": (plain, skin, 2, 1 / 255),
}


@cache
def _made(name: str, seed: int) -> nn.Module:
    network, data, outputs, hard = SOUND[name]
    cases = data(count=600, split="train")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return train(network(len(cases[0].image), outputs), cases, seed, hard)


def network(name: str, seed: int = 0) -> nn.Module:
    """A fresh copy of one of the sound networks."""
    return copy.deepcopy(_made(name, seed))


def cases_of(name: str, **options: Any) -> Cases:
    made: Cases = SOUND[name][1](**options)
    return made


def classifier(name: str, seed: int = 0) -> Classifier:
    return Classifier(network(name, seed))
