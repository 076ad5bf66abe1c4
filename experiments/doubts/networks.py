"""Small networks without a defect, trained on phantoms: plain, wide, deep, hardened, saturated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.cases import Cases, open_cases
from robust.cases.case import Entry, Pixels

PIXELS = 28


@cache
def phantoms(task: str, split: str, count: int, seed: int) -> Cases:
    """`chest`, `skin` or `eye` with two classes each, `skin and eye` with all four of theirs, or
    `patterns` with ten."""
    if task == "patterns":
        return patterns(count, 3 * seed + ("train", "val", "test").index(split))
    names = {"chest": "chest_xray", "skin": "dermoscopy", "eye": "fundus"}
    if task in names:
        cases = open_cases(
            f"phantom:{names[task]}", split=split, count=count, pixels=PIXELS, seed=seed
        )
        return replace(cases, read=cache(cases.read))
    skin, eye = (phantoms(part, split, count // 2, seed) for part in ("skin", "eye"))
    moved = [
        replace(e, id=f"eye-{e.id}", group=f"eye-{e.group}", label=e.label + 2) for e in eye.entries
    ]
    classes = (*skin.classes, *(f"eye, {name}" for name in eye.classes))
    entries = (*skin.entries, *moved)
    return replace(skin, source="phantoms", classes=classes, entries=entries, findings=())


def patterns(count: int, seed: int, classes: int = 10) -> Cases:
    """Noisy images of ten smooth patterns, the same for every seed."""
    means = np.random.default_rng(0).normal(0.5, 0.12, (classes, 7, 7)).repeat(4, 1).repeat(4, 2)
    noise = np.random.default_rng([1, seed]).normal(0, 0.15, (count, PIXELS, PIXELS))

    def read(place: int) -> Pixels:
        image = means[place % classes] + noise[place]
        return np.rint(255 * image.clip(0, 1)).astype(np.uint8)

    entries = tuple(Entry(f"{seed}-{i}", i % classes, f"{seed}-{i}", {}, i) for i in range(count))
    return Cases("patterns", tuple(f"pattern {i}" for i in range(classes)), entries, read, ())


def _blocks(channels: int, widths: tuple[int, ...], norm: bool = False) -> list[nn.Module]:
    made: list[nn.Module] = []
    for width in widths:
        made.append(nn.Conv2d(channels, width, 3, stride=2, padding=1))
        made += [nn.BatchNorm2d(width)] if norm else []
        made.append(nn.ReLU())
        channels = width
    return made


def plain(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(*_blocks(channels, (8, 16)), nn.Flatten(), nn.Linear(16 * 49, classes))


def wide(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(*_blocks(channels, (48, 64)), nn.Flatten(), nn.Linear(64 * 49, classes))


def normalised(channels: int, classes: int) -> nn.Sequential:
    layers = _blocks(channels, (12, 24), norm=True)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24 * 49, classes))


def deep(channels: int, classes: int) -> nn.Sequential:
    between = [part for _ in range(4) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    pooled = [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, classes)]
    return nn.Sequential(*_blocks(channels, (16, 16)), *between, *pooled)


def smooth(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(channels, 12, 4, stride=4), nn.GELU(), nn.Flatten()),
        *(nn.Linear(12 * 49, 32), nn.Tanh(), nn.Linear(32, classes)),
    )


def linear(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * PIXELS**2, classes))


class Attention(nn.Module):
    """A transformer of one layer on patches of 4 x 4 pixels."""

    def __init__(self, channels: int, classes: int, width: int = 24) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, 4, stride=4)
        self.place = nn.Parameter(0.02 * torch.randn(49, width))
        self.layer = nn.TransformerEncoderLayer(width, 2, 48, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT + self.place
        out: Tensor = self.head(self.layer(tokens).mean(1))
        return out


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained."""

    network: Callable[[int, int], nn.Module]
    task: str = "skin"
    eps: float = 0.0
    """Of the PGD images it is trained on (three steps); 0: on clean images."""
    noise: float = 0.0
    """Standard deviation of noise on the images it is trained on."""
    smoothing: float = 0.2
    """Of the labels; 0 lets a network become as sure as it can."""
    epochs: int = 20
    factor: float = 1.0
    """Of the logits after training."""
    lr: float = 3e-3


SOUND = {
    "plain": Recipe(plain),
    "wide": Recipe(wide, lr=1e-3),
    "deep": Recipe(deep, epochs=30),
    "batch norm": Recipe(normalised),
    "smooth": Recipe(smooth),
    "linear": Recipe(linear),
    "transformer": Recipe(Attention, epochs=30),
    "chest": Recipe(plain, "chest", epochs=40),
    "four classes": Recipe(normalised, "skin and eye"),
    "four classes, hardened": Recipe(wide, "skin and eye", lr=1e-3, eps=2 / 255),
    "ten classes": Recipe(normalised, "patterns"),
    "hardened at 1/255": Recipe(plain, "chest", eps=1 / 255, epochs=40),
    "hardened at 2/255": Recipe(wide, lr=1e-3, eps=2 / 255, epochs=30),
    "noise in training": Recipe(wide, lr=1e-3, noise=0.1),
    "sure": Recipe(plain, smoothing=0.0, epochs=60),
    "sure, logits times 40": Recipe(plain, smoothing=0.0, epochs=60, factor=40.0),
    "four classes, logits times 40": Recipe(smooth, "skin and eye", factor=40.0),
}
"""Every kind of sound network of the table."""


class Scaled(nn.Module):
    """A network whose logits are multiplied."""

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x) * self.factor
        return out


@cache
def trained(recipe: Recipe, seed: int, count: int = 400) -> nn.Module:
    """In evaluation mode, without gradients of its weights."""
    cases = phantoms(recipe.task, "train", count, seed)
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([case.label for case in cases])
    torch.manual_seed(seed)
    model = recipe.network(x.shape[1], len(cases.classes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=0.1)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(x)).split(64):
            images = _seen(model, x[rows], y[rows], recipe)
            loss = F.cross_entropy(model.train()(images), y[rows], label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
    model.eval().requires_grad_(False)
    return model if recipe.factor == 1 else Scaled(model, recipe.factor).eval()


def _seen(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Tensor:
    """The images that one step of training sees."""
    if recipe.noise:
        return x + recipe.noise * torch.randn_like(x)
    x_adv = x + recipe.eps * (2 * torch.rand_like(x) - 1) if recipe.eps else x
    for _ in range(3 if recipe.eps else 0):
        x_adv = x_adv.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x_adv), y), x_adv)
        step = recipe.eps * 0.7 * gradient.sign()
        x_adv = (x + (x_adv + step - x).clamp(-recipe.eps, recipe.eps)).clamp(0, 1)
    return x_adv.detach()
