"""Faster copies of a model for the attack search: folded, in bfloat16, compiled.

A rule chooses, not a timing: the same plan runs in the same way on the same kind of processor. What
the search finds is confirmed by the model itself at float32.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from robust.models.acceleration.batchnorm_folding import fold
from robust.models.acceleration.cuda_graphs import Replayed, compiles
from robust.models.acceleration.low_precision import layers_of, low_precision_copy
from robust.models.acceleration.pointwise import prefer_onednn
from robust.models.adapter import Adapter
from robust.models.environment import cpu_info

MIN_OPERATIONS = 5e7
"""Floating-point operations of a forward pass of one image below which nothing is gained."""
MIN_INTENSITY = 200.0
"""Operations for each value that convolutions and linear layers return, below which memory and not
arithmetic takes the time, so that bfloat16 gains nothing on a CPU."""
MIN_WORK = 2e16
"""Floating-point operations of a run from which compiling on a GPU pays. It takes half a minute and
saves a third of the time: of a ResNet-50 at 224 px on an H100, after a million passes."""
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Acceleration:
    """How attacks run the network: settled at the start of a run, and stored with it.

    It follows from the network, the processor and the plan. A measurement, which differs from run
    to run, decides nothing.
    """

    folded: int = 0
    """Normalisations folded into the layer before."""
    channels_last: bool = False
    bfloat16: bool = False
    """Search in bfloat16 with first and last layer in float32; cases that resist run at float32."""
    gain: float = 1.0
    """Measured, for information: time of the original network over that of this one, forward and
    backward."""
    reason: str = ""
    """Why it was chosen."""
    compiled: bool = False
    """Whether full batches run compiled (`torch.compile`)."""

    def to_json(self) -> dict[str, Any]:
        """The fields as a mapping."""
        return asdict(self)


@dataclass(frozen=True)
class FastModels:
    """The networks that attacks run on; each maps images to logits as the adapter does."""

    float32: Callable[[Tensor], Tensor]
    low_precision: Callable[[Tensor], Tensor] | None
    """In bfloat16, or None where it is not used."""
    acceleration: Acceleration

    @property
    def measured(self) -> Callable[[Tensor], Tensor]:
        """The network at float32 on exactly the images given, to measure the memory of a pass."""
        return self.float32.network if isinstance(self.float32, Replayed) else self.float32

    def release(self) -> None:
        """Give back the memory that recorded passes keep."""
        for model in self._recorded():
            model.release()

    def fill_up_to(self, most: int | None) -> None:
        """Fill batches up to at most so many images where passes are recorded; None: no limit."""
        for model in self._recorded():
            model.most_filled = most

    def _recorded(self) -> Iterator[Replayed[Tensor]]:
        for model in (self.float32, self.low_precision):
            if isinstance(model, Replayed):
                yield model


def make_fast_models(
    classifier: Adapter,
    x: Tensor,
    precision: str = "auto",
    stored: Acceleration | None = None,
    *,
    passes: float = 0,
    rows: int = 0,
    gain: bool = True,
) -> FastModels:
    """Faster copies of a prepared adapter for images like `x (n, c, *space)`.

    `stored` is an earlier choice, which is applied again, on another machine as well. A copy whose
    logits are not those of the adapter, up to rounding, is not used. Models at float64, models
    that cannot be copied or that are shown windows, and models too small to gain run as they are.
    `passes` is how often the run will differentiate the network on an image, `rows` how many images
    a full batch has. `gain`: whether the gain in speed is measured, which a report tells and
    nothing follows from.
    """
    if not classifier.origin.differentiable:
        reason = "the network gives no gradients"
        return FastModels(classifier, None, stored or Acceleration(reason=reason))
    if classifier.tiled:
        reason = "images are shown to the network window by window"
        return FastModels(classifier, None, stored or Acceleration(reason=reason))
    if stored is not None and not (stored.channels_last or stored.bfloat16):
        return FastModels(_replayed(classifier, x), None, stored)
    probe = _probe_images(x)
    operations = _operations(classifier, probe)
    if stored is None and (x.dtype != torch.float32 or operations < MIN_OPERATIONS):
        reason = "the network is small" if x.dtype == torch.float32 else "it runs at float64"
        return FastModels(_replayed(classifier, x), None, Acceleration(reason=reason))
    copied = float32_copy(classifier, probe)
    if copied is None:
        reason = "no faster copy of the network can be made"
        return FastModels(_replayed(classifier, x), None, stored or Acceleration(reason=reason))
    fast, folded = copied
    wanted, reason = _wants_bfloat16(fast, probe, operations, precision)
    low = None
    if stored.bfloat16 if stored is not None else wanted:
        low = low_precision_copy(fast, probe)
        reason = reason if low is not None else "the network does not run in bfloat16"
    # A pass forward and one backward, to the image alone.
    # A compiler would not see that some backward passes are replaced.
    pays = x.is_cuda and not classifier.straight_through and 2 * operations * passes >= MIN_WORK
    compiled = stored.compiled if stored is not None else pays
    chosen = _replayed(low or fast, x, rows if compiled else 0)
    if compiled and not (x.is_cuda and compiles(chosen, _full_batch(x, rows))):
        compiled, chosen = False, _replayed(low or fast, x)
    if stored is None:
        shown = _full_batch(x, rows) if compiled else x
        faster = _measured_gain(classifier, chosen, shown) if gain else 1.0
        stored = Acceleration(folded, True, low is not None, faster, reason, compiled)
    if low is None:
        return FastModels(chosen, None, stored)
    return FastModels(_replayed(fast, x), chosen, stored)


def _replayed(
    model: Callable[[Tensor], Tensor], x: Tensor, compiled_rows: int = 0
) -> Callable[[Tensor], Tensor]:
    return Replayed(model, compiled_rows) if x.is_cuda else model


def _full_batch(x: Tensor, rows: int) -> Tensor:
    return x[:1].expand(rows, *x.shape[1:]).contiguous()


def _probe_images(x: Tensor) -> Tensor:
    """Two fixed images like `x (n, c, h, w)`: a choice must not depend on what is left to do."""
    draw = torch.Generator().manual_seed(0)
    return torch.rand((2, *x.shape[1:]), generator=draw, dtype=x.dtype).to(x.device)


def _wants_bfloat16(
    fast: Callable[[Tensor], Tensor], x: Tensor, operations: float, precision: str
) -> tuple[bool, str]:
    """Whether bfloat16 should be used, and why."""
    with torch.no_grad():
        if fast(x[:1]).ndim > 2:
            return False, "outlines are searched at float32"
    if precision != "auto":
        return precision == "bfloat16", f"precision = {precision} in the plan"
    if not native_bfloat16(x.device):
        return False, "the processor does not compute in bfloat16"
    if x.is_cuda:
        return True, "the GPU computes in bfloat16"
    intensity = operations / max(_values_returned(fast, x[:1]), 1)
    return intensity >= MIN_INTENSITY, (
        f"the network makes {intensity:.0f} operations for each value that its layers return, and "
        f"bfloat16 is used from {MIN_INTENSITY:.0f}"
    )


def native_bfloat16(device: torch.device) -> bool:
    """Whether a processor computes in bfloat16: a GPU from compute capability 8.0, x86 with it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool({"avx512_bf16", "amx_bf16"} & _features_of_cpu())


def _features_of_cpu() -> set[str]:
    """What Linux says of an x86 processor; nothing elsewhere."""
    return set(cpu_info("flags").split())


def float32_copy(classifier: Adapter, x: Tensor) -> tuple[Callable[[Tensor], Tensor], int] | None:
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
            if x.device.type == "cpu":
                prefer_onednn(inner.network)
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
    def __init__(self, classifier: Adapter) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(x.contiguous(memory_format=torch.channels_last))
        return out


def _values_returned(model: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """By all convolutions and linear layers in one pass over `x`."""
    assert isinstance(model, nn.Module)
    return sum(layers_of(model, x).values())


def _operations(classifier: Adapter, x: Tensor) -> float:
    """Of one forward pass of one image; the same on every machine, unlike a measurement."""
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            classifier(x[:1])
        return float(counter.get_total_flops())
    except Exception:  # noqa: BLE001  (a compiled program may hide what it does)
        return 0.0


def _measured_gain(classifier: Adapter, chosen: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """How much faster the chosen network is; 1 where that cannot be measured."""
    try:
        seconds = measure_passes({"original": classifier, "chosen": chosen}, x)
        return round(seconds["original"] / seconds["chosen"], 2)
    except Exception:  # noqa: BLE001  (a foreign backward pass may fail; the attack reports it)
        return 1.0


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
