"""Faster copies of a classifier for the attack search: folded, channels last, perhaps bfloat16.

What the search finds is confirmed by the classifier itself at float32.
"""

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

MIN_OPERATIONS = 5e7
"""Floating-point operations of a forward pass of one image below which nothing is gained."""
MIN_GAIN, MIN_BFLOAT16_GAIN = 1.05, 1.25
"""How much faster a copy must be to be used; after bfloat16 the cases that resist run again."""
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Acceleration:
    """How attacks run the network: measured once at the start of a run, and stored with it."""

    folded: int = 0
    """Normalisations folded into the layer before."""
    channels_last: bool = False
    bfloat16: bool = False
    """Search in bfloat16 with first and last layer in float32; cases that resist run at float32."""
    gain: float = 1.0
    """Measured: time of the original network over that of this one, forward and backward."""

    def to_json(self) -> dict[str, Any]:
        """The fields as a mapping."""
        return asdict(self)


@dataclass(frozen=True)
class FastModels:
    """The networks that attacks run on; each maps `(n, c, h, w)` to logits `(n, k)`."""

    float32: Callable[[Tensor], Tensor]
    low_precision: Callable[[Tensor], Tensor] | None
    """In bfloat16, or None where that is not faster."""
    acceleration: Acceleration


def make_fast_models(
    classifier: Classifier, x: Tensor, precision: str = "auto", stored: Acceleration | None = None
) -> FastModels:
    """Faster copies of a prepared classifier, chosen by measuring on `x (n, c, h, w)`.

    `stored` is an earlier choice, which is applied again without measuring. A copy whose logits on
    `x` are not those of the classifier, up to rounding, is not used. Models at float64, models that
    cannot be copied and models too small to gain run as they are.
    """
    plain = FastModels(classifier, None, Acceleration())
    if stored is not None and not (stored.channels_last or stored.bfloat16):
        return plain
    if stored is None and (x.dtype != torch.float32 or _operations(classifier, x) < MIN_OPERATIONS):
        return plain
    copied = float32_copy(classifier, x)
    if copied is None:
        return plain
    fast, folded = copied
    low = low_precision_copy(fast, x) if precision != "float32" else None
    if stored is not None:
        return FastModels(fast, low if stored.bfloat16 else None, stored)
    models: dict[str, Callable[[Tensor], Tensor]] = {"original": classifier, "float32": fast}
    if low is not None:
        models["bfloat16"] = low
    seconds = measure_passes(models, x)
    gain, low_gain = (
        seconds["original"] / seconds.get(name, float("inf")) for name in ("float32", "bfloat16")
    )
    if low is not None and (
        precision == "bfloat16" or low_gain > max(gain, 1.0) * MIN_BFLOAT16_GAIN
    ):
        return FastModels(fast, low, Acceleration(folded, True, True, round(low_gain, 2)))
    if gain > MIN_GAIN:
        return FastModels(fast, None, Acceleration(folded, True, False, round(gain, 2)))
    return plain


def float32_copy(
    classifier: Classifier, x: Tensor
) -> tuple[Callable[[Tensor], Tensor], int] | None:
    """A copy with folded normalisations and channels last, and how many were folded.

    Without folding where that changes the logits on `x (n, c, h, w)`; None where no copy has the
    same logits.
    """
    with torch.no_grad():
        expected = classifier(x)
    for folding in (True, False):
        try:
            inner = copy.deepcopy(classifier)
            folded = fold(inner.network, inner, x[:2]) if folding else 0
            fast = _ChannelsLast(inner.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
            with torch.no_grad():
                logits = fast(x)
        except Exception:  # noqa: BLE001  (any foreign network may refuse in any way)
            continue
        scale = float(expected.abs().amax().clamp_min(1))
        if bool(((logits - expected).abs() <= 1e-4 * scale).all()):
            return fast, folded
    return None


class _ChannelsLast(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(x.contiguous(memory_format=torch.channels_last))
        return out


class _Autocast(nn.Module):
    """A network with weights at bfloat16, run under autocast."""

    def __init__(self, network: nn.Module, device: str) -> None:
        super().__init__()
        self.network = network
        self.device = device

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(self.device, torch.bfloat16):
            out: Tensor = self.network(x)
        return out.float()


def low_precision_copy(
    fast: Callable[[Tensor], Tensor], x: Tensor
) -> Callable[[Tensor], Tensor] | None:
    """A copy at bfloat16 but for the first and the last layer, or None where that fails on `x`.

    At bfloat16 the first layer would round small changes of the image away.
    """
    try:
        assert isinstance(fast, nn.Module)
        network = copy.deepcopy(fast)
        layers = _layers(network, x[:2])
        for layer in layers[1:-1]:
            layer.to(torch.bfloat16)
        for layer in {id(one): one for one in (layers[0], layers[-1])}.values():
            _run_at_float32(layer)
        low = _Autocast(network, x.device.type)
        with torch.no_grad():
            logits = low(x)
        return low if bool(torch.isfinite(logits).all()) else None
    except Exception:  # noqa: BLE001  (any foreign network may refuse in any way)
        return None


def _layers(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Convolutions and linear layers in the order in which they run."""
    logits: dict[int, nn.Module] = {}
    handles = [
        module.register_forward_hook(lambda m, args, out: logits.setdefault(id(m), m) and None)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(logits.values())


def _run_at_float32(layer: nn.Module) -> None:
    """Switch autocast off inside a layer, in place."""
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


def measure_passes(models: dict[str, Callable[[Tensor], Tensor]], x: Tensor) -> dict[str, float]:
    """Seconds of a forward and a backward pass on `x (n, c, h, w)`, by name.

    The least of three, measured in turn after one pass to warm up.
    """
    best: dict[str, float] = {}
    for number in range(4):
        for name, model in models.items():
            began = time.perf_counter()
            one = x.detach().requires_grad_(True)
            torch.autograd.grad(model(one).sum(), one)
            if x.is_cuda:
                torch.cuda.synchronize(x.device)
            if number:
                best[name] = min(best.get(name, float("inf")), time.perf_counter() - began)
    return best
