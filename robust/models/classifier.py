"""`Classifier`: adapter from displayed pixels to logits (channels, resizing, normalising, head)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, first_line, type_and_line
from robust.models.acceleration.memory import OutOfMemory, memory_ran_out
from robust.models.formats.contract import ModelOrigin

HEADS = ("auto", "softmax", "sigmoid", "multilabel", "probabilities")
FITS = ("squash", "crop", "pad")
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R 601)."""
MOST_MEAN, MOST_STD = 2.0, 10.0
"""Of pixels in [0, 1]; grey levels of 255 have larger ones."""
MOST_PIXELS = 8192
"""Of a side of a network's input."""


class Classifier(nn.Module):
    """Displayed pixels `(n, c, h, w)` in [0, 1], c = 1 or 3, to logits `(n, k)`, k >= 2.

    In this order: grey to RGB or back, resize, normalise, the network, its head. Every step is
    differentiable, so that an attack works on what a reader sees.

    Heads: `softmax` logits; one `sigmoid` logit z, read as (0, z); `multilabel`, where the logit of
    `finding` is read like a sigmoid; `probabilities`, read as their logarithms (they saturate:
    attacks on logits are stronger). `auto` leaves the choice to `recognise_head`.
    """

    mean: Tensor
    std: Tensor
    grey: Tensor

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
        head: str = "auto",
        finding: int | None = None,
        threshold: float = 0.5,
        origin: ModelOrigin | None = None,
    ) -> None:
        """Set `channels` of the network (None: as in the image) and `size` (h, w) in pixels.

        `fit` treats images of another shape than the network's: `squash` them, `crop` the centre,
        `pad` with black. With two classes the second is predicted where its
        probability exceeds `threshold`; the shift is part of the logits, so that attacks aim at the
        decision that is made. Raises InputError for values out of range.
        """
        super().__init__()
        _require_choice("head", head, HEADS)
        _require_choice("fit", fit, FITS)
        _require_choice("interpolation", interpolation, INTERPOLATIONS)
        if channels not in (None, 1, 3):
            raise InputError(f"channels must be 1 or 3, not {channels}")
        size = (size, size) if isinstance(size, int) else size
        if size is not None and not 1 <= min(size) <= max(size) <= MOST_PIXELS:
            raise InputError(f"size must be 1 or more pixels and at most {MOST_PIXELS}, not {size}")
        if not 0 < threshold < 1:
            raise InputError(f"threshold must be between 0 and 1, not {threshold}")
        if head == "multilabel" and finding is None:
            raise InputError("a multilabel head needs the finding: name the output to audit")
        self.network = network
        self.channels = channels
        self.size = size
        self.interpolation = interpolation
        self.fit = fit
        self.head = head
        self.finding = finding
        self.threshold = threshold
        self.origin = origin or ModelOrigin("module")
        self.register_buffer("mean", _per_channel("mean", mean), persistent=False)
        self.register_buffer("std", _per_channel("std", std), persistent=False)
        self.register_buffer("grey", _per_channel("grey", GREY), persistent=False)
        if (self.std <= 0).any():
            raise InputError("std must be above 0 in every channel")
        _require_displayed(self.mean, self.std)
        if channels == 1 and max(self.mean.shape[1], self.std.shape[1]) == 3:
            raise InputError(
                "mean and std have three values, the network has 1 channel; give one value"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, k)`, shifted by the threshold where there are two classes."""
        logits = self.to_logits(self.outputs(x))
        if self.threshold != 0.5 and logits.shape[1] == 2:
            odds = math.log(self.threshold / (1 - self.threshold))
            logits = torch.stack([logits[:, 0], logits[:, 1] - odds], 1)
        return logits

    def outputs(self, x: Tensor) -> Tensor:
        """The network's own outputs `(n, outputs)`, before the head is interpreted; InputError."""
        x = self._channels(x)
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            x = self._resize(x, self.size)
        try:
            out = self.network((x - self.mean.to(x.dtype)) / self.std.to(x.dtype))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if memory_ran_out(error):
                raise OutOfMemory(len(x)) from error
            raise InputError(
                f"the network fails on images of shape {tuple(x.shape[1:])}: {_reason(error)}"
            ) from error
        return _checked(out, x)

    def to_logits(self, out: Tensor) -> Tensor:
        """Interpret the network's outputs `(n, outputs)` as logits `(n, k)`, k >= 2."""
        if out.dtype in (torch.float16, torch.bfloat16):
            out = out.float()
        if self.head == "auto":
            raise InputError("the head is still auto: call settle_head(classifier, x) first")
        if self.head == "multilabel":
            assert self.finding is not None  # __init__ checks
            if not -out.shape[1] <= self.finding < out.shape[1]:
                raise InputError(
                    f"finding {self.finding} is out of range: the head has {out.shape[1]} outputs"
                )
            z = out[:, self.finding]
            return torch.stack([torch.zeros_like(z), z], 1)
        if self.head == "sigmoid":
            if out.shape[1] != 1:
                raise InputError(f"a sigmoid head has 1 output, this one has {out.shape[1]}")
            return torch.cat([torch.zeros_like(out), out], 1)
        if self.head == "probabilities":
            p = torch.cat([1 - out, out], 1) if out.shape[1] == 1 else out
            return p.clamp_min(torch.finfo(p.dtype).tiny).log()
        if out.shape[1] < 2:
            raise InputError(
                "a softmax head needs 2 outputs or more; this one has 1, so use sigmoid"
            )
        return out

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
            "mean": [round(float(v), 6) for v in self.mean.flatten()],
            "std": [round(float(v), 6) for v in self.std.flatten()],
        }

    def _channels(self, x: Tensor) -> Tensor:
        if self.channels == 3 and x.shape[1] == 1:
            return x.expand(-1, 3, -1, -1)
        if self.channels == 1 and x.shape[1] == 3:
            return (x * self.grey.to(x.dtype)).sum(1, keepdim=True)
        return x

    def _resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = x.shape[2:]
        if self.fit == "crop":
            scale = max(size[0] / height, size[1] / width)
            x = self._interpolate(x, (round(height * scale), round(width * scale)))
            top, left = (x.shape[2] - size[0]) // 2, (x.shape[3] - size[1]) // 2
            return x[:, :, top : top + size[0], left : left + size[1]]
        if self.fit == "pad":
            scale = min(size[0] / height, size[1] / width)
            inside = (max(1, round(height * scale)), max(1, round(width * scale)))
            x = self._interpolate(x, inside)
            down, right = size[0] - x.shape[2], size[1] - x.shape[3]
            return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return self._interpolate(x, size)

    def _interpolate(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if self.interpolation == "nearest":
            return F.interpolate(x, size, mode="nearest")
        return F.interpolate(x, size, mode=self.interpolation, antialias=True, align_corners=False)


def recognise_head(outputs: Tensor, head: str = "auto") -> str:
    """The head that `auto` stands for, from outputs `(n, outputs)` on real images.

    One output is a logit unless all lie in [0, 1]; several are probabilities where no entry is
    negative and all rows add up to 1. Raises InputError where too few outputs decide nothing.
    """
    if head != "auto":
        return head
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    if outputs.shape[1] == 1:
        # A handful of logits may fall into [0, 1] by chance; many do not.
        if inside and len(outputs) < 4:
            raise InputError(
                f"the network has one output; {len(outputs)} images do not show whether it is a "
                f"probability or a logit: set head to probabilities or sigmoid"
            )
        return "probabilities" if inside else "sigmoid"
    rows = outputs.sum(1)
    adds_up = bool(torch.allclose(rows, torch.ones_like(rows), atol=1e-3))
    return "probabilities" if inside and adds_up else "softmax"


@torch.no_grad()
def settle_head(classifier: Classifier, x: Tensor) -> None:
    """Replace head `auto` by what the outputs on `x (n, c, h, w)` show it to be."""
    if classifier.head == "auto":
        classifier.head = recognise_head(classifier.outputs(x))


_OF_SHAPE = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises on images of another shape than its own."""


def _reason(error: BaseException) -> str:
    """Why a network failed, and what to do."""
    if type(error) in _OF_SHAPE:
        remedy = "set its channels and size to what it was trained on"
        return f"{first_line(error)}; {remedy}"
    return f"{type_and_line(error)}; its own code raises this: mend it there"


def _checked(out: object, x: Tensor) -> Tensor:
    """The outputs `(n, outputs)` of a network on `x`; InputError for anything else."""
    if not isinstance(out, Tensor):
        raise InputError(
            f"the network returns a {type(out).__name__}, not a tensor of outputs; wrap it in "
            f"a module that returns the logits alone"
        )
    if not out.is_floating_point() or out.layout is not torch.strided:
        kind = str(out.dtype).removeprefix("torch.")
        kind = kind if out.layout is torch.strided else str(out.layout)
        raise InputError(
            f"the network returns {kind} values; wrap it in a module that returns the logits as "
            f"plain float32"
        )
    if out.ndim == 1:
        out = out[:, None]
    if out.ndim != 2 or not out.shape[1]:
        raise InputError(
            f"the network returns a tensor of shape {tuple(out.shape)}; (n, outputs) is needed"
        )
    if len(out) != len(x):
        raise InputError(
            f"the network returns {len(out)} rows for {len(x)} images; it must give one row for "
            f"each image of a batch"
        )
    if out.device != x.device:
        raise InputError(
            f"the network returns a tensor on {out.device}, its images are on {x.device}; let it "
            f"stay on the device of its input"
        )
    return out


def _require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"unknown {name} {value!r}; {did_you_mean(value, choices)}")


def _require_displayed(mean: Tensor, std: Tensor) -> None:
    """InputError for a mean or std in grey levels, which shows every image as nearly one colour."""
    for name, values, most in (("mean", mean, MOST_MEAN), ("std", std, MOST_STD)):
        if float(values.abs().max()) > most:
            shown = ",".join(f"{value:g}" for value in values.flatten().tolist())
            in_range = ",".join(f"{value / 255:.4g}" for value in values.flatten().tolist())
            raise InputError(
                f"{name} = {shown} is in grey levels, but pixels here are in [0, 1]: divide mean "
                f"and std by the largest level, for 8 bits {name} = {in_range}"
            )


def _per_channel(name: str, value: float | Sequence[float]) -> Tensor:
    values = [float(value)] if isinstance(value, int | float) else [float(v) for v in value]
    if len(values) not in (1, 3) or not all(math.isfinite(v) for v in values):
        raise InputError(f"{name} must be one number or three, one for each channel; got {value}")
    return torch.tensor(values).view(1, -1, 1, 1)
