"""Models whose robust accuracy is known in closed form, and small ones that were really trained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.losses import margin
from robust.cases.phantoms.draw import phantom


class Linear(nn.Module):
    """Logits `weight @ pixels + bias`; with one row of weights z, the two logits (0, z)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.weight.T + self.bias
        return torch.cat([torch.zeros_like(z), z], 1) if z.shape[1] == 1 else z


class Shaken(nn.Module):
    """A linear model whose weights are moved by noise at every pass; its mean is the model."""

    def __init__(self, inside: Linear, noise: float) -> None:
        super().__init__()
        self.inside, self.noise = inside, noise

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inside(x)
        weight = self.inside.weight
        moved = (x.flatten(1) - 0.5) @ (self.noise * torch.randn(weight.shape).to(weight)).T
        return torch.cat([logits[:, :1], logits[:, 1:] + moved], 1)


class Then(nn.Module):
    """A model followed by a function of its logits."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.model(x))


def linear(
    shape: tuple[int, int, int] = (1, 8, 8), classes: int = 2, seed: int = 0
) -> tuple[Linear, torch.Generator]:
    """A random linear model in float64 that is undecided on mid-grey, and its generator."""
    generator = torch.Generator().manual_seed(seed)
    rows = 1 if classes == 2 else classes
    pixels = shape[0] * shape[1] * shape[2]
    weight = torch.randn(rows, pixels, generator=generator, dtype=torch.float64)
    return Linear(weight, -weight.sum(1) / 2), generator


def linear_cases(
    box: str, n: int = 64, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0
) -> tuple[Linear, Tensor, Tensor]:
    """Two classes in float64, every case right: model, x, y.

    `free`: pixels in 0.4 .. 0.6, so near to the boundary that the box never binds. `binding`: over
    a third of the pixels are exactly 0 or 1, and the images lean towards one class or the other,
    so that on the long way to the boundary many more pixels meet the box.
    """
    model, generator = linear(shape, seed=seed)
    x = torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    lean = (torch.rand(n, 1, 1, 1, generator=generator) - 0.5) * model.weight.sign().view(shape)
    x = 0.4 + 0.2 * x if box == "free" else (1.6 * x - 0.3 + 0.8 * lean.detach()).clamp(0, 1)
    return model, x, predicted(model, x)


def predicted(model: nn.Module, x: Tensor) -> Tensor:
    """The labels that the model gives, `(n,)`."""
    with torch.no_grad():
        labels: Tensor = model(x).argmax(1)
    return labels


def fooled(model: nn.Module, x_adv: Tensor, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Where an attacker who wants another label (or the target) has won, `(n,)` bool."""
    with torch.no_grad():
        return margin(model(x_adv), y, target) > 0


def exact_eps(model: Linear, x: Tensor, y: Tensor, norm: str, box: bool = True) -> Tensor:
    """The distance of the nearest adversarial image of each case, in float64: `(n,)`.

    The least over the wrong labels, each of which has a hyperplane of its own. Without a box: gap /
    |w|, in the dual norm. With it, L-inf moves pixel i by clip(eps sign(u_i)) and L2 by clip(t u_i),
    where u raises the attacker's margin (for L2 by the conditions of Karush, Kuhn and Tucker). What
    is gained grows with eps or t: bisect.
    """
    x = x.double()
    with torch.no_grad():
        logits = model.double()(x)
        weight = model.weight.detach().double()
    rows = torch.cat([torch.zeros_like(weight), weight]) if len(weight) == 1 else weight
    wrong = torch.arange(1, logits.shape[1])
    distances = []
    for label in ((y[:, None] + wrong) % logits.shape[1]).T:
        gap = logits.gather(1, y[:, None]) - logits.gather(1, label[:, None])
        raises = rows[label] - rows[y]
        distances.append(_to_hyperplane(x.flatten(1), raises, gap[:, 0].clamp_min(0), norm, box))
    return torch.stack(distances).amin(0)


def _to_hyperplane(pixels: Tensor, raises: Tensor, gap: Tensor, norm: str, box: bool) -> Tensor:
    """How far each image is from where it gains the gap; infinite where the box forbids it."""
    if not box:
        return gap / (raises.abs().sum(1) if norm == "Linf" else raises.norm(dim=1))
    direction = raises.sign() if norm == "Linf" else raises
    low = torch.zeros_like(gap)
    # From here on every pixel with a weight is at the box.
    high = torch.ones_like(gap) / direction.abs().amin(1)
    for _ in range(200):
        middle = (low + high) / 2
        gain = (((pixels + middle[:, None] * direction).clamp(0, 1) - pixels) * raises).sum(1)
        enough = gain >= gap
        high = torch.where(enough, middle, high)
        low = torch.where(enough, low, middle)
    delta = (pixels + high[:, None] * direction).clamp(0, 1) - pixels
    possible = (delta * raises).sum(1) >= gap * (1 - 1e-12)
    distance = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
    return torch.where(possible, distance, torch.inf)


def _convnet(channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(outputs),
    )


def untrained(classes: int = 2, channels: int = 1, pixels: int = 8, seed: int = 0) -> nn.Module:
    """A convolutional network with random weights in float64, in eval mode."""
    return copy.deepcopy(_untrained(classes, channels, pixels, seed))


@cache
def _untrained(classes: int, channels: int, pixels: int, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _convnet(channels, classes)
        model(torch.zeros(1, channels, pixels, pixels))
    return model.double().eval()


def fit(model: nn.Module, x: Tensor, y: Tensor, epochs: int = 40) -> nn.Module:
    """Train on all of the data at once, and hand back in eval mode."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        loss = F.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


@cache
def _chest(first: int, n: int) -> tuple[Tensor, Tensor]:
    y = torch.arange(n) % 2
    images = [phantom("chest_xray", bool(y[i]), first + i, 28) for i in range(n)]
    return torch.stack([torch.from_numpy(i)[None] / 255 for i in images]), y


@cache
def _trained() -> tuple[nn.Module, Tensor, Tensor]:
    x, y = _chest(0, 120)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _convnet(1, 2)
        model(x[:1])
        fit(model, x, y, epochs=60)
    x, y = _chest(1000, 80)
    right = predicted(model, x) == y
    return model, x[right], y[right]


def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A fresh copy of a network trained on chest phantoms, and fresh cases that it gets right."""
    model, x, y = _trained()
    return copy.deepcopy(model), x.clone(), y.clone()


def patterns(
    classes: int, channels: int = 1, pixels: int = 8, n: int = 48
) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A small network trained to tell `classes` noisy patterns apart, and cases it gets right."""
    model, x, y = _patterns(classes, channels, pixels, n)
    return copy.deepcopy(model), x.clone(), y.clone()


@cache
def _patterns(
    classes: int, channels: int, pixels: int, n: int
) -> tuple[nn.Sequential, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (channels, pixels, pixels)
    means = 0.5 + 0.15 * torch.randn(classes, *shape, generator=generator)
    y = torch.arange(8 * classes + n) % classes
    noise = 0.1 * torch.randn(len(y), *shape, generator=generator)
    x = (means[y] + noise).clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _convnet(channels, classes)
        model(x[:1])
        fit(model, x[:-n], y[:-n])
    x, y = x[-n:], y[-n:]
    right = predicted(model, x) == y
    return model, x[right], y[right]
