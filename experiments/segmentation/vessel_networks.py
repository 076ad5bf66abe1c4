"""Two published vessel networks: LWNet (Galdran 2022) and M2U-Net (Laibacher 2019).

Factories for `[model] factory`, beside `weights`: RGB images in [0, 1] to one vessel logit.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lwnet() -> nn.Module:
    """W-Net of 68,482 parameters for images whose sides are multiples of 4."""
    return _WNet((8, 16, 32))


def m2unet() -> nn.Module:
    """M2U-Net of 549,748 parameters for images whose sides are multiples of 16."""
    return _M2UNet()


class _WNet(nn.Module):
    """A U-Net, and a second one that sees the image and the first one's logit."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.unet1 = _UNet(3, widths)
        self.unet2 = _UNet(4, widths)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.unet2(torch.cat([x, self.unet1(x)], 1))
        return out


class _UNet(nn.Module):
    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(widths))
        self.first = _Block(channels, widths[0])
        self.down_path = nn.ModuleList(_Block(narrow, wide) for narrow, wide in pairs)
        self.up_path = nn.ModuleList(_Up(wide, narrow) for narrow, wide in reversed(pairs))
        self.final = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        skips = []
        for down in self.down_path:
            skips.append(x)
            x = down(F.max_pool2d(x, 2))
        for up, skip in zip(self.up_path, reversed(skips), strict=True):
            x = up(x, skip)
        out: Tensor = self.final(x)
        return out


class _Block(nn.Module):
    """Two convolutions, and a shortcut that is added to them."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(narrow, wide, 1, bias=False), nn.BatchNorm2d(wide))
        self.block = nn.Sequential(*_convolved(narrow, wide), *_convolved(wide, wide))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x) + self.shortcut(x)
        return out


class _Up(nn.Module):
    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.up_layer = _Named(nn.ConvTranspose2d(wide, narrow, 2, stride=2))
        self.conv_layer = _Block(2 * narrow, narrow)
        self.conv_bridge_layer = _Named(*_convolved(narrow, narrow))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        both = [self.up_layer(x), self.conv_bridge_layer(skip)]
        out: Tensor = self.conv_layer(torch.cat(both, 1))
        return out


class _Named(nn.Module):
    """Layers under the name `block`, as the published weights have them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


def _convolved(narrow: int, wide: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(wide)


class _M2UNet(nn.Module):
    """The first stages of MobileNetV2, and a decoder of inverted residuals."""

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()
        )
        self.conv1 = nn.Sequential(stem, _Inverted(32, 16, 1, 1))
        self.conv2 = _stage(2, (16, 24, 24))
        self.conv3 = _stage(4, (24, 32, 32, 32))
        self.conv4 = _stage(7, (32, 64, 64, 64, 64, 96, 96, 96))
        self.decode4 = _Decoder(96 + 32, 64)
        self.decode3 = _Decoder(64 + 24, 44)
        self.decode2 = _Decoder(44 + 16, 30)
        self.decode1 = _Decoder(30 + 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        half = self.conv1(x)
        fourth = self.conv2(half)
        eighth = self.conv3(fourth)
        out: Tensor = self.decode4(self.conv4(eighth), eighth)
        out = self.decode3(out, fourth)
        out = self.decode2(out, half)
        out = self.decode1(out, x)
        return out


class _Decoder(nn.Module):
    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.ir1 = _Inverted(wide, narrow, 1, 0.15)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = self.ir1(torch.cat([x, skip], 1))
        return out


class _Inverted(nn.Module):
    """Inverted residual (Sandler 2018): wider, convolved channel by channel, narrow again."""

    def __init__(self, given: int, returned: int, stride: int, expansion: float) -> None:
        super().__init__()
        hidden = round(given * expansion)
        layers: list[nn.Module] = []
        if expansion != 1:
            layers = [nn.Conv2d(given, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, returned, 1, bias=False),
            nn.BatchNorm2d(returned),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and given == returned

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.adds else out


def _stage(number: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Inverted residuals from width to width, the first of stride 2; named from a number on."""
    layers = OrderedDict[str, nn.Module]()
    for i, (given, returned) in enumerate(itertools.pairwise(widths)):
        layers[str(number + i)] = _Inverted(given, returned, 2 if i == 0 else 1, 6)
    return nn.Sequential(layers)
