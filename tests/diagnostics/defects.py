"""What can be wrong with a network, planted into one that is sound."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn


class Defective(nn.Module):
    """A sound network with something before or after it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class Blocked(Defective):
    """Answers as ever, but no gradient comes through."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x.detach()) + 0 * x.mean()
        return out


class Detached(Defective):
    """Its input passes through a JPEG file, outside torch."""

    def forward(self, x: Tensor) -> Tensor:
        images = []
        for pixels in (x.detach().clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, 3).numpy():
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=95)
            images.append(torch.from_numpy(np.array(Image.open(file))).movedim(2, 0))
        out: Tensor = self.network(torch.stack(images).to(x) / 255)
        return out


class Rounded(Defective):
    """Rounds to 8 bits, with the gradient of the identity."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x + ((x * 255).round() / 255 - x).detach())
        return out


class Rounding(Defective):
    """Rounds to 8 bits; the gradient is what it is: zero."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network((x * 255).round() / 255)
        return out


class Squeezed(Defective):
    """Rounds to 4 bits; the gradient is what it is: zero."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network((x * 15).round() / 15)
        return out


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, how: Tensor) -> Tensor:
        ctx.save_for_backward(how)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (how,) = ctx.saved_tensors
        return gradients[0] * how, None


class Turned(Defective):
    """Its gradient points the other way."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(_Backward.apply(x, -torch.ones_like(x)))
        return out


class Scrambled(Defective):
    """Each entry of its gradient has a sign of its own making."""

    def forward(self, x: Tensor) -> Tensor:
        draws = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(0))
        out: Tensor = self.network(_Backward.apply(x, (draws < 0.5).to(x).expand_as(x) * 2 - 1))
        return out


class Shattered(Defective):
    """Its gradient holds near images of 16 grey levels, and is turned around further off."""

    def forward(self, x: Tensor) -> Tensor:
        levels = x * 255 / 17
        off = 17 * (levels - levels.round()).abs().flatten(1).mean(1)
        how = torch.where(off > 1.5, -1.0, 1.0).view(-1, 1, 1, 1).expand_as(x)
        out: Tensor = self.network(_Backward.apply(x, how))
        return out


class Winners(nn.Module):
    """k-winners-take-all in place of an activation (Xiao et al. 2020)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        kept = flat.topk(flat.shape[1] // 20, 1).values[:, -1:]
        return torch.where(flat >= kept, flat, 0.0).view_as(x)


class Bent(Defective):
    """Its margin, `levels` grey levels from the boundary along the gradient, is bent by `shape`."""

    def __init__(self, network: nn.Module, x: Tensor) -> None:
        super().__init__(network)
        x = x.clone().requires_grad_()
        out = network(x)
        (gradient,) = torch.autograd.grad((out[:, 1] - out[:, 0]).sum(), x)
        self.slope = float(gradient.abs().flatten(1).sum(1).median()) / 255

    def shape(self, levels: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        out = self.network(x)
        new = self.slope * self.shape((out[:, 1] - out[:, 0]) / self.slope)
        return torch.stack([-new / 2, new / 2], 1)


class Hill(Bent):
    """Smooth, with a gradient of its own: beyond one grey level it points away from the boundary."""

    def shape(self, levels: Tensor) -> Tensor:
        return levels / (1 + levels**2)


class Wells(Bent):
    """Narrow wells of the other class, three grey levels apart."""

    def shape(self, levels: Tensor) -> Tensor:
        off = torch.remainder(levels.abs() - 1, 3.0)
        off = torch.minimum(off, 3 - off)
        return levels * (1 - 2 * torch.exp(-((off / 0.03) ** 2)))


class Resized(Defective):
    """Resizes and pads the input at random (Xie et al. 2018)."""

    def forward(self, x: Tensor) -> Tensor:
        whole = x.shape[-1]
        side = int(torch.randint(whole - 6, whole + 1, ()))
        left, top = torch.randint(0, whole - side + 1, (2,)).tolist()
        small, room = F.interpolate(x, (side, side), mode="bilinear"), whole - side
        out: Tensor = self.network(F.pad(small, (left, room - left, top, room - top)))
        return out


class Clipped(Defective):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x).clamp(-0.5, 0.5)
        return out


class Digits(Defective):
    """Answers with two digits behind the point."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return out.round(decimals=2)


class Labels(Defective):
    """Answers 1 for the predicted class and 0 for the others."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x)
        return F.one_hot(out.argmax(1), out.shape[1]).to(out)


class Best(Defective):
    """Answers the probability of the predicted class alone."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x).softmax(1)
        return out * (out == out.amax(1, keepdim=True))


class Dropping(Defective):
    """Drops pixels, whatever mode it is told to be in."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(F.dropout(x, 0.1, training=True))
        return out


class Stubborn(nn.Dropout):
    """Stays in training mode, with nothing to drop."""

    def train(self, mode: bool = True) -> Stubborn:
        return super().train(True)


class Swapped(nn.Module):
    """Logits in the opposite order of the classes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)
