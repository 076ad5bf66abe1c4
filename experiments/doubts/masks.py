"""Networks whose gradients hide: known kinds of gradient masking, put around or into sound ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.doubts.networks import (
    PIXELS,
    Attention,
    Recipe,
    deep,
    linear,
    normalised,
    plain,
    smooth,
    trained,
    wide,
)


class Masked(nn.Module):
    """A sound network with something around it; `seed` decides what is drawn at random."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.network = network
        self.draws = torch.Generator().manual_seed(seed)


class Backward(torch.autograd.Function):
    """The identity, whose gradient is multiplied by `how`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, how: Tensor) -> Tensor:
        ctx.save_for_backward(how)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (how,) = ctx.saved_tensors
        return gradients[0] * how, None


class Rounded(Masked):
    """Rounds to 16 grey levels: the gradient is zero."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network((x * 15).round() / 15)
        return out


class Thermometer(Masked):
    """Each pixel is read as eight hard thresholds (Buckman et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        levels = (torch.arange(8) + 0.5) / 8
        out: Tensor = self.network((x[..., None] > levels).to(x).mean(-1))
        return out


class Blocks(Masked):
    """As JPEG does: the cosine transform of 4 x 4 blocks, rounded."""

    def forward(self, x: Tensor) -> Tensor:
        k = torch.arange(4.0)
        basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / 8) / math.sqrt(2)
        basis[0] = 0.5
        n, c, h, w = x.shape
        parts = x.view(n, c, h // 4, 4, w // 4, 4).transpose(3, 4)
        coefficients = basis @ parts @ basis.T
        step = (k[:, None] + k[None] + 1) * 0.06
        back = basis.T @ ((coefficients / step).round() * step) @ basis
        out: Tensor = self.network(back.transpose(3, 4).reshape(n, c, h, w))
        return out


class Resized(Masked):
    """Resizes and pads the input at random (Xie et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        side = int(torch.randint(PIXELS - 6, PIXELS + 1, (), generator=self.draws))
        left, top = torch.randint(0, PIXELS - side + 1, (2,), generator=self.draws).tolist()
        small = F.interpolate(x, (side, side), mode="bilinear", antialias=False)
        room = PIXELS - side
        out: Tensor = self.network(F.pad(small, (left, room - left, top, room - top)))
        return out


class Dropping(Masked):
    """Drops a fifth of the pixels at every pass."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.rand(x.shape, generator=self.draws) > 0.2
        out: Tensor = self.network(x * kept / 0.8)
        return out


class Noisy(Masked):
    """Adds noise to the input at every pass."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x + 0.05 * torch.randn(x.shape, generator=self.draws))
        return out


class Turned(Masked):
    """Its gradient points the other way, by a backward pass of its own."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(Backward.apply(x, -torch.ones_like(x)))
        return out


class Scrambled(Masked):
    """Each pixel's gradient has a sign of its own, by a backward pass of its own."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        super().__init__(network, seed)
        self.signs = torch.rand(PIXELS, PIXELS, generator=self.draws).sub(0.5).sign()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(Backward.apply(x, self.signs.expand_as(x)))
        return out


class Certain(Masked):
    """Gives probabilities at a temperature so low that they are 0 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.network(x) * 200, 1)


class Reshaped(Masked):
    """Two logits whose difference is a function of the sound network's: `slope` is its change
    over one grey level along the gradient, so that sizes can be given in grey levels."""

    def __init__(self, network: nn.Module, seed: int = 0) -> None:
        super().__init__(network, seed)
        x = 0.3 + 0.4 * torch.rand(32, 3, PIXELS, PIXELS, generator=self.draws)
        x.requires_grad_()
        out = network(x)
        (gradient,) = torch.autograd.grad((out[:, 1] - out[:, 0]).sum(), x)
        self.slope = float(gradient.abs().flatten(1).sum(1).median()) / 255

    def shape(self, levels: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out = self.network(x)
        new = self.shape((out[:, 1] - out[:, 0]) / self.slope) * self.slope
        return torch.stack([-new / 2, new / 2], 1)


class Hill(Reshaped):
    """Smooth: beyond `top` grey levels from the boundary the way to it leads over a hill."""

    top = 1.5

    def shape(self, levels: Tensor) -> Tensor:
        return levels / (1 + (levels / self.top) ** 2)


class FarHill(Hill):
    top = 3.0


class Bent(Reshaped):
    """Piecewise linear: from 1 to 6 grey levels off the boundary the slope is turned around."""

    def shape(self, levels: Tensor) -> Tensor:
        size = levels.abs()
        turned = (
            4 * size.clamp_max(1) - 0.5 * (size - 1).clamp(0, 5) + 0.5 * (size - 6).clamp_min(0)
        )
        return levels.sign() * turned


class Wells(Reshaped):
    """Narrow wells of the other class, `period` grey levels apart and `width` wide."""

    period, width = 1.7, 0.02

    def shape(self, levels: Tensor) -> Tensor:
        off = torch.remainder(levels.abs() - 0.37 * self.period, self.period)
        off = torch.minimum(off, self.period - off)
        well = torch.exp(-((off / self.width) ** 2) / 2)
        return levels * (1 - 2 * well)


class RareWells(Wells):
    period, width = 5.0, 0.05


class SteepWells(Wells):
    """With walls so steep that no gradient is seen beside them."""

    period, width = 3.0, 0.04

    def shape(self, levels: Tensor) -> Tensor:
        off = torch.remainder(levels.abs() - 0.37 * self.period, self.period)
        off = torch.minimum(off, self.period - off)
        return levels * (1 - 2 * (off < self.width).to(levels))


class Winners(nn.Module):
    """k-winners-take-all in place of an activation (Xiao et al. 2020)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        kept = flat.topk(max(flat.shape[1] // 20, 1), 1).values[:, -1:]
        return torch.where(flat >= kept, flat, 0.0).view_as(x)


def winners(channels: int, classes: int) -> nn.Module:
    made = wide(channels, classes)
    made[1], made[3] = Winners(), Winners()
    return made


class Binary(nn.Module):
    """Activations of -1 and 1, for which training puts a steep smooth function."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(3 * x) if self.training else x.sign()


def binary(channels: int, classes: int) -> nn.Module:
    made = smooth(channels, classes)
    made[1] = Binary()
    return made


@dataclass(frozen=True)
class Mask:
    """One kind of masking."""

    around: Callable[[nn.Module, int], nn.Module] | None
    """None: it lies in the network itself."""
    recipe: Recipe
    own: tuple[str, ...]
    """Doubts that name this kind; any of them will do."""


AWAY = "gradients point away from the boundary"
NARROW = "adversarial regions narrower than a step"
VANISH, MISLEAD = "gradients vanish", "gradients mislead"
RANDOM, ROUND = "random outputs", "input is rounded"

MASKS = {
    "rounded to 16 levels": Mask(Rounded, Recipe(plain), (VANISH, ROUND)),
    "thermometer": Mask(Thermometer, Recipe(wide, lr=1e-3), (VANISH, ROUND)),
    "JPEG-like": Mask(Blocks, Recipe(deep, epochs=30), (VANISH, ROUND)),
    "resized at random": Mask(Resized, Recipe(plain), (RANDOM,)),
    "dropped pixels": Mask(Dropping, Recipe(wide, lr=1e-3), (RANDOM,)),
    "noise at test": Mask(Noisy, Recipe(wide, lr=1e-3, noise=0.1), (RANDOM,)),
    "gradient turned": Mask(Turned, Recipe(normalised), (MISLEAD, AWAY)),
    "gradient scrambled": Mask(Scrambled, Recipe(plain), (MISLEAD, AWAY)),
    "probabilities, low temperature": Mask(
        Certain, Recipe(plain), (VANISH, "probabilities instead of logits")
    ),
    "hill": Mask(Hill, Recipe(plain), (AWAY,)),
    "far hill, linear": Mask(FarHill, Recipe(linear), (AWAY,)),
    "bent": Mask(Bent, Recipe(deep, epochs=30), (AWAY,)),
    "wells": Mask(Wells, Recipe(plain), (NARROW,)),
    "rare wells, linear": Mask(RareWells, Recipe(linear), (NARROW,)),
    "steep wells, transformer": Mask(SteepWells, Recipe(Attention, epochs=30), (NARROW,)),
    "binary activations": Mask(None, Recipe(binary, epochs=30), (VANISH,)),
    "k-winners": Mask(None, Recipe(winners), (MISLEAD, AWAY, NARROW)),
}
"""Every kind of masking of the table."""


def masked(mask: Mask, seed: int) -> nn.Module:
    """A trained network behind this mask."""
    network = trained(mask.recipe, seed)
    return network if mask.around is None else mask.around(network, seed).eval()
