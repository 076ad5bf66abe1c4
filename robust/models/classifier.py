"""`Classifier`: adapter from displayed pixels to logits (channels, resizing, normalising, head)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.adapter import MOST_PIXELS, Adapter, odds, require_one_of
from robust.models.formats.contract import ModelOrigin
from robust.models.forward import checked_logits
from robust.models.networks.bags import BagNetwork, Tile

FITS = ("squash", "crop", "pad")
HALF_PIXELS = ("even", "down")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
LEAST_CROP = 0.1
"""Least share of a side that a centre crop may keep."""


class Classifier(Adapter):
    """Displayed pixels `(n, c, h, w)` in [0, 1], c = 1 or 3, to logits `(n, k)`, k >= 2.

    In this order: grey to RGB or back, resize, normalise, the network, its head. Every step is
    differentiable, so that an attack works on what a reader sees. Volumes `(n, c, d, h, w)` are
    taken as they are, without a `size`.

    Heads: `softmax` logits; one `sigmoid` logit z, read as (0, z); `multilabel`, where the logit of
    `finding` is read like a sigmoid; `probabilities`, read as their logarithms (they saturate:
    attacks on logits are stronger), with a `finding` as that finding's. `auto` leaves the choice to
    `recognise_head`.
    """

    size: tuple[int, int] | None

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        channels: int | None = None,
        size: int | tuple[int, int] | None = None,
        interpolation: str = "bilinear",
        fit: str = "squash",
        crop_pct: float = 1.0,
        half_pixel: str = "even",
        head: str = "auto",
        finding: int | None = None,
        output_key: str | int | None = None,
        threshold: float = 0.5,
        origin: ModelOrigin | None = None,
        output_names: Sequence[str] | None = None,
        spatial_dims: int | None = None,
        straight_through: Sequence[str] = (),
    ) -> None:
        """Set `channels` of the network (None: as in the image) and `size` (h, w) in pixels.

        `fit` treats images of another shape than the network's: `squash` them, `crop` the centre,
        `pad` with black. With `crop_pct` below 1 they are first resized to `size / crop_pct`, of
        which the centre is taken, as torchvision and timm do; `half_pixel` says whether half a
        pixel of the border goes to the `even` number, as with them, or `down`. `output_key` names
        the logits where the network returns several tensors. With two classes the second is
        predicted where its probability exceeds `threshold`; the shift is part of the logits, so
        that attacks aim at the decision that is made. `straight_through` names what gradients pass
        as if it were not there, as `models.gradients.straight_through` says. Raises InputError for
        values out of range.
        """
        super().__init__(
            network,
            mean=mean,
            std=std,
            channels=channels,
            head=head,
            output_key=output_key,
            threshold=threshold,
            origin=origin,
            output_names=output_names,
            spatial_dims=spatial_dims,
            straight_through=straight_through,
        )
        require_one_of("fit", fit, FITS)
        require_one_of("interpolation", interpolation, INTERPOLATIONS)
        require_one_of("half_pixel", half_pixel, HALF_PIXELS)
        size = (size, size) if isinstance(size, int) else size
        if size is not None and not 1 <= min(size) <= max(size) <= MOST_PIXELS:
            raise InputError(f"size must be 1 or more pixels and at most {MOST_PIXELS}, not {size}")
        if not LEAST_CROP <= crop_pct <= 1 / LEAST_CROP:
            raise InputError(
                f"crop_pct must be {LEAST_CROP} or more, and 1 for whole images; not {crop_pct}"
            )
        if fit == "pad" and crop_pct < 1:
            raise InputError("crop_pct has no meaning with fit = 'pad'; remove one of them")
        if head == "multilabel" and finding is None:
            raise InputError("a multilabel head needs the finding: name the output to audit")
        self.size = size
        self.interpolation = interpolation
        self.fit = fit
        self.crop_pct = crop_pct
        self.half_pixel = half_pixel
        self.finding = finding

    def from_outputs(self, out: Tensor) -> Tensor:
        """Logits `(n, k)` of outputs `(n, outputs)`, shifted by the threshold of two classes."""
        logits = self.to_logits(out)
        if self.threshold != 0.5 and logits.shape[1] == 2:
            logits = torch.stack([logits[:, 0], logits[:, 1] - odds(self.threshold)], 1)
        return logits

    def outputs(self, x: Tensor) -> Tensor:
        """The network's own outputs `(n, outputs)`, before the head is interpreted; InputError."""
        return self.network_outputs(self.network_input(x))

    def network_input(self, x: Tensor) -> Tensor:
        """What the network itself is given: channels, size and normalisation as it wants them."""
        self._require_dimensions(x)
        x = self._channels(x)
        if self.size is not None and (tuple(x.shape[2:]) != self.size or self.crop_pct != 1):
            if x.ndim != 4:
                raise InputError(
                    "size, fit and crop_pct are for images, and the cases are volumes, which the "
                    "network is given as they are; remove them"
                )
            x = self._resize(x, self.size)
        return self._normalised(x)

    def recognise(self, outputs: Tensor) -> str:
        """The head that `auto` stands for, from outputs `(n, outputs)` on real images."""
        return recognise_head(outputs, finding=self.finding)

    def to_logits(self, out: Tensor) -> Tensor:
        """Interpret the network's outputs `(n, outputs)` as logits `(n, k)`, k >= 2."""
        if out.dtype in (torch.float16, torch.bfloat16):
            out = out.float()
        if self.head == "auto":
            raise InputError("the head is still auto: call settle_head(classifier, x) first")
        if self.finding is not None and not -out.shape[1] <= self.finding < out.shape[1]:
            raise InputError(
                f"finding {self.finding} is out of range: the head has {out.shape[1]} outputs"
            )
        if self.head == "multilabel":
            assert self.finding is not None  # __init__ checks
            z = out[:, self.finding]
            return torch.stack([torch.zeros_like(z), z], 1)
        if self.head == "sigmoid":
            if out.shape[1] != 1:
                raise InputError(f"a sigmoid head has 1 output, this one has {out.shape[1]}")
            return torch.cat([torch.zeros_like(out), out], 1)
        if self.head == "probabilities":
            if self.finding is not None:
                out = out[:, [self.finding]]
            p = torch.cat([1 - out, out], 1) if out.shape[1] == 1 else out
            return self._ordered(p.clamp_min(torch.finfo(p.dtype).tiny).log())
        if out.shape[1] < 2:
            raise InputError(
                "a softmax head needs 2 outputs or more; this one has 1, so use sigmoid"
            )
        return self._ordered(out)

    def describe(self) -> dict[str, Any]:
        """Preprocessing and head as plain values, for the report."""
        return {
            "head": self.head,
            "finding_output": self.finding,
            "threshold": self.threshold,
            "channels": self.channels,
            "size": list(self.size) if self.size else None,
            "interpolation": self.interpolation,
            "fit": self.fit,
            "crop_pct": round(self.crop_pct, 6),
            "output_key": self.output_key,
            "half_pixel": self.half_pixel,
            "class_order": None if self.class_order is None else list(self.class_order),
            "mean": [round(float(v), 6) for v in self.mean.flatten()],
            "std": [round(float(v), 6) for v in self.std.flatten()],
            **self._of_bags(),
            **self._replaced(),
        }

    def _of_bags(self) -> dict[str, Any]:
        """How bags are read, for `describe`; empty for a network of images."""
        network = self.network
        if not isinstance(network, BagNetwork):
            return {}
        instance = network.instance
        of_one = {"instance": instance.describe()} if isinstance(instance, Classifier) else {}
        return {"bag": {**network.describe(), **of_one}}

    def preprocessing(self) -> dict[str, Any]:
        """What is done to images before the network, as arguments of a classifier."""
        return {
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "size": self.size,
            "interpolation": self.interpolation,
            "fit": self.fit,
            "crop_pct": self.crop_pct,
            "channels": self.channels,
            "finding": self.finding,
        }

    def _checked(self, out: object, given: Tensor) -> Tensor:
        return checked_logits(out, given, self.output_key)

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = x.shape[2:]
        if self.fit == "pad":
            scale = min(size[0] / height, size[1] / width)
            inside = (max(1, round(height * scale)), max(1, round(width * scale)))
            return self._centred(self._interpolate(x, inside), size)
        inner = (resized_side(size[0], self.crop_pct), resized_side(size[1], self.crop_pct))
        if self.fit == "crop":
            # As torchvision rounds the longer side: down.
            if inner[0] * width >= inner[1] * height:
                inner = (inner[0], max(inner[1], int(inner[0] * width / height)))
            else:
                inner = (max(inner[0], int(inner[1] * height / width)), inner[1])
        return self._centred(self._interpolate(x, inner), size)

    def _centred(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The centre of images, with black around it where they are smaller."""
        down, right = size[0] - x.shape[2], size[1] - x.shape[3]
        if down > 0 or right > 0:
            down, right = max(0, down), max(0, right)
            x = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        borders = (x.shape[2] - size[0], x.shape[3] - size[1])
        if self.half_pixel == "even":
            top, left = (round(border / 2) for border in borders)
        else:
            top, left = (border // 2 for border in borders)
        return x[:, :, top : top + size[0], left : left + size[1]]

    def _interpolate(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(x.shape[2:]) == size:
            return x
        if self.interpolation == "nearest":
            return F.interpolate(x, size, mode="nearest")
        x = F.interpolate(x, size, mode=self.interpolation, antialias=True, align_corners=False)
        # Bicubic weights leave [0, 1] at edges, where image libraries clip.
        return x.clamp(0, 1) if self.interpolation == "bicubic" else x


def in_bags(
    instance: Classifier,
    pooling: str | nn.Module,
    tile: int | Tile,
    *,
    threshold: float = 0.5,
    straight_through: Sequence[str] = (),
) -> Classifier:
    """A classifier of bags of instances, each of which is shown to `instance`; InputError.

    `pooling` is mean or max, or a module: `robust.models.networks.bags` says of what. What the
    classifier of instances says at its threshold of 0.5 is pooled; `threshold` is that of bags.
    """
    if instance.head == "auto":
        raise InputError(
            "a model of bags needs to know how its network's outputs are read: head = 'softmax', "
            "or another, in [model]"
        )
    if instance.origin.is_black_box or instance.origin.answers == "labels":
        raise InputError("bag is for networks, and the model is a black box; remove bag")
    if isinstance(instance.network, BagNetwork):
        raise InputError("the model reads bags already; remove bag")
    network = BagNetwork(instance, pooling, tile)
    said = network.describe()
    exclusive = instance.head in ("softmax", "probabilities") and instance.finding is None
    return Classifier(
        network,
        head="softmax",
        threshold=threshold,
        origin=ModelOrigin(
            f"{said['pooling']} pooling of instances of {'x'.join(map(str, said['tile']))} "
            f"pixels, {instance.origin.format}",
            differentiable=instance.origin.differentiable,
            notes=instance.origin.notes,
        ),
        output_names=instance.output_names if exclusive else None,
        spatial_dims=2,
        straight_through=[f"instance.network.{n}" if "." in n else n for n in straight_through],
    )


def resized_side(size: int, crop_pct: float) -> int:
    """Pixels of a side before the centre crop, as timm rounds them: down."""
    return max(1, math.floor(size / crop_pct + 1e-6))


def recognise_head(outputs: Tensor, head: str = "auto", finding: int | None = None) -> str:
    """The head that `auto` stands for, from outputs `(n, outputs)` on real images.

    One output, or one finding among several, is a logit unless all outputs lie in [0, 1]; several
    without a finding are probabilities where no entry is negative and all rows add up to 1, up to
    rounding and to classes that are left out. Raises InputError where too few outputs decide
    nothing.
    """
    if head != "auto":
        return head
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    if outputs.shape[1] == 1 or finding is not None:
        logits = "sigmoid" if finding is None else "multilabel"
        # A handful of logits may fall into [0, 1] by chance; many do not.
        if inside and len(outputs) < 4:
            count = "one output" if finding is None else f"{outputs.shape[1]} outputs"
            each = "a probability or a logit" if finding is None else "probabilities or logits"
            raise InputError(
                f"the network has {count}; {len(outputs)} images do not show whether it gives "
                f"{each}: set head to probabilities or {logits}"
            )
        return "probabilities" if inside else logits
    return "probabilities" if inside and _adds_up(outputs) else "softmax"


def _adds_up(outputs: Tensor) -> bool:
    """Whether rows of outputs in [0, 1] are probabilities of one class each."""
    rest = outputs.double().sum(1) - 1
    if bool((rest.abs() <= 1e-3).all()):
        return True
    if len(outputs) < 4:  # by chance a handful of rows looks like anything
        return False
    for digits in (1, 2, 3):  # each is rounded on its own
        rounded = bool(((outputs - outputs.round(decimals=digits)).abs() < 1e-6).all())
        if rounded and bool((rest.abs() <= outputs.shape[1] / 2 * 10.0**-digits + 1e-6).all()):
            return True
    given = (outputs > 0).sum(1)  # a service that gives the best classes alone
    same = bool((given == given[0]).all()) and 0 < int(given[0]) < outputs.shape[1]
    return same and bool((rest <= 1e-3).all())
