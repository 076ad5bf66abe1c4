"""`Adapter`: what a classifier and a segmenter share: from pixels to the input of a network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import BlackBoxFailure, InputError, did_you_mean
from robust.models.acceleration.memory import OutOfMemory, memory_ran_out
from robust.models.formats.contract import ModelOrigin
from robust.models.forward import dimensions_of, failure_reason
from robust.models.gradients.straight_through import (
    ReplacedModuleError,
    checked_names,
    passing_gradients,
)

HEADS = ("auto", "softmax", "sigmoid", "multilabel", "probabilities")
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R 601)."""
MOST_MEAN, MOST_STD = 2.0, 10.0
"""Of pixels in [0, 1]; grey levels of 255 have larger ones."""
MOST_PIXELS = 8192
"""Of a side of a network's input."""


class Adapter(nn.Module, ABC):
    """Displayed pixels `(n, c, *space)` in [0, 1], c = 1 or 3, to logits `(n, k)` or dense ones.

    `space` is `(h, w)`, or `(d, h, w)` of a volume. Every step is differentiable, so that an attack
    works on what a reader sees.
    """

    mean: Tensor
    std: Tensor
    grey: Tensor
    size: tuple[int, ...] | None

    def __init__(
        self,
        network: nn.Module,
        *,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        channels: int | None,
        head: str,
        output_key: str | int | None,
        threshold: float,
        origin: ModelOrigin | None,
        output_names: Sequence[str] | None,
        spatial_dims: int | None,
        straight_through: Sequence[str],
    ) -> None:
        """Keep and check what both kinds have; `spatial_dims` None is read from the network.

        Raises InputError for values out of range.
        """
        super().__init__()
        require_one_of("head", head, HEADS)
        if channels not in (None, 1, 3):
            raise InputError(f"channels must be 1 or 3, not {channels}")
        if not 0 < threshold < 1:
            raise InputError(f"threshold must be between 0 and 1, not {threshold}")
        if spatial_dims not in (None, 2, 3):
            raise InputError(f"spatial_dims must be 2 (images) or 3 (volumes), not {spatial_dims}")
        self.network = network
        self.channels = channels
        self.head = head
        self.output_key = output_key
        self.threshold = threshold
        self.origin = origin or ModelOrigin("module")
        self.output_names = None if output_names is None else tuple(output_names)
        self.tiled = False
        """Whether the network is shown windows of an image, one after the other."""
        self.straight_through = checked_names(
            network, straight_through, differentiable=self.origin.differentiable
        )
        """Functions and modules whose backward pass is the identity."""
        self.class_order: tuple[int, ...] | None = None
        self.spatial_dims = dimensions_of(network) if spatial_dims is None else spatial_dims
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
        """Logits at the operating threshold: `(n, k)` of a classifier, else `(n, k, *space)`."""
        return self.from_outputs(self.outputs(x))

    @abstractmethod
    def outputs(self, x: Tensor) -> Tensor:
        """The network's own outputs, before the head is interpreted; InputError."""

    @abstractmethod
    def from_outputs(self, out: Tensor) -> Tensor:
        """Logits at the threshold, of the network's own outputs."""

    @abstractmethod
    def network_input(self, x: Tensor) -> Tensor:
        """What the network itself is given: channels, size and normalisation as it wants them."""

    @abstractmethod
    def recognise(self, outputs: Tensor) -> str:
        """The head that `auto` stands for, from outputs on real images; InputError."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Preprocessing and head as plain values, for the report."""

    @abstractmethod
    def preprocessing(self) -> dict[str, Any]:
        """What is done to images before the network, as arguments of an adapter of its kind."""

    def network_outputs(self, given: Tensor) -> Tensor:
        """The outputs, checked, on an input that the network itself is given; InputError."""
        passing = bool(self.straight_through) and torch.is_grad_enabled() and given.requires_grad
        try:
            if passing:
                with passing_gradients(self.network, self.straight_through):
                    out = self.network(given)
            else:
                out = self.network(given)
        except (KeyboardInterrupt, BlackBoxFailure, ReplacedModuleError):
            raise
        except BaseException as error:
            if memory_ran_out(error):
                raise OutOfMemory(len(given)) from error
            raise InputError(
                f"the network fails on images of shape {tuple(given.shape[1:])}: "
                f"{failure_reason(error, self.network, given)}"
            ) from error
        return self._checked(out, given)

    @abstractmethod
    def _checked(self, out: object, given: Tensor) -> Tensor:
        """The outputs in what the network returns on `given`; InputError for anything else."""

    def _require_dimensions(self, x: Tensor) -> None:
        """InputError for a volume where the network takes images, and the reverse."""
        if self.spatial_dims is None or x.ndim == self.spatial_dims + 2:
            return
        if self.spatial_dims == 2 and x.ndim == 5:
            raise InputError(
                "the network takes images, and the cases are volumes: read them slice by slice, "
                "volumes = 'slices' in [data], or name a network for volumes"
            )
        if self.spatial_dims == 3 and x.ndim == 4:
            raise InputError(
                "the network takes volumes, and the cases are images: name a network for images, "
                "or leave out volumes = 'slices' in [data]"
            )

    def _replaced(self) -> dict[str, Any]:
        """What gradients pass as if it were not there, for `describe`; empty where nothing is."""
        names = self.straight_through
        return {"straight_through": list(names)} if names else {}

    def _channels(self, x: Tensor) -> Tensor:
        if self.channels == 3 and x.shape[1] == 1:
            return x.expand(-1, 3, *[-1] * (x.ndim - 2))
        if self.channels == 1 and x.shape[1] == 3:
            return (x * _over(self.grey, x)).sum(1, keepdim=True)
        return x

    def _normalised(self, x: Tensor) -> Tensor:
        return (x - _over(self.mean, x)) / _over(self.std, x)

    def _ordered(self, logits: Tensor) -> Tensor:
        return logits if self.class_order is None else logits[:, list(self.class_order)]


@torch.no_grad()
def settle_head(adapter: Adapter, x: Tensor) -> None:
    """Replace head `auto` by what the outputs on `x (n, c, *space)` show it to be."""
    if adapter.head == "auto":
        adapter.head = adapter.recognise(adapter.outputs(x))


def odds(threshold: float) -> float:
    """The logit of a probability: by so much the operating threshold shifts logits."""
    return math.log(threshold / (1 - threshold))


def require_one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """InputError where a value is none of the choices."""
    if value not in choices:
        raise InputError(f"unknown {name} {value!r}; {did_you_mean(value, choices)}")


def _over(values: Tensor, x: Tensor) -> Tensor:
    """A value for each channel, `(1, c, 1, 1)`, against images or volumes."""
    return values.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))


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
