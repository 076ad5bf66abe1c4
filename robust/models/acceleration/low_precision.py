"""A copy of a network that computes in bfloat16, for the search of an attack."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.Linear)


def low_precision_copy(
    fast: Callable[[Tensor], Tensor], x: Tensor
) -> Callable[[Tensor], Tensor] | None:
    """A copy at bfloat16, or None where that fails on `x (n, c, h, w)`.

    The image keeps 16 binary digits (bfloat16 has 8, which would round small changes of it away),
    and the last layer computes at float32. A network whose own code makes float32 values on the way
    runs under autocast.
    """
    for make in (_at_bfloat16, _under_autocast):
        try:
            low = make(copy.deepcopy(fast), x)
            with torch.no_grad():
                logits = low(x)
            if bool(torch.isfinite(logits).all()):
                return low
        except Exception:  # noqa: BLE001  (any foreign network may refuse in any way)
            continue
    return None


def layers_of(model: nn.Module, x: Tensor) -> dict[nn.Module, int]:
    """Convolutions and linear layers in the order in which they run, and how much each returns."""
    values: dict[nn.Module, int] = {}

    def after(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor):
            values[module] = values.get(module, 0) + out.numel()

    handles = [
        module.register_forward_hook(after)
        for module in model.modules()
        if isinstance(module, LAYERS)
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return values


def _at_bfloat16(fast: Any, x: Tensor) -> Callable[[Tensor], Tensor]:
    """All weights but those of the last layer at bfloat16, and so all that lies before it."""
    layers = list(layers_of(fast, x[:2]))
    first, last = layers[0], layers[-1]
    for module in fast.classifier.network.modules():
        if module is last or isinstance(module, nn.modules.batchnorm._BatchNorm):
            continue
        for name, value in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(value.to(torch.bfloat16), requires_grad=False))
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_floating_point():
                setattr(module, name, buffer.to(torch.bfloat16))
    if first is not last:
        _read_in_two_parts(first)
    _run_at_float32(last)
    return _ToFloat32(fast)


def _under_autocast(fast: Any, x: Tensor) -> Callable[[Tensor], Tensor]:
    layers = list(layers_of(fast, x[:2]))
    for layer in layers[1:-1]:
        layer.to(torch.bfloat16)
    for layer in {id(one): one for one in (layers[0], layers[-1])}.values():
        _run_at_float32(layer)
    return _ToFloat32(_Autocast(fast, x.device.type))


class _Autocast(nn.Module):
    """A network with weights at bfloat16, run under autocast."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network = network
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16):
            out: Tensor = self.network(x)
        return out


class _ToFloat32(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x).float()
        return out


def _read_in_two_parts(layer: Any) -> None:
    """Let a layer read its input as a sum of two numbers at bfloat16, in place.

    Their sum has 16 digits. The sum is made in the layer, on twice as many channels and at the
    precision at which it adds up, so that this costs little; float32 costs a tenth of a ResNet-50.
    """
    weight: Tensor = layer.weight
    one_group = isinstance(layer, nn.Linear) or getattr(layer, "groups", 0) == 1
    if not one_group or weight.ndim not in (2, 4):
        layer.float()
        _run_at_float32(layer, torch.bfloat16)
        return
    layer.weight = nn.Parameter(torch.cat([weight, weight], 1), requires_grad=False)
    if weight.ndim == 4:
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    inner, channels = layer.forward, 1 if weight.ndim == 4 else -1

    def forward(x: Tensor) -> Tensor:
        upper = x.to(torch.bfloat16)
        lower = (x.detach() - upper.detach().to(x.dtype)).to(torch.bfloat16)
        out: Tensor = inner(torch.cat([upper, lower], channels))
        return out

    layer.forward = forward  # type: ignore[method-assign]


def _run_at_float32(layer: nn.Module, result: torch.dtype = torch.float32) -> None:
    """Let a layer compute in float32 and return a `result`, in place, under autocast as well."""
    inner = layer.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = inner(x.float())
        return out.to(result)

    layer.forward = forward  # type: ignore[method-assign]
