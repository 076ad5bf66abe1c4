"""A quick twin of a classifier, to find adversarial images with; the classifier itself confirms."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robust.models.acceleration.batchnorm_folding import fold
from robust.models.classifier import Classifier

SMALL = 5e7
"""Floating-point operations of a forward pass of one image below which nothing is gained."""
GAIN, LOW_GAIN = 1.05, 1.25
"""How much faster a twin must be to be used; in low precision survivors run a second time."""
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Acceleration:
    """How attacks run the network: measured at the start of a run, and kept with it."""

    folded: int = 0
    """Normalisations folded into the layer before."""
    channels_last: bool = False
    bfloat16: bool = False
    """First in bfloat16, first and last layer in float32; what survives runs again at float32."""
    gain: float = 1.0
    """Measured: time of the plain network over that of this one, forward and backward."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Twins:
    """What attacks run on."""

    float32: Callable[[Tensor], Tensor]
    low: Callable[[Tensor], Tensor] | None
    """In bfloat16, or None where that is not faster."""
    speed: Acceleration


def make_twins(
    classifier: Classifier, x: Tensor, precision: str = "auto", known: Acceleration | None = None
) -> Twins:
    """Twins of a prepared classifier, chosen by measuring on `x (n, c, h, w)`, or as `known` says.

    A twin whose logits on `x` are not those of the classifier, up to rounding, is not used. Models
    at float64, and those that cannot be copied or are too small to gain, run as they are.
    """
    plain = Twins(classifier, None, Acceleration())
    if known is not None and not (known.channels_last or known.bfloat16):
        return plain
    if known is None and (x.dtype != torch.float32 or _operations(classifier, x) < SMALL):
        return plain
    twin = _float32(classifier, x)
    if twin is None:
        return plain
    quick, folded = twin
    low = _low(quick, x) if precision != "float32" else None
    if known is not None:
        return Twins(quick, low if known.bfloat16 else None, known)
    ways: dict[str, Callable[[Tensor], Tensor]] = {"plain": classifier, "quick": quick}
    if low is not None:
        ways["low"] = low
    seconds = _measure(ways, x)
    gain, low_gain = (seconds["plain"] / seconds.get(k, float("inf")) for k in ("quick", "low"))
    if low is not None and (precision == "bfloat16" or low_gain > max(gain, 1.0) * LOW_GAIN):
        return Twins(quick, low, Acceleration(folded, True, True, round(low_gain, 2)))
    if gain > GAIN:
        return Twins(quick, None, Acceleration(folded, True, False, round(gain, 2)))
    return plain


def _float32(classifier: Classifier, x: Tensor) -> tuple[Callable[[Tensor], Tensor], int] | None:
    """Folded and with channels last, and how many were folded; without folding where that errs."""
    with torch.no_grad():
        wanted = classifier(x)
    for folding in (True, False):
        try:
            twin = copy.deepcopy(classifier)
            folded = fold(twin.network, twin, x[:2]) if folding else 0
            quick = _ChannelsLast(twin.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
            with torch.no_grad():
                found = quick(x)
        except Exception:  # noqa: BLE001  (any foreign network may refuse in any way)
            continue
        scale = float(wanted.abs().amax().clamp_min(1))
        if bool(((found - wanted).abs() <= 1e-4 * scale).all()):
            return quick, folded
    return None


class _ChannelsLast(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(x.contiguous(memory_format=torch.channels_last))
        return out


class _Low(nn.Module):
    """Under autocast, its weights at bfloat16 once and for all."""

    def __init__(self, quick: nn.Module, device: str) -> None:
        super().__init__()
        self.quick = quick
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16):
            out: Tensor = self.quick(x)
        return out.float()


def _low(quick: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor] | None:
    """At bfloat16 but for the first layer, which would swallow small changes, and the last."""
    try:
        assert isinstance(quick, nn.Module)
        twin = copy.deepcopy(quick)
        layers = _layers(twin, x[:2])
        for layer in layers[1:-1]:
            layer.to(torch.bfloat16)
        for layer in {id(one): one for one in (layers[0], layers[-1])}.values():
            _keep_float32(layer)
        low = _Low(twin, x.device.type)
        with torch.no_grad():
            found = low(x)
        return low if bool(torch.isfinite(found).all()) else None
    except Exception:  # noqa: BLE001  (any foreign network may refuse in any way)
        return None


def _layers(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Convolutions and linear layers in the order in which they run."""
    found: dict[int, nn.Module] = {}
    handles = [
        module.register_forward_hook(lambda m, args, out: found.setdefault(id(m), m) and None)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(found.values())


def _keep_float32(layer: nn.Module) -> None:
    inner = layer.forward

    def forward(x: Tensor) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return inner(x.float())

    layer.forward = forward  # type: ignore[method-assign]


def _operations(classifier: Classifier, x: Tensor) -> float:
    """Of one forward pass of one image; the same on every machine, unlike a measurement."""
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            classifier(x[:1])
        return float(counter.get_total_flops())
    except Exception:  # noqa: BLE001  (a compiled program may hide what it does)
        return 0.0


def _measure(ways: dict[str, Callable[[Tensor], Tensor]], x: Tensor) -> dict[str, float]:
    """Seconds of a forward and a backward pass, the least of three in turn after one to warm up."""
    best: dict[str, float] = {}
    for number in range(4):
        for name, model in ways.items():
            began = time.perf_counter()
            one = x.detach().requires_grad_(True)
            torch.autograd.grad(model(one).sum(), one)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            if number:
                best[name] = min(best.get(name, float("inf")), time.perf_counter() - began)
    return best
